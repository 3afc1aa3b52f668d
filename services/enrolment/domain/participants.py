"""The states of a participant and what moves one to the next (rulebook section 7).

screening -> screen_failed | enrolled -> on_treatment -> follow_up -> completed; withdrawn,
lost to follow-up and died from any state after consent. Being eligible is computed from the
criteria and stored nowhere. Leaving treatment is not leaving the study: follow-up goes on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as form

from services.kernel.refusals import Conflict, Fault, Impossible
from services.kernel.values import CalendarDate, Code, Instant, Name, Reason
from services.protocol.participation import ENDING

CLOSED = ConfigDict(extra="forbid")

Status = Literal[
    "screening",
    "screen_failed",
    "enrolled",
    "on_treatment",
    "follow_up",
    "completed",
    "withdrawn",
    "lost_to_follow_up",
    "died",
]
Departure = Literal["treatment_stopped", "withdrawn", "lost_to_follow_up", "died", "completed"]
Verdict = Literal["eligible", "pending", "ineligible"]

_IN_STUDY: Final[frozenset[Status]] = frozenset(
    {"screening", "enrolled", "on_treatment", "follow_up"}
)
_FROM_BY_DEPARTURE: Final[Mapping[Departure, frozenset[Status]]] = {
    "treatment_stopped": frozenset({"on_treatment"}),
    "completed": frozenset({"follow_up"}),
    "withdrawn": _IN_STUDY,
    "lost_to_follow_up": _IN_STUDY,
    # A death that becomes known later is recorded, though the participant had left.
    "died": _IN_STUDY | {"withdrawn", "lost_to_follow_up"},
}
_NEEDS_REASON: Final[frozenset[Departure]] = frozenset(
    {"treatment_stopped", "withdrawn", "lost_to_follow_up"}
)
_ENROLLED: Final[frozenset[Status]] = frozenset({"enrolled", "on_treatment", "follow_up"})


class AlreadyEnrolled(Conflict):
    """The participant is already enrolled.

    Read the decision that stands; nothing is left to do.
    """


class NotEnrolled(Conflict):
    """The participant is not enrolled.

    Record the enrolment decision first.
    """


class NotEligible(Conflict):
    """The criteria do not allow enrolment.

    Read the eligibility: it names each criterion that failed or is unknown.
    """


class StudyFull(Conflict):
    """No place is left in the study or at the site.

    Enrol at another site, or ask an administrator for places.
    """


class SiteClosed(Conflict):
    """The site takes no new participants.

    Register at another site, or ask an administrator to open this one.
    """


class ScreeningEnded(Conflict):
    """This screening has ended.

    Register the participant again to screen again.
    """


class StatusNotAllowed(Conflict):
    """The participant's status does not allow this change.

    Read the participant's statuses: one that ended the study is not left again.
    """


class NeverConsented(Conflict):
    """No consent was ever signed.

    Record the consent first.
    """


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """A status that stands from a date of the site on."""

    status: Status
    date: date
    reason: str | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class EnrolmentDecision:
    """The investigator's signed decision; a screen failure states its reason."""

    decision: Literal["enrol", "screen_fail"]
    decided_at: Instant
    signed_by: Name
    reason: Reason | None = None
    source_system: Code | None = None
    source_ref: Code | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class ChangeStatus:
    """An order to move a participant on, as it happened at the site."""

    status: Departure
    date: CalendarDate
    reason: Reason | None = None
    source_system: Code | None = None
    source_ref: Code | None = None


@dataclass(frozen=True, kw_only=True)
class Places:
    """How many may be enrolled and how many are; `None` is no limit."""

    of_study: int | None
    of_site: int | None
    taken_in_study: int
    taken_at_site: int
    is_site_open: bool = True


def status_of(history: Sequence[StatusChange]) -> Status:
    """Return the status that stands."""
    return history[-1].status


def ended_on(history: Iterable[StatusChange]) -> date | None:
    """Return the first day on which the participant had left the study, if ever."""
    return min((change.date for change in history if change.status in ENDING), default=None)


def was_enrolled(history: Iterable[StatusChange]) -> bool:
    """Tell whether an enrolment was ever decided."""
    return any(change.status == "enrolled" for change in history)


def require_enrolment(history: Sequence[StatusChange]) -> None:
    """Raise NotEnrolled for who was never enrolled: infusions and scheduled visits need it."""
    if not was_enrolled(history):
        raise NotEnrolled("Scheduled visits and infusions need an enrolment.")


def decide_enrolment(
    history: Sequence[StatusChange],
    order: EnrolmentDecision,
    *,
    decided_on: date,
    verdict: Verdict,
    places: Places,
) -> StatusChange:
    """Return the change that an investigator's decision makes; `decided_on` is the site's date.

    Raises AlreadyEnrolled, ScreeningEnded, NotEligible, SiteClosed, StudyFull, or Impossible
    for a screen failure without a reason. Consent is required by the caller.
    """
    _require_screening(history)
    if order.decision == "screen_fail":
        if order.reason is None:
            raise _without_reason("A screen failure states its reason.")
        return StatusChange(status="screen_failed", date=decided_on, reason=order.reason)
    if verdict != "eligible":
        raise NotEligible(f"The verdict of the criteria is {verdict}.")
    _require_place(places)
    reason = order.reason or "Enrolled by a signed decision."
    return StatusChange(status="enrolled", date=decided_on, reason=reason)


def _require_screening(history: Sequence[StatusChange]) -> None:
    status = status_of(history)
    if status in _ENROLLED:
        raise AlreadyEnrolled("An enrolment decision stands.")
    if status != "screening":
        raise ScreeningEnded("Screening has ended; screening again gets a new number.")


def _require_place(places: Places) -> None:
    if not places.is_site_open:
        raise SiteClosed("The site is closed to new participants.")
    if places.of_study is not None and places.taken_in_study >= places.of_study:
        raise StudyFull("All places of the study are taken.")
    if places.of_site is not None and places.taken_at_site >= places.of_site:
        raise StudyFull("All places of the site are taken.")


def decide_status(
    history: Sequence[StatusChange], order: ChangeStatus, *, has_consented: bool
) -> StatusChange:
    """Return the change that leaving treatment or the study makes.

    Raises NeverConsented, StatusNotAllowed, or Impossible where a reason is missing.
    """
    if order.reason is None and order.status in _NEEDS_REASON:
        raise _without_reason("Why the participant left must be stated.")
    before = history[-1]
    if not has_consented:
        raise NeverConsented("Only who consented can leave the study.")
    if before.status not in _FROM_BY_DEPARTURE[order.status]:
        raise StatusNotAllowed(f"From {before.status} there is no way to {order.status}.")
    if order.date < before.date:
        raise StatusNotAllowed(f"The status {before.status} stands from a later date on.")
    status: Status = "follow_up" if order.status == "treatment_stopped" else order.status
    return StatusChange(status=status, date=order.date, reason=order.reason)


def derive_first_infusion(history: Sequence[StatusChange], infused_on: date) -> StatusChange | None:
    """Return the change that the first infusion makes by itself, `None` where it makes none.

    Raises NotEnrolled.
    """
    require_enrolment(history)
    if status_of(history) != "enrolled":
        return None  # entered late, after the participant had moved on
    reason = "The first infusion was given."
    return StatusChange(status="on_treatment", date=infused_on, reason=reason)


def decide_rescreening(history: Sequence[StatusChange], screened_on: date) -> StatusChange:
    """Return the change that screening again makes; it gets a new screening number.

    Raises StatusNotAllowed unless the last screening failed.
    """
    if status_of(history) != "screen_failed":
        raise StatusNotAllowed("Only who failed screening is screened again.")
    return StatusChange(status="screening", date=screened_on, reason="Screened again.")


def screening_number(site: str, ordinal: int) -> str:
    """Return the number of a site's n-th screening, such as `GDTCM-001`."""
    return f"{site}-{ordinal:03d}"


def _without_reason(detail: str) -> Impossible:
    return Impossible(detail, faults=[Fault("/reason", "reason_required", detail)])
