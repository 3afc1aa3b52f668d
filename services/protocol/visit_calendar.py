"""Calendar arithmetic on a study's visits: days, windows, months, all on dates.

Source: rulebook sections 2, 6 and 7. Study days have no day 0; nothing computes with them.
"""

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.kernel.refusals import Fault, Impossible
from services.kernel.values import FIRST_YEAR, LAST_YEAR
from services.protocol.settings import Settings
from services.protocol.study import Study, VisitPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitWindow:
    """When a visit is meant to take place; both ends are inside."""

    target_date: date | None
    first_day: date
    last_day: date


def site_date(at: datetime, time_zone: str) -> date:
    """Return the calendar date of an instant at a site."""
    return at.astimezone(ZoneInfo(time_zone)).date()


def shift(day: date, days: int) -> date:
    """Return the date so many days later; raises Impossible outside the years 1900 to 2199."""
    try:
        moved = day + timedelta(days=days)
    except OverflowError:
        raise _outside() from None
    if not FIRST_YEAR <= moved.year <= LAST_YEAR:
        raise _outside()
    return moved


def _outside() -> Impossible:
    fault = Fault("", "RANGE", "A date would lie outside the years 1900 to 2199.")
    return Impossible("The calendar kept here does not reach so far.", faults=[fault])


def study_day(day: date, reference: date) -> int:
    """Return the study day: 1 on the reference date, -1 on the day before."""
    difference = (day - reference).days
    return difference + 1 if difference >= 0 else difference


def visit_window(plan: VisitPlan, first_infusion: date) -> VisitWindow:
    """Return a visit's target and window; targets count from the first infusion."""
    if plan.range_days is not None:
        first, last = plan.range_days
        return VisitWindow(
            target_date=None,
            first_day=shift(first_infusion, first),
            last_day=shift(first_infusion, last),
        )
    target = shift(first_infusion, plan.offset_days or 0)
    return VisitWindow(
        target_date=target,
        first_day=shift(target, -(plan.window_before_days or 0)),
        last_day=shift(target, plan.window_after_days or 0),
    )


def require_plannable(study: Study, pointer: str, first_infusion: date | None) -> None:
    """Raise Impossible for a first infusion whose visits would leave the calendar kept here."""
    if first_infusion is not None:
        for plan in study.visits:
            planned_window(plan, first_infusion, pointer)


def planned_window(plan: VisitPlan, first_infusion: date, pointer: str) -> VisitWindow:
    """Return a visit's window; raises Impossible that points to where the infusion stands."""
    try:
        return visit_window(plan, first_infusion)
    except Impossible as refusal:
        raise pointing(refusal, pointer) from None


def pointing(refusal: Impossible, pointer: str) -> Impossible:
    """Return the refusal with its faults at the member from which the dates were counted."""
    faults = [replace(fault, pointer=pointer) for fault in refusal.faults]
    return Impossible(refusal.detail, faults=faults)


def week12_window(
    study: Study,
    settings: Settings,
    *,
    first_infusion: date,
    last_infusion: date | None = None,
) -> VisitWindow | None:
    """Return the primary visit's window by the setting's anchor; None where that is unknown.

    Week 12 is the primary visit of the registered study; another study may have another.
    """
    anchor = _week12_anchor(study, settings, first_infusion, last_infusion)
    return None if anchor is None else visit_window(study.primary_visit, anchor)


def _week12_anchor(
    study: Study, settings: Settings, first_infusion: date, last_infusion: date | None
) -> date | None:
    """Return the date from which the weeks of the primary visit count."""
    if settings.week12.anchor == "first_infusion":
        return first_infusion
    if settings.week12.anchor == "end_of_treatment_period":
        return shift(first_infusion, 7 * study.treatment_period_weeks)
    return last_infusion


def add_months(day: date, months: int) -> date:
    """Return the date so many months later, clipped to the month's end.

    Raises Impossible outside the years 1900 to 2199.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise _outside()
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def completed_years(born: date, on: date) -> int:
    """Return the age in completed years; who is born on 29 Feb turns on 1 Mar in common years."""
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))
