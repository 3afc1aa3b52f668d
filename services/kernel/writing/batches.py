"""One batch of units in one transaction: lock, load, decide, append, commit, answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import structlog

from services.kernel.http import Key, KeyReused
from services.kernel.observing import frames
from services.kernel.problems import InternalFault
from services.kernel.refusals import Fault, Refusal
from services.kernel.storage import Connection
from services.kernel.writing.appending import Columns, Draft
from services.kernel.writing.heads import lock_heads
from services.kernel.writing.units import Answer, Load, Outcome, Unit

log = structlog.get_logger()

Heads: TypeAlias = dict[UUID, tuple[int, bytes]]
Known: TypeAlias = dict[tuple[str, str], tuple[bytes, Answer]]

_READ: Final = (
    "SELECT participant, version, hash, NULL::text AS subject, NULL::text AS key, "
    "NULL::bytea AS fingerprint, NULL::int AS status, NULL::bytea AS body, "
    "NULL::jsonb AS headers FROM stream WHERE study = $1 AND participant = ANY($2::uuid[]) "
    # LATERAL and LIMIT keep it a look-up a key: a join planned while the table was empty
    # stays in use and reads all keys of the study, more with every write.
    "UNION ALL SELECT NULL, NULL, NULL, i.* FROM unnest($3::text[], $4::text[]) "
    "AS k(subject, key) CROSS JOIN LATERAL (SELECT subject, key, fingerprint, status, body, "
    "headers FROM idempotency WHERE study = $1 AND subject = k.subject AND key = k.key LIMIT 1) "
    "AS i"
)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a service's batches are written to: its schema, by which release, and when."""

    schema: str
    tables: Mapping[str, Columns]
    release: str
    clock: Callable[[], datetime]


class Transaction:
    """One batch in one transaction, with its streams locked or without.

    Without locks the append is a transaction of its own. It fails where a neighbour has moved
    a stream since its head was read, so that what it writes was decided on what stands. That
    says nothing of a unit that writes nothing, or reads a stream that it does not move: such
    a unit is `deferred`, to be decided under the lock.
    """

    def __init__(
        self,
        ledger: Ledger,
        study: str,
        connection: Connection,
        batch: Sequence[Unit],
        *,
        is_locking: bool = True,
    ) -> None:
        self._ledger = ledger
        self._study = study
        self._connection = connection
        self._batch = [unit for unit in batch if not unit.done.done()]
        self._is_locking = is_locking
        self._answers: list[tuple[Unit, Answer | Refusal, int]] = []
        self._tainted: set[UUID] = set()
        self.deferred: list[Unit] = []
        self.is_committing = False

    async def run(self) -> None:
        """Load, decide, append, commit; then, and only then, answer."""
        streams = sorted({stream for unit in self._batch for stream in unit.streams})
        if self._is_locking:
            await self._connection.execute("BEGIN")
            await lock_heads(self._connection, self._study, streams)
        heads, known = await self._read(streams)
        dossiers = await self._load()
        at = self._ledger.clock()
        draft = Draft(
            self._ledger.schema,
            self._ledger.release,
            self._study,
            heads,
            self._ledger.tables,
        )
        for unit in self._batch:
            self._decide(unit, known, dossiers, draft, at)
        self.is_committing = not self._is_locking
        position = await draft.append(self._connection) if draft.events else 0
        if self._is_locking:
            self.is_committing = True
            await self._connection.execute("COMMIT")
        for unit, answer, last in self._answers:
            _answer(unit, answer, last and position - draft.events + last)

    async def _read(self, streams: Sequence[UUID]) -> tuple[Heads, Known]:
        """Return the streams' heads and the answers that the batch's keys were given.

        Both in one statement, so that a twin's answer is seen with the stream that it moved;
        and after the lock, so that it is seen what the lock's last holder wrote.
        """
        keys = [unit.key for unit in self._batch if unit.key is not None]
        rows = await self._connection.fetch(
            _READ,
            self._study,
            streams,
            [key.subject for key in keys],
            [key.text for key in keys],
        )
        heads: Heads = {}
        known: Known = {}
        for row in rows:
            if row["participant"] is not None:
                heads[row["participant"]] = (row["version"], row["hash"])
            else:
                answer = Answer(row["status"], row["body"], row["headers"], is_replay=True)
                known[row["subject"], row["key"]] = (row["fingerprint"], answer)
        return heads, known

    async def _load(self) -> dict[Load[Any, Any], Mapping[UUID, Any]]:
        commands: dict[Load[Any, Any], list[Any]] = {}
        for unit in self._batch:
            commands.setdefault(unit.load, []).extend(unit.commands)
        return {
            load: await load(self._connection, self._study, wanted)
            for load, wanted in commands.items()
        }

    def _decide(
        self,
        unit: Unit,
        known: Known,
        dossiers: Mapping[Load[Any, Any], Mapping[UUID, Any]],
        draft: Draft,
        at: datetime,
    ) -> None:
        if not self._tainted.isdisjoint(unit.streams):
            self.deferred.append(unit)
            return
        answered = known.get((unit.key.subject, unit.key.text)) if unit.key else None
        if unit.key and answered is not None:
            same = answered[0] == unit.key.fingerprint
            self._answers.append((unit, answered[1] if same else _key_reused(), 0))
            return
        mark, before = draft.mark(), draft.events
        outcomes = [
            _decide_one(unit, command, dossiers[unit.load], draft, at) for command in unit.commands
        ]
        moved = {one.change.participant for outcome in outcomes for one in outcome.recorded}
        is_open = not self._is_locking and not unit.streams <= moved
        refused = any(outcome.refusal is not None for outcome in outcomes)
        is_dropped = unit.is_atomic and refused and len(unit.commands) > 1
        if moved and (is_open or unit.is_rehearsal or is_dropped):
            # The dossiers have seen changes that will not be: who needs them loads anew.
            draft.back_to(mark)
            self._tainted |= unit.streams
        if is_open:
            self.deferred.append(unit)
            return
        answer = _render(unit, outcomes)
        # A receipt names its own last event, whoever shares the batch.
        last = draft.events if draft.events > before else 0
        self._answers.append((unit, answer, last))
        if unit.key and not unit.is_rehearsal and isinstance(answer, Answer):
            self._keep(unit.key, answer, known, draft, at)

    def _keep(
        self,
        key: Key,
        answer: Answer,
        known: Known,
        draft: Draft,
        at: datetime,
    ) -> None:
        """Keep a good answer under its key; refused requests may be corrected and resent."""
        if answer.status >= 300 or not draft.events:  # noqa: PLR2004 - 2xx
            return
        draft.keep_answer(
            {
                "subject": key.subject,
                "key": key.text,
                "fingerprint": key.fingerprint,
                "status": answer.status,
                "headers": dict(answer.headers),
                "body": answer.body,
                "recorded_at": at,
            }
        )
        replay = Answer(answer.status, answer.body, answer.headers, is_replay=True)
        known[key.subject, key.text] = (key.fingerprint, replay)


def _key_reused() -> KeyReused:
    fault = Fault("#Idempotency-Key", "key_reused", "Send a new request with a new key.")
    return KeyReused(faults=[fault])


def _decide_one(
    unit: Unit, command: Any, dossiers: Mapping[UUID, Any], draft: Draft, at: datetime
) -> Outcome:
    dossier = dossiers[command.participant]
    try:
        decision = unit.decide(dossier, command, at)
    except Refusal as refusal:
        return Outcome(None, refusal=refusal)
    except Exception as crash:  # noqa: BLE001 - a faulty rule costs its own command only
        log.error("decide", kind=type(crash).__name__, at=frames(crash))  # noqa: TRY400
        return Outcome(None, refusal=InternalFault())
    recorded = tuple(draft.record(change, unit.by, at) for change in decision.changes)
    for one in recorded:
        dossier.absorb(one)
    return Outcome(decision, recorded)


def _render(unit: Unit, outcomes: Sequence[Outcome]) -> Answer | Refusal:
    first = outcomes[0].refusal
    if len(unit.commands) == 1 and first is not None:
        return first
    return unit.render(outcomes)


def _answer(unit: Unit, answer: Answer | Refusal, position: int) -> None:
    if unit.done.done():
        return
    if isinstance(answer, Refusal):
        unit.done.set_exception(answer)
    else:
        unit.done.set_result(
            Answer(answer.status, answer.body, answer.headers, answer.is_replay, position)
        )
