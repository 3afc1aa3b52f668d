"""Recording, correcting and retracting assessments: what is accepted, and what it becomes.

Source: the contract's "Records, gates, parts"; the scores come from the instruments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as form

from services.kernel.records import (
    Change,
    Decision,
    Recorded,
    Resource,
    Standing,
    Stored,
    correction,
    is_same,
    refuse_used_source,
    require_reason,
    require_version,
    retraction,
    unchanged,
)
from services.kernel.refusals import Fault, Impossible, NotFound
from services.kernel.values import Code, Instant, Name, Reason
from services.protocol.participation import (
    Participation,
    require_consent,
    require_participation,
    require_past,
)
from services.protocol.study import Study
from services.scoring.domain.agreement import disagreement, may_disagree
from services.scoring.domain.instruments import INSTRUMENTS, score_answers

ASSESSMENT: Final = Resource("assessment", "assessment_version")
UNSCHEDULED: Final = "unscheduled"
STATED: Final = ("instrument", "visit", "assessed_at", "assessor", "answers")
"""The members that the sender states; the rest is derived."""


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class AssessmentForm:
    """One instrument as it was filled in."""

    instrument: Code
    visit: Code
    assessed_at: Instant
    answers: dict[str, Any]
    assessor: Name | None = None


@dataclass(slots=True)
class Dossier:
    """What a decision about assessments knows of a participant."""

    participation: Participation | None
    standing: Standing

    def absorb(self, recorded: Recorded) -> None:
        """Take in an assessment of the same batch."""
        self.standing.absorb(recorded)

    def in_slot(self, participant: UUID, instrument: str, at: datetime) -> Stored | None:
        """Return the participant's assessment by an instrument at a time, if one stands."""
        for stored in self.standing.of(participant):
            document = stored.document
            same_time = datetime.fromisoformat(document["assessed_at"]) == at
            if document["instrument"] == instrument and same_time and not stored.is_retracted:
                return stored
        return None

    def compare(
        self,
        participant: UUID,
        members: dict[str, Any],
        time_zone: str,
        *,
        beside: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Warn where another assessment of the visit says otherwise; `beside`: of its request."""
        if not may_disagree(members["instrument"], members["answers"]):
            return
        standing = [one.document for one in self.standing.of(participant) if not one.is_retracted]
        members["warnings"] += disagreement(members, [*beside, *standing], time_zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAssessment:
    """Record one filled-in instrument."""

    study: Study
    participant: UUID
    id: UUID
    sites: frozenset[str] | None
    form: AssessmentForm
    source_system: str | None = None
    source_ref: str | None = None

    @property
    def streams(self) -> tuple[UUID, ...]:
        """Lock the participant's stream."""
        return (self.participant,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectAssessment(RecordAssessment):
    """Replace what an assessment states, for a reason."""

    version: int | None
    change_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractAssessment:
    """Retract an assessment that was entered in error."""

    participant: UUID
    id: UUID
    sites: frozenset[str] | None
    version: int | None
    reason: Reason

    @property
    def streams(self) -> tuple[UUID, ...]:
        """Lock the participant's stream."""
        return (self.participant,)


def decide_record(dossier: Dossier, command: RecordAssessment, now: datetime) -> Decision:
    """Accept one assessment and score it.

    The same source with the same content is unchanged; with other content it is refused.
    Raises NotFound, Impossible, SourceAlreadyUsed, NoConsentInForce, ParticipationEnded.
    """
    participation = known_participation(dossier, command.sites)
    members, columns = scored_members(command.study, command.form)
    require_past("/assessed_at", command.form.assessed_at, now)
    twin = dossier.standing.by_source(command.source_system, command.source_ref)
    if twin is not None:
        if twin.participant == command.participant and is_same(twin, members, STATED):
            return unchanged(twin)
        raise refuse_used_source(twin)
    require_gates(command.study, participation, command.form.assessed_at)
    time_zone = command.study.site(participation.site).time_zone
    dossier.compare(command.participant, members, time_zone)
    change = Change(
        resource=ASSESSMENT,
        id=command.id,
        participant=command.participant,
        site=participation.site,
        visit=command.form.visit,
        members=members,
        columns=columns,
        source_system=command.source_system,
        source_ref=command.source_ref,
    )
    return Decision(write="created", changes=(change,))


def decide_correction(dossier: Dossier, command: CorrectAssessment, now: datetime) -> Decision:
    """Add a version with other content; the same content again changes nothing.

    Raises NotFound, Stale, Impossible, RecordRetracted, NoConsentInForce, ParticipationEnded.
    """
    participation = known_participation(dossier, command.sites)
    stored = dossier.standing.by_id(command.participant, command.id)
    require_version(stored, command.version)
    reason = require_reason(command.change_reason)
    members, columns = scored_members(command.study, command.form)
    require_past("/assessed_at", command.form.assessed_at, now)
    if is_same(stored, members, STATED) and not stored.is_retracted:
        return unchanged(stored)
    require_gates(command.study, participation, command.form.assessed_at)
    time_zone = command.study.site(participation.site).time_zone
    dossier.compare(command.participant, members, time_zone)
    return correction(ASSESSMENT, stored, members, columns=columns, reason=reason)


def decide_retraction(dossier: Dossier, command: RetractAssessment, now: datetime) -> Decision:
    """Mark an assessment as entered in error; it stays readable.

    Raises NotFound and Stale.
    """
    del now
    known_participation(dossier, command.sites)
    stored = dossier.standing.by_id(command.participant, command.id)
    columns = _columns(stored.document, score=None)
    return retraction(
        ASSESSMENT, stored, version=command.version, columns=columns, reason=command.reason
    )


def known_participation(dossier: Dossier, sites: frozenset[str] | None) -> Participation:
    """Return the participant's gates; raises NotFound for one the caller may not know."""
    participation = dossier.participation
    if participation is None or (sites is not None and participation.site not in sites):
        raise NotFound
    return participation


def require_gates(study: Study, participation: Participation, at: datetime) -> None:
    """Raise NoConsentInForce or ParticipationEnded for a time that the gates do not pass."""
    time_zone = study.site(participation.site).time_zone
    require_consent(participation.consents, "data", at)
    require_participation(participation.ended_on, at, time_zone)


def scored_members(study: Study, form: AssessmentForm) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a record's members with its scores, and its typed columns; raises Impossible."""
    faults = []
    if form.visit != UNSCHEDULED and form.visit not in {visit.code for visit in study.visits}:
        faults.append(Fault("/visit", "unknown_visit", "The study has no visit of this code."))
    if form.instrument not in study.instruments:
        faults.append(Fault("/instrument", "unknown_instrument", "The study does not use it."))
        raise Impossible("A code is unknown to the study.", faults=faults)
    try:
        scored = score_answers(form.instrument, form.answers, study.settings)
    except Impossible as impossible:
        faults += _below("/answers", impossible)
        raise Impossible(impossible.detail, faults=faults) from None
    if faults:
        raise Impossible("A code is unknown to the study.", faults=faults)
    members = {
        "instrument": form.instrument,
        "visit": form.visit,
        "assessed_at": form.assessed_at,
        "assessor": form.assessor,
        "answers": form.answers,
        "derived": scored.derived,
        "rule": scored.rule_version,
        "warnings": [
            {**warning, "pointer": f"/answers{warning['pointer']}"} for warning in scored.warnings
        ],
    }
    return members, _columns(members, score=scored.score)


def _below(pointer: str, impossible: Impossible) -> list[Fault]:
    return [Fault(pointer + fault.pointer, fault.code, fault.detail) for fault in impossible.faults]


def score_of(document: Mapping[str, Any]) -> int | None:
    """Return the score of a stored assessment, in the instrument's smallest unit."""
    instrument = INSTRUMENTS[document["instrument"]]
    value = document["derived"][instrument.member]
    if value is None or document["record_status"] == "retracted":
        return None
    return int(Decimal(str(value)) * instrument.parts)


def _columns(members: Mapping[str, Any], *, score: int | None) -> dict[str, Any]:
    at = members["assessed_at"]
    return {
        "instrument": members["instrument"],
        "visit": members["visit"],
        "assessed_at": at if isinstance(at, datetime) else datetime.fromisoformat(at),
        "score": score,
    }
