"""Everybody's outcomes by one instrument, as columns; the twin of `outcomes.derive_outcome`.

Source: rulebook section 2.
"""

from dataclasses import dataclass

import numpy as np

from services.protocol.settings import RelapseDefinition, Settings
from services.scoring.domain.columns import (
    NONE,
    Flags,
    Treatment,
    Values,
    Whole,
    Windows,
    first_of_each,
    last_of_each,
    pick,
)
from services.scoring.domain.relapse import LITERAL, NPF


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Relapse of each participant within one period; `relapsed_on` NONE for none."""

    at_risk: Flags
    evaluable: Flags
    relapsed_on: Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Relapses:
    """Relapse of each participant; `first_response_on` NONE where PASI-50 was never reached.

    `is_defined`: who has a baseline, a treatment and a target to count from.
    """

    is_defined: Flags
    treatment: Periods
    follow_up: Periods
    first_response_on: Whole
    ended_on: Whole
    is_event: Flags

    @property
    def followed(self) -> tuple[Whole, Flags]:
        """The days from PASI-50 to relapse or to the last value, and which of them it was."""
        has_responded = self.is_defined & (self.first_response_on != NONE)
        days: Whole = (self.ended_on - self.first_response_on)[has_responded]
        return days, self.is_event[has_responded]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What each participant's course comes to; NONE where it is missing."""

    treatment: Treatment
    baseline: Whole
    week12: Whole
    week12_on: Whole
    carried: Whole
    windows: Windows
    later: Values

    @property
    def is_analysed(self) -> Flags:
        """Tell who belongs to the analysis set: treated, with a baseline that is not zero."""
        found: Flags = self.treatment.is_treated & ~np.isin(self.baseline, (NONE, 0))
        return found

    @property
    def is_observed(self) -> Flags:
        """Tell who of the analysis set has a value at week 12."""
        found: Flags = self.is_analysed & (self.week12 != NONE)
        return found

    @property
    def is_measured(self) -> Flags:
        """Tell who was treated and has a value at baseline."""
        found: Flags = self.treatment.is_treated & (self.baseline != NONE)
        return found

    def changes_to(self, end: Whole) -> Whole:
        """Return the changes from baseline of all who were treated and have both values."""
        is_known = self.is_measured & (end != NONE)
        found: Whole = end[is_known] - self.baseline[is_known]
        return found


def derive_outcomes(
    values: Values, treatment: Treatment, windows: Windows, settings: Settings
) -> Outcomes:
    """Return everybody's outcomes by the settings' readings; `windows` are those of week 12."""
    so_many = len(treatment.first_on)
    is_treated = treatment.is_treated[values.owner]
    is_before = ~is_treated | (values.at <= treatment.first_at[values.owner])
    baseline = pick(values.score, last_of_each(is_before, values.owner, so_many))
    later = values.where(~is_before)
    chosen = nearest(later, windows, settings)
    has_ended = later.on <= windows.last_day[later.owner]
    carried = pick(later.score, last_of_each(has_ended, later.owner, so_many))
    return Outcomes(
        treatment=treatment,
        baseline=baseline,
        week12=pick(later.score, chosen),
        week12_on=pick(later.on, chosen),
        carried=np.where(baseline == NONE, NONE, carried),
        windows=windows,
        later=later,
    )


def nearest(later: Values, windows: Windows, settings: Settings) -> Whole:
    """Return each participant's row nearest to the target within the window, NONE without."""
    owner = later.owner
    inside = (windows.first_day[owner] <= later.on) & (later.on <= windows.last_day[owner])
    rows = np.flatnonzero(inside)
    target = np.where(windows.target == NONE, windows.first_day, windows.target)
    distance = np.abs(later.on[rows] - target[owner[rows]])
    turn = -rows if settings.week12.tie == "later" else rows
    rows = rows[np.lexsort((turn, distance, owner[rows]))]
    chosen = np.full(len(windows.target), NONE, np.int64)
    chosen[owner[rows[::-1]]] = rows[::-1]
    return chosen


def derive_relapses(outcomes: Outcomes, settings: Settings) -> Relapses:
    """Return everybody's relapses in both periods."""
    windows = outcomes.windows
    is_defined = outcomes.is_analysed & (windows.target != NONE)
    later = outcomes.later
    owner = later.owner
    steps = later.where(is_defined[owner] & (later.on <= windows.follow_up_ends[owner]))
    states = _responses(steps, outcomes.baseline, settings.relapse.definition)
    boundary = np.where(outcomes.week12_on == NONE, windows.target, outcomes.week12_on)
    treatment = _period(steps, states, outcomes.treatment.first_on, boundary)
    follow_up = _period(steps, states, boundary + 1, windows.follow_up_ends)
    so_many = len(boundary)
    first = pick(steps.on, first_of_each(states, steps.owner, so_many))
    has_responded = first != NONE
    last = pick(steps.on, last_of_each(np.ones(len(states), bool), steps.owner, so_many))
    # The treatment period comes first: its relapse is the earlier of two.
    fell_on = np.where(treatment.relapsed_on == NONE, follow_up.relapsed_on, treatment.relapsed_on)
    return Relapses(
        is_defined=is_defined,
        treatment=treatment,
        follow_up=follow_up,
        first_response_on=first,
        ended_on=np.where(has_responded, np.where(fell_on == NONE, last, fell_on), NONE),
        is_event=fell_on != NONE,
    )


def _responses(steps: Values, baseline: Whole, definition: RelapseDefinition) -> Flags:
    """Tell after each value whether the participant is in response; as `follow_response`."""
    start = baseline[steps.owner]
    is_half = 2 * (start - steps.score) >= start
    if definition == LITERAL:
        return is_half
    states = np.zeros(len(start), bool)
    in_response = np.zeros(len(baseline), bool)
    lowest = np.full(len(baseline), np.iinfo(np.int64).max)
    for rows in _by_turn(steps.owner):
        owner = steps.owner[rows]
        lowest[owner] = np.minimum(lowest[owner], steps.score[rows])
        twice, best = 2 * (start[rows] - steps.score[rows]), start[rows] - lowest[owner]
        is_lost = twice <= best if definition == NPF else twice < best
        in_response[owner] = (in_response[owner] | is_half[rows]) & ~is_lost
        states[rows] = in_response[owner]
    return states


def _by_turn(owner: Whole) -> list[Whole]:
    """Return the first rows of all participants, then their second ones, and so on."""
    if not len(owner):
        return []
    rows = np.arange(len(owner))
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    turn = rows - np.repeat(starts, np.diff(np.r_[starts, len(owner)]))
    order = np.argsort(turn, kind="stable")
    return np.split(order, np.cumsum(np.bincount(turn))[:-1])


def _period(steps: Values, states: Flags, start: Whole, end: Whole) -> Periods:
    """Return relapse within a period, both ends included."""
    owner, so_many = steps.owner, len(start)
    before = last_of_each(steps.on < start[owner], owner, so_many)
    was_in_response = pick(states, before, missing=0).astype(bool)
    inside = (start[owner] <= steps.on) & (steps.on <= end[owner])
    first_response = first_of_each(inside & states, owner, so_many)
    last = last_of_each(inside, owner, so_many)
    is_same = np.r_[False, owner[1:] == owner[:-1]] if len(owner) else np.zeros(0, bool)
    held = is_same & np.r_[False, states[:-1]] if len(owner) else is_same
    fall = first_of_each(inside & held & ~states, owner, so_many)
    is_followed = (first_response != NONE) & (first_response < last)
    return Periods(
        at_risk=was_in_response | (first_response != NONE),
        evaluable=(was_in_response & (last != NONE)) | is_followed,
        relapsed_on=pick(steps.on, fall),
    )
