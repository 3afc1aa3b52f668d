"""The screening record: what the criteria need and no other service owns."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic.dataclasses import dataclass as form

from services.enrolment.domain.attestations import AttestationForm, require_attestable
from services.enrolment.domain.eligibility_facts import (
    CLOSED,
    DiagnosisFacts,
    InvestigatorFacts,
    MedicalFacts,
    OtherTrialFacts,
    ReproductiveFacts,
    TherapyFacts,
)
from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import (
    ATTESTATION,
    SCREENING,
    ParticipantFile,
)
from services.enrolment.domain.participants import status_of
from services.kernel.records import (
    Change,
    Decision,
    correction,
    is_same,
    require_reason,
    require_version,
    unchanged,
)
from services.kernel.refusals import Conflict, Stale, VersionRequired
from services.kernel.values import CalendarDate, Flag, Instant
from services.protocol.participation import NoConsentInForce, require_past
from services.protocol.visit_calendar import require_plannable


class ScreeningOver(Conflict):
    """The participant failed screening; screening again begins with a new registration.

    Register the participant again; the same `external_id` begins a new screening.
    """


@form(frozen=True, kw_only=True, config=CLOSED)
class ScreeningPsych:
    """What the investigator judges beside the self-rating scales."""

    other_psychiatric_disorder: Flag | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class ScreeningForm:
    """What was found at screening; whatever is not stated is unknown."""

    first_screening_procedure_datetime: Instant | None = None
    planned_first_infusion_date: CalendarDate | None = None
    diagnosis: DiagnosisFacts | None = None
    reproductive: ReproductiveFacts | None = None
    psych: ScreeningPsych | None = None
    medical: MedicalFacts | None = None
    other_trials: OtherTrialFacts | None = None
    therapies: TherapyFacts | None = None
    investigator: InvestigatorFacts | None = None


STATED: Final = tuple(ScreeningForm.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PutScreening(Order):
    """Put the whole screening record; `stated` is the form as it was sent."""

    form: ScreeningForm
    stated: dict[str, Any]
    version: int | None
    change_reason: str | None
    is_by_investigator: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attest(Order):
    """An investigator's statement on a criterion that a person must judge."""

    form: AttestationForm
    stated_by: str


def decide_screening(file: ParticipantFile, order: PutScreening, now: datetime) -> Decision:
    """Make the screening record, or its next version.

    Raises NotFound, VersionRequired, Stale, Impossible, NoConsentInForce, ScreeningOver.
    """
    site = file.require_site(order.sites)
    standing = file.stored(SCREENING)
    stored = standing[-1] if standing else None
    if stored is not None and order.version is None:
        raise VersionRequired("The screening record stands; name its version in If-Match.")
    if stored is None and order.version is not None:
        raise Stale("There is no screening record yet.")
    if stored is not None:
        require_version(stored, order.version)
    began = order.form.first_screening_procedure_datetime
    require_past("/first_screening_procedure_datetime", began, now)
    planned = order.form.planned_first_infusion_date
    require_plannable(order.study, "/planned_first_infusion_date", planned)
    members = {name: order.stated.get(name) for name in STATED}
    members["attested"] = order.is_by_investigator
    is_past = stored is not None and file.is_of_earlier_screening(stored)
    if stored and not is_past and is_same(stored, members, (*STATED, "attested")):
        return unchanged(stored)
    _require_screening(file, now)
    if stored is not None:
        reason = require_reason(order.change_reason)
        return correction(SCREENING, stored, members, columns={}, reason=reason)
    file.repeated(SCREENING, order, members, STATED)
    change = Change(
        resource=SCREENING,
        id=order.id,
        participant=order.participant,
        site=site,
        members=members,
        source_system=order.source_system,
        source_ref=order.source_ref,
    )
    return Decision(write="created", changes=(change,))


def _require_screening(file: ParticipantFile, now: datetime) -> None:
    consents = file.consents
    if consents and not any(consent.is_in_force("data", now) for consent in consents):
        raise NoConsentInForce("Consent to the use of data was withdrawn.")
    if status_of(file.statuses) == "screen_failed":
        raise ScreeningOver


def decide_attestation(file: ParticipantFile, order: Attest, now: datetime) -> Decision:
    """Keep an investigator's statement on a criterion; the same again changes nothing.

    Raises NotFound, Impossible for a computed or unknown criterion, NoConsentInForce.
    """
    site = file.require_site(order.sites)
    require_attestable(order.study, order.form)
    require_past("/stated_at", order.form.stated_at, now)
    members = {
        "criterion": order.form.criterion,
        "result": order.form.result,
        "stated_at": order.form.stated_at,
        "statement": order.form.statement,
        "stated_by": order.stated_by,
    }
    twin = file.repeated(ATTESTATION, order, members, members)
    if twin is not None:
        return unchanged(twin)
    for stored in file.stored(ATTESTATION):
        if is_same(stored, members, members) and not file.is_of_earlier_screening(stored):
            return unchanged(stored)
    _require_screening(file, now)
    change = Change(
        resource=ATTESTATION,
        id=order.id,
        participant=order.participant,
        site=site,
        members=members,
        reason=order.form.statement,
        source_system=order.source_system,
        source_ref=order.source_ref,
    )
    return Decision(write="created", changes=(change,))
