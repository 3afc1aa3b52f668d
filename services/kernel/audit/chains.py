"""The chains of one service's study: their verification, their heads, and parts of them.

Every read here is one snapshot, so that what is written meanwhile breaks nothing.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import orjson

from services.kernel.records import GENESIS, event_hash, event_header
from services.kernel.storage import Connection

MISSING: Final = "an event is missing here"
WRONG_LINK: Final = "the link to the event before does not hold"
WRONG_CONTENT: Final = "the content does not match its hash"
WRONG_HEAD: Final = "the head of the chain is not its last event"
WRONG_COUNT: Final = "the number of events is not the one counted"
WRONG_VERSION: Final = "a stored version's columns do not belong to its event"

_READ_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Broken:
    """The first link that does not hold; no participant where nothing is left of one."""

    participant: UUID | None
    seq: int
    fault: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a chain: how many there are, its hash, its position in the feed."""

    version: int
    hash: bytes
    position: int


@dataclass(slots=True)
class Verification:
    """The outcome of recomputing every chain of one service's study."""

    events: int = 0
    first_broken: Broken | None = None
    heads: dict[UUID, Head] = field(default_factory=dict)


class _Walk:
    """One pass over all events in feed order, which stops at the first fault."""

    def __init__(self, service: str) -> None:
        self.found = Verification()
        self.gaps: list[range] = []
        self.position = 0
        self._service = service

    def take(self, row: Any) -> bool:
        """Take the next event; tell whether it holds."""
        if row["position"] > self.position + 1:
            self.gaps.append(range(self.position + 1, row["position"]))
        self.position = row["position"]
        self.found.events += 1
        head = self.found.heads.get(row["participant"], Head(0, GENESIS, 0))
        self.found.first_broken = self._fault(row, head)
        digest = bytes(row["hash"])
        self.found.heads[row["participant"]] = Head(row["stream_version"], digest, self.position)
        return self.found.first_broken is None

    def _fault(self, row: Any, head: Head) -> Broken | None:
        owner = row["participant"]
        if row["stream_version"] > head.version + 1:
            # Its own lost event is one of those that the feed lacks since the one before.
            lost = first_lost(self.gaps, head.position)
            if lost is not None:
                return Broken(owner, lost, MISSING)
        if row["stream_version"] != head.version + 1 or bytes(row["prev_hash"]) != head.hash:
            return Broken(owner, row["position"], WRONG_LINK)
        if event_hash(event_header(row, self._service)) != bytes(row["hash"]):
            return Broken(owner, row["position"], WRONG_CONTENT)
        return None


def first_lost(gaps: Iterable[range], after: int) -> int | None:
    """Return the first position in the gaps that comes after another one."""
    return next((max(gap.start, after + 1) for gap in gaps if gap.stop > after + 1 and gap), None)


Typed = Mapping[str, Callable[[Mapping[str, Any]], Any]]
"""How columns that are not called as their member follow from a record's document."""


async def verify_chains(
    connection: Connection,
    study: str,
    service: str,
    version_tables: Iterable[str] = (),
    typed: Typed | None = None,
) -> Verification:
    """Recompute every event's hash, every link and every position; name the first fault.

    What stands beside the events is compared with them: heads, counts, and the typed columns
    that rules read.
    """
    walk = _Walk(service)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for row in _all_events(connection, study):
            if not walk.take(row):
                return walk.found
        walk.found.first_broken = await _wrong_end(connection, study, walk)
        for table in version_tables:
            if walk.found.first_broken is None:
                walk.found.first_broken = await _wrong_version(
                    connection, study, table
                ) or await _wrong_column(connection, study, table, typed or {})
    return walk.found


async def _all_events(connection: Connection, study: str) -> AsyncIterator[Any]:
    after = 0
    while True:
        rows = await connection.fetch(
            "SELECT * FROM event WHERE study = $1 AND position > $2 ORDER BY position LIMIT $3",
            study,
            after,
            _READ_AT_ONCE,
        )
        for row in rows:
            yield row
        if len(rows) < _READ_AT_ONCE:
            return
        after = rows[-1]["position"]


async def _wrong_end(connection: Connection, study: str, walk: _Walk) -> Broken | None:
    """Compare the chains with the heads and the count that stand beside them."""
    counted = await feed_size(connection, study)
    gaps = [*walk.gaps, range(walk.position + 1, counted + 1)]
    rows = await connection.fetch(
        "SELECT participant, version, hash FROM stream WHERE study = $1 ORDER BY participant",
        study,
    )
    stored = {row["participant"]: (row["version"], bytes(row["hash"])) for row in rows}
    for owner in [*stored, *(owner for owner in walk.found.heads if owner not in stored)]:
        head = walk.found.heads.get(owner, Head(0, GENESIS, 0))
        if stored.get(owner) != (head.version, head.hash):
            lost = first_lost(gaps, head.position)
            is_short = stored.get(owner, (0, b""))[0] > head.version
            if lost is not None and is_short:
                return Broken(owner, lost, MISSING)
            return Broken(owner, head.position, WRONG_HEAD)
    unowned = first_lost(gaps, 0)
    if unowned is not None:
        return Broken(None, unowned, MISSING)
    if walk.position != counted:
        return Broken(None, walk.position, WRONG_COUNT)
    return None


async def _wrong_version(connection: Connection, study: str, table: str) -> Broken | None:
    """Name a version row that no event made so; what rules read must stand in the chain."""
    row = await connection.fetchrow(
        "SELECT v.participant, e.position "
        f"FROM {table} v LEFT JOIN event e ON e.study = v.study "
        "AND e.participant = v.participant AND e.stream_version = v.stream_version "
        "WHERE v.study = $1 AND (e.resource_id, e.resource_version, e.recorded_at, "
        "e.action = 'retracted') IS DISTINCT FROM (v.id, v.version, v.recorded_at, "
        "v.is_retracted) ORDER BY e.position LIMIT 1",
        study,
    )
    return None if row is None else Broken(row["participant"], row["position"] or 0, WRONG_VERSION)


async def _wrong_column(
    connection: Connection, study: str, table: str, typed: Typed
) -> Broken | None:
    """Name the first version row with a typed column that its event's record does not state."""
    rows = connection.cursor(
        f"SELECT v.*, e.position AS event_position, e.body AS event_body FROM {table} v "
        "JOIN event e ON e.study = v.study AND e.participant = v.participant "
        "AND e.stream_version = v.stream_version WHERE v.study = $1",
        study,
        prefetch=_READ_AT_ONCE,
    )
    wrong: list[tuple[int, UUID]] = [
        (row["event_position"], row["participant"])
        async for row in rows
        if not _follows(row, orjson.loads(row["event_body"]), typed)
    ]
    if not wrong:
        return None
    position, owner = min(wrong)
    return Broken(owner, position, WRONG_VERSION)


def _follows(row: Any, document: Mapping[str, Any], typed: Typed) -> bool:
    """Tell whether the typed columns are those of the record; one that it lacks is not judged."""
    for name, value in row.items():
        if name in typed:
            stated = typed[name](document)
        elif name in document and name not in _STAMPED:
            stated = document[name]
        else:
            continue
        if not _is_stated(value, stated):
            return False
    return True


def _is_stated(value: Any, stated: Any) -> bool:
    if isinstance(value, datetime) and isinstance(stated, str):
        return value == datetime.fromisoformat(stated)
    return bool(stated == (str(value) if isinstance(value, date | UUID) else value))


_STAMPED: Final = frozenset({"id", "participant", "version", "recorded_at"})
"""Columns that every version row has; these are compared with the event itself."""


async def feed_size(connection: Connection, study: str) -> int:
    """Return how many events the study has."""
    counted = await connection.fetchval("SELECT position FROM feed_counter WHERE study = $1", study)
    return int(counted or 0)


async def read_heads(
    connection: Connection, study: str, size: int | None
) -> tuple[int, Mapping[UUID, Head]]:
    """Return how many events there are, and each chain's head among the first `size`."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        counted = await feed_size(connection, study)
        size = counted if size is None else min(size, counted)
        rows = await connection.fetch(
            "SELECT DISTINCT ON (participant) participant, stream_version, hash, position "
            "FROM event WHERE study = $1 AND position <= $2 "
            "ORDER BY participant, stream_version DESC",
            study,
            size,
        )
    heads = {
        row["participant"]: Head(row["stream_version"], bytes(row["hash"]), row["position"])
        for row in rows
    }
    return size, heads


async def read_chain_part(connection: Connection, study: str, seq: int, size: int) -> Sequence[Any]:
    """Return the event at position `seq` and those after it in its chain, up to `size`."""
    return await connection.fetch(
        "SELECT e.* FROM event first JOIN event e ON e.study = first.study "
        "AND e.participant = first.participant AND e.stream_version >= first.stream_version "
        "WHERE first.study = $1 AND first.position = $2 AND e.position <= $3 "
        "ORDER BY e.stream_version",
        study,
        seq,
        size,
    )
