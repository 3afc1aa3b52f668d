"""The course of every participant at once, as columns of whole numbers.

The rules are those of `outcomes`, said for columns: days are ordinals of the calendar, scores
are in the instrument's smallest unit, so that everything stays exact. A property test holds
both to the same answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from services.protocol.settings import Settings
from services.protocol.study import Study
from services.protocol.visit_calendar import shift, week12_window

Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
NONE: Final = -(2**31)
"""Stands where a score is missing, a day unknown, or no row is meant."""

_MICROSECONDS_A_DAY: Final = 86_400_000_000
_HALF: Final = 32
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Known values of one instrument, in the order of participant, day, time and score.

    `owner` is the participant's number; `at` counts microseconds from 1970 in UTC.
    """

    owner: Whole
    on: Whole
    at: Whole
    score: Whole

    def where(self, flags: Flags) -> "Values":
        """Return some of the values, in their order."""
        return Values(
            owner=self.owner[flags], on=self.on[flags], at=self.at[flags], score=self.score[flags]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """When each participant was treated, NONE where never; by the site's calendar."""

    first_at: Whole
    first_on: Whole
    last_on: Whole

    @property
    def is_treated(self) -> Flags:
        """Tell who was treated."""
        is_treated: Flags = self.first_on != NONE
        return is_treated


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was read of a study, in any order.

    `zones` are the time zones, `zone` each participant's; `instruments` are the codes by
    their numbers. The columns of scores and of infusions go together by their first words; a
    score that is missing is NONE.
    """

    instruments: Sequence[str]
    zones: Sequence[str]
    zone: Whole
    score_owner: Whole
    score_instrument: Whole
    score_at: Whole
    score: Whole
    infusion_owner: Whole
    infusion_at: Whole

    def values(self, instrument: str) -> Values:
        """Return the values of an instrument."""
        number = self.instruments.index(instrument)
        rows = np.flatnonzero((self.score_instrument == number) & (self.score != NONE))
        owner, at, score = self.score_owner[rows], self.score_at[rows], self.score[rows]
        on = self._days(owner, at)
        order = np.lexsort((score, at, on, owner))
        return Values(owner=owner[order], on=on[order], at=at[order], score=score[order])

    def treatment(self) -> Treatment:
        """Return when each participant was treated."""
        so_many = len(self.zone)
        owner, at = self.infusion_owner, self.infusion_at
        on = self._days(owner, at)
        order = np.lexsort((at, owner))
        everyone = np.ones(len(order), bool)
        first = first_of_each(everyone, owner[order], so_many)
        last_on = np.full(so_many, NONE, np.int64)
        np.maximum.at(last_on, owner, on)
        return Treatment(
            first_at=pick(at[order], first), first_on=pick(on[order], first), last_on=last_on
        )

    def _days(self, owner: Whole, at: Whole) -> Whole:
        days = np.empty(len(at), np.int64)
        zone = self.zone[owner]
        for number, name in enumerate(self.zones):
            rows = np.flatnonzero(zone == number)
            days[rows] = site_days(at[rows], name)
        return days


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Each participant's week 12 and the end of follow-up; NONE where unknown."""

    target: Whole
    first_day: Whole
    last_day: Whole
    follow_up_ends: Whole


def site_days(at: Whole, time_zone: str) -> Whole:
    """Return the calendar days of instants at a site, as ordinals."""
    if not len(at):
        return at
    zone = ZoneInfo(time_zone)
    days = at // _MICROSECONDS_A_DAY
    first = int(days.min())
    place = days - first
    is_known = np.zeros(int(place.max()) + 1, bool)
    is_known[place] = True
    starts, ends = np.zeros((2, len(is_known)), np.int64)
    for day in np.flatnonzero(is_known).tolist():
        begins = (first + day) * _MICROSECONDS_A_DAY
        starts[day] = _offset(begins, zone)
        ends[day] = _offset(begins + _MICROSECONDS_A_DAY - 1, zone)
    shifts = starts[place]
    # On the few days on which the clocks change, each instant is looked at by itself.
    for row in np.flatnonzero((starts != ends)[place]):
        shifts[row] = _offset(int(at[row]), zone)
    found: Whole = (at + shifts) // _MICROSECONDS_A_DAY + _EPOCH_ORDINAL
    return found


def _offset(at: int, zone: ZoneInfo) -> int:
    seconds, rest = divmod(at, 1_000_000)
    local = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).astimezone(zone)
    offset = local.utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) * 1_000_000


def last_of_each(flags: Flags, owner: Whole, participants: int) -> Whole:
    """Return for each participant the last row that is flagged, NONE without one."""
    rows = np.flatnonzero(flags)
    found = np.full(participants, NONE, np.int64)
    found[owner[rows]] = rows  # of several the last assignment stays
    return found


def first_of_each(flags: Flags, owner: Whole, participants: int) -> Whole:
    """Return for each participant the first row that is flagged, NONE without one."""
    rows = np.flatnonzero(flags)[::-1]
    found = np.full(participants, NONE, np.int64)
    found[owner[rows]] = rows
    return found


def pick(column: Any, rows: Whole, *, missing: int = NONE) -> Whole:
    """Return a column's entries at these rows, `missing` where the row is NONE."""
    is_known = rows != NONE
    found = np.full(len(rows), missing, np.int64)
    found[is_known] = column[rows[is_known]]
    return found


def week12_windows(treatment: Treatment, study: Study, settings: Settings) -> Windows:
    """Return everybody's windows; each pair of first and last day is looked up once."""
    pairs = (treatment.first_on << _HALF) + (treatment.last_on - NONE)
    known, place = np.unique(pairs, return_inverse=True)
    firsts, lasts = known >> _HALF, (known & (2**_HALF - 1)) + NONE
    table = np.array(
        [
            _window(first, last, study, settings)
            for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
        ],
        np.int64,
    ).reshape(-1, 4)
    target, first_day, last_day, ends = table[place].T
    return Windows(target=target, first_day=first_day, last_day=last_day, follow_up_ends=ends)


def _window(first: int, last: int, study: Study, settings: Settings) -> tuple[int, int, int, int]:
    if first == NONE:
        return NONE, NONE, NONE, NONE
    began, ended = date.fromordinal(first), date.fromordinal(last)
    window = week12_window(study, settings, first_infusion=began, last_infusion=ended)
    # Without an infusion there is no window; whoever was treated has a last one.
    days = (
        (NONE, NONE)
        if window is None
        else (window.first_day.toordinal(), window.last_day.toordinal())
    )
    target = None if window is None else window.target_date
    if target is None:
        return NONE, *days, NONE
    after = settings.relapse.followup_days_after_week12_target
    return target.toordinal(), *days, shift(target, after).toordinal()
