"""A whole study read at once, as columns: participants, infusions and the scores that stand.

Three COPYs of one snapshot; no document is opened. What a study of a million assessments
takes is 21 bytes a score, and some 30 a participant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np

from services.kernel.storage import Connection, Database
from services.protocol.study import Study
from services.scoring.domain.columns import Scan, Whole
from services.scoring.scans.copying import (
    EPOCH_MICROSECONDS,
    INSTANT_FIELD,
    INTEGER_FIELD,
    SHORT_FIELD,
    UUID_FIELD,
    Rows,
    copy_rows,
)

_PARTICIPANTS: Final = (
    "SELECT participant, (array_position($3::text[], site) - 1)::int2 FROM fact "
    "WHERE study = $1 AND resource = 'participant' AND version = 1 "
    "AND ($2::timestamptz IS NULL OR recorded_at <= $2) AND site = ANY($3::text[])"
)
_INFUSIONS: Final = (
    "SELECT participant, (body ->> 'started_at')::timestamptz FROM fact LEFT JOIN ("
    "SELECT participant, resource_id, max(version) AS newest FROM fact "
    "WHERE study = $1 AND resource = 'infusion' AND version > 1 "
    "AND ($2::timestamptz IS NULL OR recorded_at <= $2) GROUP BY participant, resource_id"
    ") AS changed USING (participant, resource_id) "
    "WHERE study = $1 AND resource = 'infusion' AND version = coalesce(newest, 1) "
    "AND ($2::timestamptz IS NULL OR recorded_at <= $2) AND body ->> 'record_status' = 'entered'"
)
_SCORES: Final = (
    "SELECT participant, (array_position($3::text[], instrument) - 1)::int2, assessed_at, score "
    "FROM assessment_version LEFT JOIN ("
    "SELECT participant, id, max(version) AS newest FROM assessment_version "
    "WHERE study = $1 AND version > 1 "
    "AND ($2::timestamptz IS NULL OR recorded_at <= $2) GROUP BY participant, id"
    ") AS changed USING (participant, id) "
    "WHERE study = $1 AND version = coalesce(newest, 1) AND NOT is_retracted "
    "AND score IS NOT NULL AND instrument = ANY($3::text[]) "
    "AND ($2::timestamptz IS NULL OR recorded_at <= $2)"
)
"""What was corrected is joined on: as a rule few of the rows, so that no row is looked up."""

_POSITIONS: Final = (
    "SELECT 'scoring' AS service, position FROM feed_counter WHERE study = $1 "
    "UNION ALL SELECT source, position FROM followed WHERE study = $1"
)
_MIX: Final = np.uint64(0x9E3779B97F4A7C13)
_ANOTHER: Final = np.uint64(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyScan:
    """What was read: the columns, whose they are, and how far each feed had come.

    `owners` are the participants' ids, by their number in the columns.
    """

    scan: Scan
    owners: Sequence[UUID]
    positions: Mapping[str, int]


class Owners:
    """The participants in the order of a key of their ids, and their numbers by it."""

    def __init__(self) -> None:
        self._pieces: list[Rows] = []
        self._mix = _MIX
        self._keys = np.zeros(0, np.uint64)
        self._high = self._low = self._keys
        self.site: Whole = np.zeros(0, np.int64)

    def take(self, rows: Rows) -> None:
        """Keep participants as they are read."""
        self._pieces.append(rows)

    def settle(self) -> None:
        """Number everyone; who has two sites is counted at the first."""
        rows = np.concatenate(self._pieces)
        self._pieces.clear()
        high, low = _halves(rows)
        is_exact = False
        while not is_exact:
            # Two ids of one key are next to impossible; then another multiplier parts them.
            self._mix += _ANOTHER
            mixed = self._mixed(high, low)
            self._keys, first, number = np.unique(mixed, return_index=True, return_inverse=True)
            self._high, self._low = high[first], low[first]
            is_exact = bool((self._high[number] == high).all() and (self._low[number] == low).all())
        self.site = rows["site"][first].astype(np.int64)

    def _mixed(self, high: Any, low: Any) -> Any:
        """Return one key of both halves of an id: those of version 7 differ in each."""
        return high * self._mix + low

    @property
    def ids(self) -> list[UUID]:
        """The participants' ids, by their numbers."""
        halves = zip(self._high.tolist(), self._low.tolist(), strict=True)
        return [UUID(int=(high << 64) | low) for high, low in halves]

    def numbers(self, rows: Rows) -> tuple[Whole, Any]:
        """Return the owners of the rows that have one, and which rows those are."""
        if not len(self._keys):
            nobody: Whole = np.zeros(0, np.int64)
            return nobody, nobody
        high, low = _halves(rows)
        place = np.searchsorted(self._keys, self._mixed(high, low))
        place[place == len(self._keys)] = 0
        is_known = (self._high[place] == high) & (self._low[place] == low)
        kept = np.flatnonzero(is_known)
        return place[kept], kept


def _halves(rows: Rows) -> tuple[Any, Any]:
    participant = rows["participant"]
    return participant["high"].astype(np.uint64), participant["low"].astype(np.uint64)


@dataclass(slots=True)
class _Taken:
    """The columns of the rows whose participant is known, piece by piece."""

    owners: Owners
    names: Sequence[str]
    pieces: list[dict[str, Any]] = field(default_factory=list)

    def take(self, rows: Rows) -> None:
        owner, kept = self.owners.numbers(rows)
        columns = {name: rows[name][kept] for name in self.names}
        self.pieces.append({"owner": owner, **columns})

    def column(self, name: str) -> Whole:
        """Return a whole column."""
        return np.concatenate([piece[name] for piece in self.pieces]).astype(np.int64)


async def scan_study(
    database: Database,
    study: Study,
    *,
    sites: frozenset[str] | None,
    as_of: datetime | None,
    instruments: Sequence[str],
) -> StudyScan:
    """Read a study at these sites, as it stands or stood."""
    covered = [site for site in study.sites if sites is None or site.code in sites]
    owners = Owners()
    infusions = _Taken(owners, ("at",))
    scores = _Taken(owners, ("instrument", "at", "score"))
    async with (
        database.pooled() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await _copy_participants(connection, study, as_of, [one.code for one in covered], owners)
        await _copy_infusions(connection, study, as_of, infusions)
        await _copy_scores(connection, study, as_of, instruments, scores)
        positions = await connection.fetch(_POSITIONS, study.number)
    scan = Scan(
        instruments=instruments,
        zones=tuple(site.time_zone for site in covered),
        zone=owners.site,
        score_owner=scores.column("owner"),
        score_instrument=scores.column("instrument"),
        score_at=scores.column("at") + EPOCH_MICROSECONDS,
        score=scores.column("score"),
        infusion_owner=infusions.column("owner"),
        infusion_at=infusions.column("at") + EPOCH_MICROSECONDS,
    )
    return StudyScan(
        scan=scan,
        owners=owners.ids,
        positions={row["service"]: row["position"] for row in positions},
    )


async def _copy_participants(
    connection: Connection,
    study: Study,
    as_of: datetime | None,
    sites: Sequence[str],
    owners: Owners,
) -> None:
    fields = {"participant": UUID_FIELD, "site": SHORT_FIELD}
    await copy_rows(
        connection, _PARTICIPANTS, study.number, as_of, sites, fields=fields, take=owners.take
    )
    owners.settle()


async def _copy_infusions(
    connection: Connection, study: Study, as_of: datetime | None, into: _Taken
) -> None:
    fields = {"participant": UUID_FIELD, "at": INSTANT_FIELD}
    await copy_rows(connection, _INFUSIONS, study.number, as_of, fields=fields, take=into.take)


async def _copy_scores(
    connection: Connection,
    study: Study,
    as_of: datetime | None,
    instruments: Sequence[str],
    into: _Taken,
) -> None:
    fields = {
        "participant": UUID_FIELD,
        "instrument": SHORT_FIELD,
        "at": INSTANT_FIELD,
        "score": INTEGER_FIELD,
    }
    await copy_rows(
        connection, _SCORES, study.number, as_of, instruments, fields=fields, take=into.take
    )
