"""The one way a write goes: load, decide, append; requests that wait share a transaction.

While one batch is committing, the requests that arrive meanwhile form the next: no timer,
no delay when idle. A batch reads its participants' stream heads, loads once, decides one
command after the other (a later one sees what an earlier one of the same participant
added), and appends with one statement. That fails where a neighbour has moved a stream
meanwhile; then the batch goes once more, with the heads locked. An answer leaves after the
commit, never before.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

from services.kernel.observing import Metrics
from services.kernel.problems import InternalFault, Unavailable
from services.kernel.refusals import Refusal
from services.kernel.storage import LOST, Database, Line
from services.kernel.writing.appending import Columns
from services.kernel.writing.batches import Ledger, Transaction
from services.kernel.writing.units import Answer, Load, Unit

log = structlog.get_logger()

_TRIES_ALONE: Final = 3


class Writer:
    """Takes units from requests and hands each study's to that study's lanes."""

    def __init__(
        self,
        database: Database,
        tables: Sequence[Columns],
        *,
        metrics: Metrics,
        release: str,
        longest_queue: int,
        largest_batch: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.database = database
        self.ledger = Ledger(
            database.schema, {columns.table: columns for columns in tables}, release, clock
        )
        self.metrics = metrics
        self.longest_queue = longest_queue
        self.largest_batch = largest_batch
        self._lanes: dict[tuple[str, bool], Lane] = {}

    async def submit(self, unit: Unit) -> Answer:
        """Return the unit's answer after its commit.

        Raises the refusal of a single refused command, KeyReused, and Unavailable when
        the queue is full or the database does not come back.
        """
        # A large request has a lane of its own: it would hold up the single ones.
        lane_key = (unit.study, len(unit.commands) > 1)
        lane = self._lanes.get(lane_key)
        if lane is None:
            lane = self._lanes[lane_key] = Lane(self, unit.study)
        lane.put(unit)
        # Shielded: a client that goes away must not disturb a batch that others share.
        return await asyncio.shield(unit.done)

    async def close(self) -> None:
        """Stop all lanes; what waits is answered as unavailable."""
        for lane in self._lanes.values():
            await lane.close()


class Lane:
    """One queue, one connection and one batch at a time, for one study."""

    def __init__(self, writer: Writer, study: str) -> None:
        self._writer = writer
        self._study = study
        self._line = Line(writer.database)
        self._waiting: deque[Unit] = deque()
        self._queued = 0
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._work())

    def put(self, unit: Unit) -> None:
        """Queue a unit; raises Unavailable when too many commands wait already."""
        if self._waiting and self._queued + len(unit.commands) > self._writer.longest_queue:
            raise Unavailable("Too many writes are waiting.")
        self._waiting.append(unit)
        self._count(len(unit.commands))
        self._wake.set()

    async def close(self) -> None:
        """Stop working; answer what waits as unavailable."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._line.drop()
        for unit in self._waiting:
            _refuse(unit, Unavailable("The service is stopping."))

    def _count(self, commands: int) -> None:
        self._queued += commands
        self._writer.metrics.queued_commands.inc(commands)

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch = self._take()
            try:
                await self._settle(batch)
            except asyncio.CancelledError:
                _refuse_all(batch, Unavailable("The service is stopping."))
                raise
            except Exception as crash:  # noqa: BLE001 - a lane must outlive any fault
                log.error("lane", kind=type(crash).__name__)  # noqa: TRY400 - no values in logs
                self._line.drop()
                _refuse_all(batch, InternalFault())

    def _take(self) -> list[Unit]:
        """Return what waits, in order, up to the largest batch.

        A unit that loads a participant in another way than one before it waits for the
        next batch, because it could not see what that one adds.
        """
        batch: list[Unit] = []
        loaders: dict[UUID, Load[Any, Any]] = {}
        commands = 0
        while self._waiting:
            unit = self._waiting[0]
            too_many = commands + len(unit.commands) > self._writer.largest_batch
            streams = unit.streams
            mixed = any(loaders.get(stream, unit.load) != unit.load for stream in streams)
            if batch and (too_many or mixed):
                break
            self._waiting.popleft()
            self._count(-len(unit.commands))
            loaders.update(dict.fromkeys(streams, unit.load))
            commands += len(unit.commands)
            batch.append(unit)
        self._writer.metrics.batch_commands.observe(commands)
        return batch

    async def _settle(self, batch: Sequence[Unit]) -> None:
        """Commit all together, if need be under locks; if the database objects, each alone."""
        if _needs_no_lock(batch):
            batch = await self._try_unlocked(batch)
        if not batch or await self._try(batch):
            return
        self._writer.metrics.retried_batches.inc()
        for unit in batch:
            for _ in range(_TRIES_ALONE):
                if unit.done.done() or await self._try([unit]):
                    break
            else:
                _refuse(unit, Unavailable("The write could not be completed."))

    async def _try_unlocked(self, batch: Sequence[Unit]) -> Sequence[Unit]:
        """Write the batch without locks; return the units that need them."""
        transaction = await self._transaction(batch, is_locking=False)
        if transaction is None:
            return []
        try:
            await transaction.run()
        except LOST as error:
            self._lost(transaction, batch, error)
            return batch
        except asyncpg.PostgresError:
            # As a rule a neighbour was faster. The server has rolled back its statement.
            self._writer.metrics.retried_batches.inc()
            return batch
        return transaction.deferred

    async def _try(self, batch: Sequence[Unit]) -> bool:
        """Tell whether the batch was settled; false means nothing of it was written."""
        transaction = await self._transaction(batch, is_locking=True)
        if transaction is None:
            return True
        try:
            await transaction.run()
        except (*LOST, asyncpg.PostgresError) as error:
            self._lost(transaction, batch, error)
            return False
        self._waiting.extendleft(reversed(transaction.deferred))
        self._count(sum(len(unit.commands) for unit in transaction.deferred))
        return True

    async def _transaction(self, batch: Sequence[Unit], *, is_locking: bool) -> Transaction | None:
        """Return a transaction for the batch; None where it was refused for want of a server."""
        try:
            connection = await self._line.connection()
        except Unavailable as gone:
            _refuse_all(batch, gone)
            return None
        return Transaction(
            self._writer.ledger, self._study, connection, batch, is_locking=is_locking
        )

    def _lost(self, transaction: Transaction, batch: Sequence[Unit], error: Exception) -> None:
        """Give the connection up.

        When it breaks during the commit nobody knows whether it took place. A unit with a key
        is then tried again, and finds its answer if it did; one without a key is answered
        503, since trying again could write it twice.
        """
        log.warning("batch", kind=type(error).__name__, units=len(batch))
        self._line.drop()
        if transaction.is_committing:
            _refuse_all([unit for unit in batch if unit.key is None], Unavailable())


def _needs_no_lock(batch: Sequence[Unit]) -> bool:
    """Tell whether to write first and see: not where much would be decided in vain."""
    return all(len(unit.commands) == 1 and not unit.is_rehearsal for unit in batch)


def _refuse(unit: Unit, refusal: Refusal) -> None:
    if not unit.done.done():
        unit.done.set_exception(refusal)


def _refuse_all(units: Sequence[Unit], refusal: Refusal) -> None:
    for unit in units:
        _refuse(unit, refusal)
