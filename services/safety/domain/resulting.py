"""Recording, correcting and retracting laboratory reports.

Source: the contract's "The other bodies" and "Records, gates, parts". One report is what
was collected at one time; its values stay in the units in which they came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from services.kernel.records import (
    Change,
    Decision,
    Resource,
    Stored,
    correction,
    is_same,
    refuse_used_source,
    require_reason,
    require_version,
    retraction,
    unchanged,
)
from services.kernel.refusals import Fault, Impossible
from services.protocol.participation import (
    CLOCK_LEEWAY,
    Participation,
    require_consent,
    require_participation,
)
from services.protocol.study import Study
from services.safety.domain.dossier import (
    LABORATORY_RESULT,
    Dossier,
    Order,
    SourceReference,
    new_record,
    require_known,
    visits_of,
)
from services.safety.domain.laboratory import LaboratoryReport, check_laboratory
from services.safety.domain.laboratory_grades import (
    grade_in_course,
    propose_adverse_events,
)

STATED: Final = ("collected_at", "visit", "results")
"""The members that the sender states; the rest is derived."""
_REPORT: Final = TypeAdapter(LaboratoryReport)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResults(Order):
    """Record one laboratory report; within a visit, `visit_source` is the visit's reference."""

    report: LaboratoryReport
    visit_source: SourceReference | None = None

    @property
    def named_sources(self) -> tuple[tuple[Resource, SourceReference], ...]:
        """The reference under which the record may exist already."""
        return () if self.source is None else ((LABORATORY_RESULT, self.source),)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectResults(RecordResults):
    """Replace what a laboratory report states, for a reason."""

    version: int | None
    change_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractResults(Order):
    """Retract a laboratory report that was entered in error."""

    version: int | None
    reason: str


def decide_results(dossier: Dossier, command: RecordResults, now: datetime) -> Decision:
    """Accept one laboratory report.

    The same source with the same content is unchanged; with other content it is refused.
    Raises NotFound, Impossible, SourceAlreadyUsed, NoConsentInForce, ParticipationEnded.
    """
    known = require_known(dossier, command)
    members = reported_members(dossier, command, now)
    twin = dossier.from_source(LABORATORY_RESULT, command.source)
    if twin is not None:
        if twin.participant == command.participant and is_same(twin, members, STATED):
            return _with_grades(unchanged(twin), dossier, command.study, members)
        raise refuse_used_source(twin)
    require_gates(command.study, known, command.report.collected_at)
    decision = Decision(write="created", changes=(first_results(command, known, members),))
    return _with_grades(decision, dossier, command.study, members)


def decide_correction(dossier: Dossier, command: CorrectResults, now: datetime) -> Decision:
    """Add a version with other content; the same content again changes nothing.

    Raises NotFound, Stale, Impossible, RecordRetracted, NoConsentInForce, ParticipationEnded.
    """
    known = require_known(dossier, command)
    stored = dossier.standing(LABORATORY_RESULT, command.id)
    require_version(stored, command.version)
    reason = require_reason(command.change_reason)
    members = reported_members(dossier, command, now)
    decision = unchanged(stored)
    if stored.is_retracted or not is_same(stored, members, STATED):
        require_gates(command.study, known, command.report.collected_at)
        decision = corrected_results(stored, members, reason)
    return _with_grades(decision, dossier, command.study, members)


def decide_retraction(dossier: Dossier, command: RetractResults, now: datetime) -> Decision:
    """Mark a laboratory report as entered in error; it stays readable.

    Raises NotFound and Stale.
    """
    del now
    require_known(dossier, command)
    stored = dossier.standing(LABORATORY_RESULT, command.id)
    decision = retraction(
        LABORATORY_RESULT,
        stored,
        version=command.version,
        columns=_columns(stored.document),
        reason=command.reason,
    )
    return _with_grades(decision, dossier, command.study, stored.document)


def require_gates(study: Study, known: Participation, at: datetime) -> None:
    """Raise NoConsentInForce or ParticipationEnded for what may not be recorded."""
    require_consent(known.consents, "data", at)
    require_participation(known.ended_on, at, study.site(known.site).time_zone)


def reported_members(dossier: Dossier, command: RecordResults, now: datetime) -> dict[str, Any]:
    """Return the record's members; raises Impossible with every fault of the report.

    A grade that is higher than before is a warning that proposes to record an adverse event.
    """
    report = command.report
    faults = []
    if report.visit not in visits_of(command.study):
        faults.append(Fault("/visit", "unknown_visit", "The study has no visit of this code."))
    if report.collected_at > now + CLOCK_LEEWAY:
        detail = "What is recorded must have happened."
        faults.append(Fault("/collected_at", "in_the_future", detail))
    warnings, wrong = check_laboratory(report, command.study)
    faults += wrong
    if faults:
        raise Impossible("The report holds what cannot be.", faults=faults)
    first_infusion_at = min(dossier.infusions, default=None)
    warnings += propose_adverse_events(
        report, command.study, _reports(dossier, without=command.id), first_infusion_at
    )
    members: dict[str, Any] = _REPORT.dump_python(report)
    return {**{name: members[name] for name in STATED}, "warnings": warnings}


def graded_results(
    dossier: Dossier, study: Study, members: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the CTCAE grade of each result that has a scale, with its rule in words.

    Derived when read: the baseline is the last value by the first infusion, as known now.
    """
    first_infusion_at = min(dossier.infusions, default=None)
    grades = grade_in_course(_read_report(members), study, _reports(dossier), first_infusion_at)
    return [
        {
            "pointer": f"/results/{graded.place}",
            "test": graded.test,
            "scale": graded.scale,
            "grade": graded.grade,
            "rule": graded.rule,
        }
        for graded in grades
    ]


def first_results(
    command: RecordResults, known: Participation, members: Mapping[str, Any]
) -> Change:
    """Return the change that records a report."""
    complete = dict(members)
    if command.visit_source is not None:
        complete["visit_source"] = command.visit_source.document
    return new_record(LABORATORY_RESULT, command, known.site, complete, _columns(complete))


def corrected_results(stored: Stored, members: Mapping[str, Any], reason: str) -> Decision:
    """Return the decision that adds the next version; raises RecordRetracted."""
    complete = dict(members)
    before = stored.document
    if "visit_source" in before:
        complete["visit_source"] = before["visit_source"]
    return correction(
        LABORATORY_RESULT, stored, complete, columns=_columns(complete), reason=reason
    )


def _with_grades(
    decision: Decision, dossier: Dossier, study: Study, members: Mapping[str, Any]
) -> Decision:
    return replace(decision, derived={"grades": graded_results(dossier, study, members)})


def _reports(dossier: Dossier, *, without: UUID | None = None) -> list[LaboratoryReport]:
    """Return the participant's reports as they stand, without one and those retracted."""
    return [
        _read_report(versions[-1].document)
        for record, versions in dossier.of_kind(LABORATORY_RESULT).items()
        if record != without and not versions[-1].is_retracted
    ]


def _read_report(members: Mapping[str, Any]) -> LaboratoryReport:
    return _REPORT.validate_python({name: members[name] for name in STATED})


def _columns(members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "visit": members["visit"],
        "collected_at": datetime.fromisoformat(members["collected_at"]),
    }
