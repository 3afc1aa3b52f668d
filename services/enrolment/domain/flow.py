"""The flow of participants through the study, as CONSORT counts it (CONSORT 2010, item 13).

Participants are counted once, by the status that stands. Who was screened is in screening,
failed it, left before enrolment or was enrolled; who was enrolled awaits treatment, is on
it, is followed up, completed, or left.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from typing import Any, Final

from services.enrolment.domain.participants import Status, StatusChange, status_of, was_enrolled
from services.protocol.participation import ENDING

_AFTER_ENROLMENT: Final[Mapping[Status, str]] = {
    "enrolled": "awaiting_treatment",
    "on_treatment": "on_treatment",
    "follow_up": "follow_up",
    "completed": "completed",
    "withdrawn": "withdrawn",
    "lost_to_follow_up": "lost_to_follow_up",
    "died": "died",
}
_MEMBERS: Final = (
    "screened",
    "in_screening",
    "screen_failed",
    "left_before_enrolment",
    "enrolled",
    "treated",
    *_AFTER_ENROLMENT.values(),
)


@dataclass(frozen=True, kw_only=True)
class Course:
    """One participant: site, status history, and the criteria that a screen failure named."""

    site: str
    history: Sequence[StatusChange]
    failed: tuple[str, ...] = ()


def derive_flow(courses: Iterable[Course]) -> dict[str, Any]:
    """Return the numbers of the study, by site, and over time.

    `failed_by_criterion` counts participants whose screening failed, once for each criterion.
    """
    everyone = list(courses)
    sites = sorted({course.site for course in everyone})
    return {
        **_numbers(everyone),
        "by_site": {
            site: _numbers([course for course in everyone if course.site == site]) for site in sites
        },
    }


def _numbers(courses: Sequence[Course]) -> dict[str, Any]:
    counted = Counter(member for course in courses for member in _members_of(course))
    failed = Counter(
        criterion
        for course in courses
        if status_of(course.history) == "screen_failed"
        for criterion in set(course.failed)
    )
    numbers: dict[str, Any] = {member: counted[member] for member in _MEMBERS}
    return {
        **numbers,
        "failed_by_criterion": dict(sorted(failed.items())),
        "over_time": _over_time(courses),
    }


def _members_of(course: Course) -> tuple[str, ...]:
    status = status_of(course.history)
    if was_enrolled(course.history):
        treated = ("treated",) if _began(course, "on_treatment") is not None else ()
        return ("screened", "enrolled", *treated, _AFTER_ENROLMENT[status])
    if status in ENDING:
        return ("screened", "left_before_enrolment")
    return ("screened", "screen_failed" if status == "screen_failed" else "in_screening")


def _began(course: Course, status: Status) -> date | None:
    if status == "screening":
        # A screening is dated by its entry, which may come late; what followed it did not.
        return min(change.date for change in course.history)
    if status == "screen_failed" != status_of(course.history):
        return None
    return next((change.date for change in course.history if change.status == status), None)


_STEPS: Final[Mapping[str, Status]] = {
    "screened": "screening",
    "screen_failed": "screen_failed",
    "enrolled": "enrolled",
    "treated": "on_treatment",
    "followed_up": "follow_up",
    "completed": "completed",
    "withdrawn": "withdrawn",
    "lost_to_follow_up": "lost_to_follow_up",
    "died": "died",
}


def _over_time(courses: Sequence[Course]) -> list[dict[str, Any]]:
    """Return how many had reached each step by each day that added one.

    A screening that failed counts unless the participant was screened again.
    """
    dates_by_step = {
        step: Counter(began for course in courses if (began := _began(course, status)) is not None)
        for step, status in _STEPS.items()
    }
    days = sorted(set().union(*dates_by_step.values()))
    columns = [accumulate([counted[day] for day in days]) for counted in dates_by_step.values()]
    return [
        {"date": day, **dict(zip(_STEPS, so_far, strict=True))}
        for day, *so_far in zip(days, *columns, strict=True)
    ]
