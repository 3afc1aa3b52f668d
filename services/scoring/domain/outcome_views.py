"""A participant's outcome as it is answered, with the members of the outcomes vectors."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from services.protocol.visit_calendar import VisitWindow, study_day
from services.scoring.domain.courses import Course, Value
from services.scoring.domain.improvement import as_number, responders
from services.scoring.domain.outcomes import Outcome
from services.scoring.domain.relapse_periods import Period, Relapse


def outcome_view(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome by PASI."""
    return {
        "baseline": value_view(outcome.baseline, outcome.course, "pasi"),
        **week12_view(outcome),
        "locf": _locf_view(outcome),
        "bocf": _bocf_view(outcome),
        "relapse": None if outcome.relapse is None else relapse_view(outcome.relapse),
    }


def week12_view(outcome: Outcome) -> dict[str, Any]:
    """Return what week 12 came to by PASI."""
    improvement = outcome.improvement
    return {
        "week12": value_view(outcome.week12, outcome.course, "pasi"),
        "improvement_percent": as_number(improvement),
        "change": outcome.change,
        "responders_observed": responders(improvement),
        "responders_nri": _imputed(improvement) if outcome.is_analysed else None,
    }


def _imputed(improvement: Fraction | None) -> dict[str, bool]:
    """Return the responses with a missing week 12 counted as none."""
    return {name: bool(is_response) for name, is_response in responders(improvement).items()}


def value_view(value: Value | None, course: Course, member: str) -> dict[str, Any] | None:
    """Return a value and its day; `member` names what was measured."""
    if value is None:
        return None
    first = course.first_infusion_on
    return {
        "date": value.on,
        member: value.value,
        "study_day": None if first is None else study_day(value.on, first),
    }


def _locf_view(outcome: Outcome) -> dict[str, Any] | None:
    carried = outcome.last_carried
    if carried is None:
        return None
    return {
        "date": carried.on,
        "pasi": carried.value,
        "improvement_percent": as_number(outcome.improvement_locf),
    }


def _bocf_view(outcome: Outcome) -> dict[str, Any] | None:
    if not outcome.is_analysed:
        return None
    return {"improvement_percent": as_number(outcome.improvement_bocf)}


def window_view(window: VisitWindow | None) -> dict[str, Any] | None:
    """Return the window of week 12."""
    if window is None:
        return None
    return {
        "target_date": window.target_date,
        "window_start": window.first_day,
        "window_end": window.last_day,
    }


def relapse_view(relapse: Relapse) -> dict[str, Any]:
    """Return relapse in both periods, and the time to the first."""
    return {
        "treatment_period": _period_view(relapse.treatment),
        "follow_up_period": _period_view(relapse.follow_up),
        "time_to_relapse": _time_view(relapse),
        "first_pasi50_date": relapse.first_response_on,
    }


def _period_view(period: Period) -> Mapping[str, Any]:
    return {
        "start": period.start,
        "end": period.end,
        "at_risk": period.at_risk,
        "evaluable": period.evaluable,
        "relapsed": period.relapsed_on is not None,
        "relapse_date": period.relapsed_on,
    }


def _time_view(relapse: Relapse) -> Mapping[str, Any] | None:
    if relapse.days is None:
        return None
    return {
        "origin_date": relapse.first_response_on,
        "event": relapse.is_event,
        "days": relapse.days,
        "end_date": relapse.ended_on,
    }
