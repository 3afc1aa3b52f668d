"""Infusions: accepted, corrected and retracted; each is given within a visit (rulebook 7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.enrolment.domain.consents import require_infusion_consent
from services.enrolment.domain.infusion_records import (
    STATED,
    InfusionForm,
    infusion_columns,
    infusion_members,
    weighings_of,
)
from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import INFUSION, ParticipantFile
from services.enrolment.domain.participants import derive_first_infusion, require_enrolment
from services.enrolment.domain.registering import status_change
from services.enrolment.domain.schedule import UNSCHEDULED
from services.kernel.records import (
    Change,
    Decision,
    Stored,
    correction,
    is_same,
    require_reason,
    require_version,
    retraction,
    unchanged,
)
from services.kernel.refusals import Conflict, Fault, Impossible, NotFound
from services.protocol.participation import CLOCK_LEEWAY, require_participation
from services.protocol.study import Study
from services.protocol.visit_calendar import require_plannable, site_date


class InfusionRecorded(Conflict):
    """An infusion of this visit is recorded already.

    Correct the standing infusion with `PUT`, or retract it first.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordInfusion(Order):
    """Record an infusion by itself."""

    visit: str
    form: InfusionForm
    status_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectInfusion(RecordInfusion):
    """Replace what an infusion's record states, for a reason."""

    version: int | None
    change_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractInfusion(Order):
    """Retract an infusion that was entered in error."""

    version: int | None
    reason: str


def decide_infusion(file: ParticipantFile, order: RecordInfusion, now: datetime) -> Decision:
    """Accept an infusion by itself; the same again changes nothing.

    Raises NotFound, Impossible, NotEnrolled, NoConsentInForce, ParticipationEnded,
    SourceAlreadyUsed, InfusionRecorded.
    """
    file.require_site(order.sites)
    members = _members(file, order, now)
    stated = (*STATED, "visit")
    twin = file.repeated(INFUSION, order, members, stated)
    standing = twin or standing_infusion(file, order.visit, order.form.started_at)
    if standing is None:
        source = (order.source_system, order.source_ref)
        changes = new_infusion(file, order, members, order.id, order.status_id, source)
        return Decision(write="created", changes=changes)
    if is_same(standing, members, stated):
        return unchanged(standing)
    raise _recorded(standing)


def decide_infusion_correction(
    file: ParticipantFile, order: CorrectInfusion, now: datetime
) -> Decision:
    """Add a version of an infusion's record; the same again changes nothing.

    Raises as `decide_infusion`, and Stale, ChangeReasonRequired, RecordRetracted.
    """
    file.require_site(order.sites)
    stored = file.named(INFUSION, order.id)
    require_version(stored, order.version)
    reason = require_reason(order.change_reason)
    members = _members(file, order, now)
    if is_same(stored, members, (*STATED, "visit")) and not stored.is_retracted:
        return unchanged(stored)
    other = standing_infusion(file, order.visit, order.form.started_at)
    if other is not None and other.id != stored.id:
        raise _recorded(other)
    columns = infusion_columns(members)
    return correction(INFUSION, stored, members, columns=columns, reason=reason)


def decide_infusion_retraction(
    file: ParticipantFile, order: RetractInfusion, now: datetime
) -> Decision:
    """Mark an infusion as entered in error; raises NotFound and Stale."""
    del now
    file.require_site(order.sites)
    stored = file.named(INFUSION, order.id)
    columns = infusion_columns(stored.document)
    return retraction(INFUSION, stored, version=order.version, columns=columns, reason=order.reason)


def _members(file: ParticipantFile, order: RecordInfusion, now: datetime) -> dict[str, Any]:
    faults = infusion_faults(order.study, file.site, order.form, now)
    if order.visit != UNSCHEDULED and order.visit not in order.study.visit_codes:
        detail = "The study has no visit of this code."
        faults.append(Fault("/visit", "unknown_visit", detail))
    if faults:
        raise Impossible("The infusion cannot be so.", faults=faults)
    require_infusible(file, order.study, order.form)
    return infusion_members(
        order.study, file, order.visit, order.form, own=order.id, weighings=weighings_of(file)
    )


def _recorded(stored: Stored) -> InfusionRecorded:
    return InfusionRecorded(f"Record {stored.id} holds the infusion of this visit.")


def standing_infusion(file: ParticipantFile, visit: str, started_at: datetime) -> Stored | None:
    """Return the infusion of a visit; of those outside the plan the one of the same start."""
    for stored in file.stored(INFUSION):
        document = stored.document
        is_same_start = datetime.fromisoformat(document["started_at"]) == started_at
        if document["visit"] == visit and (is_same_start or visit != UNSCHEDULED):
            return stored
    return None


def recorded_infusion(file: ParticipantFile, visit: str, started_at: datetime) -> Stored:
    """Return the infusion of a visit; raises NotFound."""
    standing = standing_infusion(file, visit, started_at)
    if standing is None:
        raise NotFound
    return standing


def require_infusible(file: ParticipantFile, study: Study, given: InfusionForm) -> None:
    """Refuse what the participant's state forbids.

    Raises NotEnrolled, NoConsentInForce, ParticipationEnded.
    """
    require_enrolment(file.statuses)
    require_infusion_consent(file.consents, given.started_at)
    require_participation(file.ended_on, given.started_at, study.site(file.site).time_zone)


def infusion_faults(
    study: Study, site: str, given: InfusionForm, now: datetime, *, below: str = ""
) -> list[Fault]:
    """Return all that cannot be of an infusion; `below` is where it stands in the request."""
    detail = "What is recorded must have happened."
    faults = [
        Fault(f"{below}/{name}", "in_the_future", detail)
        for name in ("started_at", "stopped_at")
        if (at := getattr(given, name)) is not None and at > now + CLOCK_LEEWAY
    ]
    if given.stopped_at is not None and given.stopped_at < given.started_at:
        detail = "An infusion stops after it starts."
        faults.append(Fault(f"{below}/stopped_at", "before_start", detail))
    try:
        infused_on = site_date(given.started_at, study.site(site).time_zone)
        require_plannable(study, f"{below}/started_at", infused_on)
    except Impossible as impossible:
        faults += impossible.faults
    return faults


def new_infusion(
    file: ParticipantFile,
    order: Order,
    members: Mapping[str, Any],
    infusion_id: UUID,
    status_id: UUID,
    source: tuple[str | None, str | None] = (None, None),
) -> tuple[Change, ...]:
    """Return the infusion, and the status that the first one sets by itself."""
    source_system, source_ref = source
    infused = Change(
        resource=INFUSION,
        id=infusion_id,
        participant=order.participant,
        site=file.site,
        visit=members["visit"],
        members=members,
        columns=infusion_columns(members),
        source_system=source_system,
        source_ref=source_ref,
    )
    infused_on = site_date(members["started_at"], order.study.site(file.site).time_zone)
    began = derive_first_infusion(file.statuses, infused_on)
    if began is None:
        return (infused,)
    return infused, status_change(order, status_id, began, file.site)
