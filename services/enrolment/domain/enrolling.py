"""The investigator's signed decision, and what moves a participant on afterwards."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from services.enrolment.domain.judging_file import Gathered, judge_file
from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import (
    DECISION,
    SITE,
    STATUS,
    ParticipantFile,
)
from services.enrolment.domain.participants import (
    AlreadyEnrolled,
    ChangeStatus,
    EnrolmentDecision,
    NotEligible,
    Places,
    decide_enrolment,
    decide_status,
    was_enrolled,
)
from services.enrolment.domain.registering import status_change
from services.kernel.records import Change, Decision, is_same, unchanged
from services.kernel.refusals import Fault, Impossible
from services.protocol.participation import require_consent, require_past
from services.protocol.visit_calendar import site_date

STATED: Final = ("decision", "decided_at", "signed_by", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideEnrolment(Order):
    """Enrol the participant, or declare the screening failed."""

    form: EnrolmentDecision
    status_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveParticipant(Order):
    """Record that the participant left treatment or the study."""

    form: ChangeStatus


def decide_signed_decision(
    file: ParticipantFile, order: DecideEnrolment, now: datetime, gathered: Gathered
) -> Decision:
    """Enrol who is eligible, consents and has a place; or end the screening.

    The same decision again changes nothing. Raises NotFound, Impossible, AlreadyEnrolled,
    ScreeningEnded, NotEligible, NoConsentInForce, SiteClosed, StudyFull, SourceAlreadyUsed.
    """
    site = file.require_site(order.sites)
    require_past("/decided_at", order.form.decided_at, now)
    members: dict[str, Any] = {name: getattr(order.form, name) for name in STATED}
    twin = file.repeated(DECISION, order, members, STATED)
    if twin is not None:
        return unchanged(twin)
    for stored in file.stored(DECISION):
        if is_same(stored, members, STATED):
            return unchanged(stored)
    if was_enrolled(file.statuses):
        raise AlreadyEnrolled("An enrolment decision stands.")
    if order.form.decision == "enrol":
        for scope in ("treatment", "data"):
            require_consent(file.consents, scope, order.form.decided_at)
    judged = judge_file(gathered)
    time_zone = order.study.site(site).time_zone
    try:
        change = decide_enrolment(
            file.statuses,
            order.form,
            decided_on=site_date(order.form.decided_at, time_zone),
            verdict=judged.verdict,
            places=_places(file, order, site),
        )
    except NotEligible as refusal:
        reasons = f"failed: {_listed(judged.failed)}; unknown: {_listed(judged.unknown)}"
        raise NotEligible(f"{refusal.detail} {reasons}.") from None
    members |= {
        "verdict": judged.verdict,
        "criteria": dict(judged.criteria),
        "failed": list(judged.failed),
        "unknown": list(judged.unknown),
    }
    signed = Change(
        resource=DECISION,
        id=order.id,
        participant=order.participant,
        site=site,
        members=members,
        reason=order.form.reason,
        source_system=order.source_system,
        source_ref=order.source_ref,
    )
    moved = status_change(order, order.status_id, change, site)
    return Decision(write="created", changes=(signed, moved), derived={"status": change.status})


def _listed(criteria: tuple[str, ...]) -> str:
    return ", ".join(criteria) or "none"


def _places(file: ParticipantFile, order: DecideEnrolment, site: str) -> Places:
    settings = file.book.sites.get(site)
    planned = order.study.site(site)
    return Places(
        of_study=order.study.places,
        of_site=settings["places"] if settings else planned.places,
        taken_in_study=sum(file.book.enrolled_by_site.values()),
        taken_at_site=file.book.enrolled_by_site.get(site, 0),
        is_site_open=(settings["status"] if settings else planned.status) == "open",
    )


def decide_move(file: ParticipantFile, order: MoveParticipant, now: datetime) -> Decision:
    """Record a status that a person states; the same again changes nothing.

    Raises NotFound, Impossible, NeverConsented, StatusNotAllowed, SourceAlreadyUsed.
    """
    site = file.require_site(order.sites)
    members = {"status": order.form.status, "date": order.form.date, "reason": order.form.reason}
    twin = file.repeated(STATUS, order, members, members)
    if twin is not None:
        return unchanged(twin)
    for stored in file.stored(STATUS)[-1:]:
        if is_same(stored, members, members):
            return unchanged(stored)
    today = site_date(now, order.study.site(site).time_zone)
    _require_not_later(order.form, today)
    history = file.history(order.study, order.form.date)
    # Registration may be entered late: its day says nothing of when screening began.
    history[0] = replace(history[0], date=min(history[0].date, order.form.date))
    change = decide_status(history, order.form, has_consented=bool(file.consents))
    moved = status_change(
        order,
        order.id,
        change,
        site,
        stated=order.form.status,
        source_system=order.source_system,
        source_ref=order.source_ref,
    )
    return Decision(write="created", changes=(moved,))


def _require_not_later(form: ChangeStatus, today: date) -> None:
    if form.date > today:
        fault = Fault("/date", "in_the_future", "What is recorded must have happened.")
        raise Impossible("A date lies in the future.", faults=[fault])


@dataclass(frozen=True, slots=True, kw_only=True)
class PutSite(Order):
    """Open or close a site, or set how many it may enrol."""

    code: str
    status: str
    places: int | None


def decide_site(file: ParticipantFile, order: PutSite, now: datetime) -> Decision:
    """Make the site's settings, or their next version; the same again changes nothing."""
    del now
    members = {"code": order.code, "status": order.status, "places": order.places}
    standing = file.records.get(SITE.name, {}).get(order.id)
    if standing is not None and is_same(standing, members, members):
        return unchanged(standing)
    change = Change(
        resource=SITE,
        id=order.id,
        participant=order.participant,
        version=standing.version + 1 if standing else 1,
        action="created" if standing is None else "corrected",
        site=order.code,
        members=members,
    )
    return Decision(write="created" if standing is None else "updated", changes=(change,))
