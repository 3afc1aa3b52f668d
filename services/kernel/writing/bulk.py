"""Many records in one request: the path of single writes, in transactions of many rows.

Each transaction locks, loads and decides like any other, and then appends with COPY, the
fastest insert of many rows. Between decisions the other requests of the process have their
turn; a study's bulk requests wait for each other, and never for the lanes of single writes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

from services.kernel.http import Key, KeyReused
from services.kernel.observing import frames
from services.kernel.problems import InternalFault, Unavailable
from services.kernel.records import Attribution
from services.kernel.refusals import Fault, Refusal
from services.kernel.storage import FEED_CHANNEL, KERNEL_TABLES, LOST, Connection, Line
from services.kernel.writing.appending import Columns, Draft
from services.kernel.writing.heads import lock_heads
from services.kernel.writing.lanes import Writer
from services.kernel.writing.units import Answer, Decide, Load, Outcome

log = structlog.get_logger()

ROWS_A_TRANSACTION: Final = 500
_ROWS_A_TURN: Final = 20
_TRIES: Final = 3
_MOST_WAITING: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The commands of one transaction, and how they are decided and answered.

    `is_atomic`: all commands or none. `is_rehearsal`: decide, and write nothing. The answer
    is kept under the key.
    """

    study: str
    commands: Sequence[Any]
    load: Load[Any, Any]
    decide: Decide[Any, Any]
    by: Attribution
    render: Callable[[Sequence[Outcome]], bytes]
    key: Key | None = None
    is_atomic: bool = False
    is_rehearsal: bool = False

    def is_dropped(self, outcomes: Sequence[Outcome]) -> bool:
        """Tell whether nothing is to be written, however much was decided."""
        is_refused = any(one.refusal is not None for one in outcomes)
        return self.is_rehearsal or (self.is_atomic and is_refused)


class _Draft(Draft):
    """What one transaction will append, with COPY."""

    async def copy(self, connection: Connection) -> int:
        """Append everything; return the last event's feed position.

        The feed's counter moves first: from then on until the commit other writers wait.
        """
        last: int = await connection.fetchval(_MOVE_COUNTER, self._study, len(self._events))
        first = last - len(self._events) + 1
        placed = [(*row, position) for position, row in enumerate(self._events, first)]
        columns = [*_EVENT.names, "position"]
        await connection.copy_records_to_table("event", records=placed, columns=columns)
        for table, rows in self._rows_by_table().items():
            columns = self._tables[table].names
            await connection.copy_records_to_table(table, records=rows, columns=columns)
        for answer in self._answers:
            await connection.execute(_KEEP_ANSWER, *([value] for value in answer))
        moved = sorted(self._moved)
        versions, hashes = zip(*(self._heads[at] for at in moved), strict=True)
        await connection.execute(_MOVE_HEADS, self._study, moved, versions, hashes)
        return last

    def _rows_by_table(self) -> dict[str, list[tuple[Any, ...]]]:
        by_table: dict[str, list[tuple[Any, ...]]] = {}
        for table, row in self._rows:
            by_table.setdefault(table, []).append(row)
        return by_table


_EVENT: Final = Columns(KERNEL_TABLES.tables["event"], without=("position",))
_IDEMPOTENCY: Final = Columns(KERNEL_TABLES.tables["idempotency"])
_KEEP_ANSWER: Final = (
    f"INSERT INTO idempotency ({_IDEMPOTENCY.listed}) "
    f"SELECT {_IDEMPOTENCY.selected} FROM {_IDEMPOTENCY.source(1)}"
)
_MOVE_COUNTER: Final = (
    "INSERT INTO feed_counter (study, position) VALUES ($1, $2::bigint) "
    "ON CONFLICT (study) DO UPDATE SET position = feed_counter.position + $2::bigint "
    "RETURNING position"
)
_MOVE_HEADS: Final = (
    "WITH heads AS (INSERT INTO stream (study, participant, version, hash) "
    "SELECT $1, h.* FROM unnest($2::uuid[], $3::int[], $4::bytea[]) "
    "AS h(participant, version, hash) ON CONFLICT (study, participant) "
    "DO UPDATE SET version = excluded.version, hash = excluded.hash) "
    f"SELECT pg_notify('{FEED_CHANNEL}', $1)"
)


class BulkWriter:
    """Writes batches, one at a time for each study."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lines: dict[str, Line] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: defaultdict[str, int] = defaultdict(int)

    async def write(self, batch: Batch) -> Answer:
        """Return the batch's answer after its commit; a refused row does not refuse the rest.

        Raises KeyReused, and Unavailable when too many wait or the database is away.
        """
        if self._waiting[batch.study] >= _MOST_WAITING:
            raise Unavailable("Too many bulk requests are waiting.")
        # Shielded: a client that goes away must not leave a transaction half done.
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(batch)))

    async def _in_turn(self, batch: Batch) -> Answer:
        self._waiting[batch.study] += 1
        try:
            async with self._turns[batch.study]:
                return await self._write(batch)
        finally:
            self._waiting[batch.study] -= 1

    async def close(self) -> None:
        """Drop the connections."""
        for line in self._lines.values():
            line.drop()

    async def _write(self, batch: Batch) -> Answer:
        line = self._lines.setdefault(batch.study, Line(self._writer.database))
        for _ in range(_TRIES):
            transaction = _Transaction(self._writer, await line.connection(), batch)
            try:
                return await transaction.run()
            except (*LOST, asyncpg.PostgresError) as error:
                log.warning("bulk", kind=type(error).__name__, rows=len(batch.commands))
                line.drop()
                if transaction.is_committing and batch.key is None:
                    break
            except BaseException:
                line.drop()
                raise
        raise Unavailable("The write could not be completed.")


class _Transaction:
    """One batch in one transaction."""

    def __init__(self, writer: Writer, connection: Connection, batch: Batch) -> None:
        self._writer = writer
        self._connection = connection
        self._batch = batch
        self.is_committing = False

    async def run(self) -> Answer:
        """Lock, load, decide, append, commit, answer."""
        batch = self._batch
        await self._connection.execute("BEGIN")
        streams = {stream for command in batch.commands for stream in command.streams}
        heads = await lock_heads(self._connection, batch.study, streams)
        known = await self._known_answer()
        if known is not None:
            await self._connection.execute("ROLLBACK")
            return known
        dossiers = await batch.load(self._connection, batch.study, batch.commands)
        ledger = self._writer.ledger
        at = ledger.clock()
        draft = _Draft(ledger.schema, ledger.release, batch.study, heads, ledger.tables)
        outcomes = await self._decide(dossiers, draft, at)
        body = batch.render(outcomes)
        if not draft.events or batch.is_dropped(outcomes):
            await self._connection.execute("ROLLBACK")
            return Answer(200, body)
        self._keep(draft, body, at)
        position = await draft.copy(self._connection)
        self.is_committing = True
        await self._connection.execute("COMMIT")
        return Answer(200, body, position=position)

    async def _known_answer(self) -> Answer | None:
        key = self._batch.key
        if key is None:
            return None
        row = await self._connection.fetchrow(
            "SELECT fingerprint, status, body FROM idempotency "
            "WHERE study = $1 AND subject = $2 AND key = $3",
            self._batch.study,
            key.subject,
            key.text,
        )
        if row is not None and row["fingerprint"] != key.fingerprint:
            fault = Fault("#Idempotency-Key", "key_reused", "Send a new request with a new key.")
            raise KeyReused(faults=[fault])
        return None if row is None else Answer(row["status"], row["body"], is_replay=True)

    async def _decide(
        self, dossiers: Mapping[UUID, Any], draft: _Draft, at: datetime
    ) -> list[Outcome]:
        outcomes = []
        for done, command in enumerate(self._batch.commands, start=1):
            outcomes.append(self._decide_one(dossiers[command.participant], command, draft, at))
            if done % _ROWS_A_TURN == 0:
                await asyncio.sleep(0)
        return outcomes

    def _decide_one(self, dossier: Any, command: Any, draft: _Draft, at: datetime) -> Outcome:
        try:
            decision = self._batch.decide(dossier, command, at)
        except Refusal as refusal:
            return Outcome(None, refusal=refusal)
        except Exception as crash:  # noqa: BLE001 - a faulty rule costs its own row only
            log.error("decide", kind=type(crash).__name__, at=frames(crash))  # noqa: TRY400
            return Outcome(None, refusal=InternalFault())
        recorded = tuple(draft.record(change, self._batch.by, at) for change in decision.changes)
        for one in recorded:
            dossier.absorb(one)
        return Outcome(decision, recorded)

    def _keep(self, draft: _Draft, body: bytes, at: datetime) -> None:
        key = self._batch.key
        if key is None:
            return
        draft.keep_answer(
            {
                "subject": key.subject,
                "key": key.text,
                "fingerprint": key.fingerprint,
                "status": 200,
                "headers": {},
                "body": body,
                "recorded_at": at,
            }
        )
