"""A participant's schedule: what is planned, due, done, missed or cancelled (rulebook 7).

Targets count from the first infusion, never from the visit before; until it was given they
are projections from the planned date. Derived on reading, with the site's date as today.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from hashlib import sha256
from typing import Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from services.enrolment.domain.participants import StatusChange
from services.protocol.participation import ENDING
from services.protocol.study import Study, VisitPlan
from services.protocol.visit_calendar import VisitWindow, visit_window

UNSCHEDULED: Final = "unscheduled"
_OF_TREATMENT: Final = frozenset({"infusion", "observation"})
_LEAVING: Final = ENDING | {"screen_failed"}

VisitStatus = Literal["planned", "due", "overdue", "done", "missed", "cancelled"]
Timing = Literal["early", "in_window", "late"]


@dataclass(frozen=True, kw_only=True)
class VisitHeld:
    """A visit that took place, on a date of the site."""

    id: UUID
    code: str
    held_on: date


@dataclass(frozen=True, kw_only=True)
class VisitArranged:
    """What a site said of a visit to come: missed, cancelled, or planned for another date."""

    code: str
    status: Literal["missed", "cancelled", "planned"]
    planned_on: date | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScheduleEntry:
    """One visit of the schedule, with the members of the contract.

    `planned_date` is the appointment, where one was made for another date than the target.
    """

    id: UUID
    code: str
    title: str
    target_date: date | None
    window_start: date | None
    window_end: date | None
    planned_date: date | None
    actual_date: date | None
    status: VisitStatus
    timing: Timing | None
    reason: str | None
    activities: tuple[str, ...]
    is_projection: bool


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a schedule follows from; arrangements in the order recorded, the last one stands."""

    participant: UUID
    first_infusion_on: date | None = None
    planned_infusion_on: date | None = None
    held: Sequence[VisitHeld] = ()
    arranged: Sequence[VisitArranged] = ()
    statuses: Sequence[StatusChange] = ()

    @property
    def anchor(self) -> date | None:
        """The date from which targets count, or are projected."""
        return self.first_infusion_on or self.planned_infusion_on


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The visits in the order of their dates, and the next one to come."""

    visits: tuple[ScheduleEntry, ...]

    @property
    def next(self) -> ScheduleEntry | None:
        """The visit that is due, else the next one planned."""
        coming = [visit for visit in self.visits if visit.status in ("due", "planned")]
        return min(coming, key=lambda visit: visit.status != "due", default=None)

    @property
    def digest(self) -> str:
        """A hash of the content: it changes when a record does, or a status at midnight."""
        content = json.dumps([asdict(visit) for visit in self.visits], default=str)
        return sha256(content.encode()).hexdigest()[:32]


def scheduled_visit_id(study: str, participant: UUID, code: str) -> UUID:
    """Return the id of a scheduled visit, the same before and after it takes place."""
    return uuid5(NAMESPACE_URL, f"{study}/{participant}/visits/{code}")


def timing_of(window: VisitWindow, held_on: date) -> Timing:
    """Return whether a visit was held before, in or after its window."""
    if held_on < window.first_day:
        return "early"
    return "in_window" if held_on <= window.last_day else "late"


def derive_schedule(study: Study, course: Course, today: date) -> Schedule:
    """Return the schedule as it stands on a date of the site."""
    held_by_code = {visit.code: visit for visit in reversed(course.held)}
    arranged_by_code = {arranged.code: arranged for arranged in course.arranged}
    scheduled = [
        _scheduled(
            study, plan, course, held_by_code.get(plan.code), arranged_by_code.get(plan.code), today
        )
        for plan in study.visits
    ]
    placed = {entry.id for entry in scheduled}
    others = [_unscheduled(study, visit) for visit in course.held if visit.id not in placed]
    return Schedule(visits=tuple(sorted([*scheduled, *others], key=_day_of)))


def _day_of(entry: ScheduleEntry) -> date:
    return entry.actual_date or entry.target_date or entry.window_start or date.max


def _scheduled(
    study: Study,
    plan: VisitPlan,
    course: Course,
    held: VisitHeld | None,
    arranged: VisitArranged | None,
    today: date,
) -> ScheduleEntry:
    window = None if course.anchor is None else visit_window(plan, course.anchor)
    status, reason = _status(course, window, held, arranged, today)
    made_for = arranged.planned_on if arranged and arranged.status == "planned" else None
    return ScheduleEntry(
        id=held.id if held else scheduled_visit_id(study.number, course.participant, plan.code),
        code=plan.code,
        title=plan.title,
        target_date=window.target_date if window else None,
        window_start=window.first_day if window else None,
        window_end=window.last_day if window else None,
        planned_date=made_for,
        actual_date=held.held_on if held else None,
        status=status,
        timing=timing_of(window, held.held_on) if window and held else None,
        reason=reason,
        activities=_activities(plan, course, window, held),
        is_projection=course.first_infusion_on is None,
    )


def _activities(
    plan: VisitPlan, course: Course, window: VisitWindow | None, held: VisitHeld | None
) -> tuple[str, ...]:
    """Return what is done at the visit; who stopped treatment comes without an infusion."""
    stopped_on = next((c.date for c in course.statuses if c.status == "follow_up"), None)
    last_day = None if window is None else window.last_day
    day = last_day if held is None else held.held_on
    if stopped_on is None or day is None or day < stopped_on:
        return plan.activities
    return tuple(name for name in plan.activities if name not in _OF_TREATMENT)


def _status(
    course: Course,
    window: VisitWindow | None,
    held: VisitHeld | None,
    arranged: VisitArranged | None,
    today: date,
) -> tuple[VisitStatus, str | None]:
    """Return what became of a visit and why; what was held was held, whatever was said."""
    moved = arranged.reason if arranged else None
    if held is not None:
        return "done", moved
    if arranged is not None and arranged.status != "planned":
        return arranged.status, moved
    left = next(
        (change for change in _since_screening(course.statuses) if change.status in _LEAVING), None
    )
    if left is not None and (window is None or window.last_day >= left.date):
        return "cancelled", left.reason or left.status
    return _by_date(window, today), moved


def _since_screening(statuses: Sequence[StatusChange]) -> Iterator[StatusChange]:
    """Return what followed the last screening: an earlier one that failed ended nothing."""
    started = [at for at, change in enumerate(statuses) if change.status == "screening"]
    return iter(statuses[started[-1] if started else 0 :])


def _by_date(window: VisitWindow | None, today: date) -> VisitStatus:
    if window is None or today < window.first_day:
        return "planned"
    return "due" if today <= window.last_day else "overdue"


def _unscheduled(study: Study, visit: VisitHeld) -> ScheduleEntry:
    return ScheduleEntry(
        id=visit.id,
        code=visit.code,
        title="Unscheduled visit",
        target_date=None,
        window_start=None,
        window_end=None,
        planned_date=None,
        actual_date=visit.held_on,
        status="done",
        timing=None,
        reason=None,
        activities=study.unscheduled_activities,
        is_projection=False,
    )
