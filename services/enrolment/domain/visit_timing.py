"""Answers about visits and study days, on top of the study's calendar (rulebook 2 and 7)."""

from dataclasses import replace
from datetime import date
from typing import Final

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as form
from typing_extensions import TypedDict

from services.enrolment.domain.schedule import Timing, timing_of
from services.kernel.refusals import Fault, Impossible
from services.kernel.values import CalendarDate, Code
from services.protocol.settings import Settings, Week12Anchor
from services.protocol.study import Study, VisitPlan
from services.protocol.visit_calendar import planned_window, pointing, study_day, week12_window

CLOSED = ConfigDict(extra="forbid")
_FIRST: Final = "/first_infusion_date"
_LAST: Final = "/last_infusion_date"


@form(frozen=True, kw_only=True, config=CLOSED)
class ScheduleInput:
    """The first infusion, from which all targets count."""

    first_infusion_date: CalendarDate


@form(frozen=True, kw_only=True, config=CLOSED)
class StudyDayInput:
    """A date, and the first infusion or another day 1."""

    reference_date: CalendarDate
    date: CalendarDate


@form(frozen=True, kw_only=True, config=CLOSED)
class VisitWindowInput:
    """A visit of the study, and when it was held."""

    first_infusion_date: CalendarDate
    visit: Code
    actual_date: CalendarDate


@form(frozen=True, kw_only=True, config=CLOSED)
class Week12Input:
    """The infusions from which week 12 may count; `anchor` goes before the setting."""

    first_infusion_date: CalendarDate
    last_infusion_date: CalendarDate | None = None
    anchor: Week12Anchor | None = None


class PlannedVisit(TypedDict):
    """One visit of the plan; a visit without a target has no study day."""

    visit: str
    target_date: date | None
    window_start: date
    window_end: date
    study_day: int | None
    infusion: bool


class ScheduleAnswer(TypedDict):
    """The visits in the study's order."""

    visits: list[PlannedVisit]


class StudyDayAnswer(TypedDict):
    """The study day; there is no day 0."""

    study_day: int


class VisitWindowAnswer(TypedDict):
    """How a visit lies to its window."""

    status: Timing
    days_from_target: int | None
    study_day: int


class Week12Answer(TypedDict):
    """Week 12 and its window; null where its anchor is not known."""

    target_date: date | None
    window_start: date | None
    window_end: date | None
    study_day: int | None


def evaluate_schedule(asked: ScheduleInput, study: Study) -> ScheduleAnswer:
    """Answer the evaluation `schedule`."""
    return {"visits": [_planned(plan, asked.first_infusion_date) for plan in study.visits]}


def _planned(plan: VisitPlan, first_infusion: date) -> PlannedVisit:
    window = planned_window(plan, first_infusion, _FIRST)
    target = window.target_date
    return {
        "visit": plan.code,
        "target_date": target,
        "window_start": window.first_day,
        "window_end": window.last_day,
        "study_day": None if target is None else study_day(target, first_infusion),
        "infusion": plan.has_infusion,
    }


def evaluate_study_day(asked: StudyDayInput) -> StudyDayAnswer:
    """Answer the evaluation `study-day`."""
    return {"study_day": study_day(asked.date, asked.reference_date)}


def evaluate_visit_window(asked: VisitWindowInput, study: Study) -> VisitWindowAnswer:
    """Answer the evaluation `visit-window`; raises Impossible for an unknown visit."""
    plan = next((plan for plan in study.visits if plan.code == asked.visit), None)
    if plan is None:
        fault = Fault("/visit", "unknown_visit", "The study has no visit of this code.")
        raise Impossible("The study has no such visit.", faults=[fault])
    window = planned_window(plan, asked.first_infusion_date, _FIRST)
    target = window.target_date
    return {
        "status": timing_of(window, asked.actual_date),
        "days_from_target": None if target is None else (asked.actual_date - target).days,
        "study_day": study_day(asked.actual_date, asked.first_infusion_date),
    }


def evaluate_week12(asked: Week12Input, study: Study, settings: Settings) -> Week12Answer:
    """Answer the evaluation `week-12`; raises Impossible for infusions in the wrong order."""
    first, last = asked.first_infusion_date, asked.last_infusion_date
    if last is not None and last < first:
        fault = Fault(_LAST, "before_first_infusion", "No last before the first.")
        raise Impossible("The infusions are in the wrong order.", faults=[fault])
    readings = replace(settings.week12, anchor=asked.anchor or settings.week12.anchor)
    reading = replace(settings, week12=readings)
    try:
        window = week12_window(study, reading, first_infusion=first, last_infusion=last)
    except Impossible as refusal:
        counted_from = _LAST if readings.anchor == "last_infusion" else _FIRST
        raise pointing(refusal, counted_from) from None
    if window is None:
        return {"target_date": None, "window_start": None, "window_end": None, "study_day": None}
    target = window.target_date
    return {
        "target_date": target,
        "window_start": window.first_day,
        "window_end": window.last_day,
        "study_day": None if target is None else study_day(target, first),
    }
