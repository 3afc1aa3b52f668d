"""Relapse in the treatment period and in follow-up, and the time to it (rulebook section 2).

A relapse occurs on the date on which it is observed: in truth between that visit and the one
before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import takewhile

from services.protocol.settings import RelapseDefinition
from services.scoring.domain.courses import Value
from services.scoring.domain.improvement import improvement_percent
from services.scoring.domain.relapse import follow_response

Steps = Sequence[tuple[date, bool]]
"""After each value: its day, and whether the participant is in response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Relapse within one period, both ends included."""

    start: date
    end: date
    at_risk: bool
    evaluable: bool
    relapsed_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relapse:
    """Relapse in both periods; `first_response_on` None where PASI-50 was never reached.

    `values`: what was looked at, from the first value after baseline to the end of follow-up.
    """

    treatment: Period
    follow_up: Period
    first_response_on: date | None
    ended_on: date | None
    is_event: bool
    values: Sequence[Value]

    @property
    def days(self) -> int | None:
        """The days from the first response to the relapse, or to the last value."""
        if self.first_response_on is None or self.ended_on is None:
            return None
        return (self.ended_on - self.first_response_on).days


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where the periods lie: `boundary` is the last day of treatment, `ends` of follow-up."""

    starts: date
    boundary: date
    ends: date


def derive_relapse(
    baseline: Decimal | None,
    later: Sequence[Value],
    limits: Limits,
    definition: RelapseDefinition,
) -> Relapse:
    """Return the relapses of a participant whose baseline is not zero.

    `later` are the values after baseline in the order of time; those after the end of
    follow-up are ignored.
    """
    values = list(takewhile(lambda one: one.on <= limits.ends, later))
    improvements = [improvement_percent(baseline, one.value) or Fraction(0) for one in values]
    states = follow_response(improvements, definition)
    steps = list(zip((one.on for one in values), states, strict=True))
    treatment = _period(steps, limits.starts, limits.boundary)
    follow_up = _period(steps, limits.boundary + timedelta(days=1), limits.ends)
    first_response = next((day for day, is_in_response in steps if is_in_response), None)
    relapsed = [p.relapsed_on for p in (treatment, follow_up) if p.relapsed_on is not None]
    ended_on = min(relapsed) if relapsed else values[-1].on if values else None
    return Relapse(
        treatment=treatment,
        follow_up=follow_up,
        first_response_on=first_response,
        ended_on=None if first_response is None else ended_on,
        is_event=bool(relapsed),
        values=values,
    )


def _period(steps: Steps, start: date, end: date) -> Period:
    before = [is_in_response for day, is_in_response in steps if day < start]
    is_in_response = bool(before) and before[-1]
    was_in_response = is_in_response
    evaluable = False
    relapsed_on = None
    for day, state in steps:
        if not start <= day <= end:
            continue
        evaluable = evaluable or was_in_response
        if is_in_response and not state and relapsed_on is None:
            relapsed_on = day
        is_in_response = state
        was_in_response = was_in_response or state
    return Period(
        start=start, end=end, at_risk=was_in_response, evaluable=evaluable, relapsed_on=relapsed_on
    )
