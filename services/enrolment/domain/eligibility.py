"""Eligibility: every atomic criterion, and the verdict that follows (rulebook section 6).

The verdict is a proposal: enrolment needs the investigator's signature.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from services.enrolment.domain.criteria.explaining import ATTESTATION, explain
from services.enrolment.domain.criteria.findings import Evaluation, Finding, Result
from services.enrolment.domain.criteria.judging import COMPUTED_FROM_DATES, judge
from services.enrolment.domain.criteria.laboratory import refuse_other_analytes
from services.enrolment.domain.eligibility_facts import EligibilityFacts
from services.protocol.settings import Settings
from services.protocol.study import Criterion, Study

Verdict = Literal["eligible", "pending", "ineligible"]
AttestedResult = Literal["met", "not_met"]


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """An investigator's statement on one criterion."""

    result: AttestedResult
    stated_at: datetime
    stated_by: str
    statement: str | None = None


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """The verdict, the result of each criterion, and how each was found.

    `failed` are inclusions not met and exclusions met; both lists are in the study's order.
    """

    verdict: Verdict
    failed: tuple[str, ...]
    unknown: tuple[str, ...]
    criteria: Mapping[str, Result]
    details: Mapping[str, Mapping[str, Any]]


def evaluate_eligibility(
    facts: EligibilityFacts,
    *,
    study: Study,
    settings: Settings,
    time_zone: ZoneInfo,
    attested: Mapping[str, Attestation] | None = None,
    unattested: Collection[str] = (),
    sources: Mapping[str, Any] | None = None,
) -> Eligibility:
    """Judge every criterion of the study and propose the verdict.

    `unattested` names criteria whose facts no investigator has stated yet; `sources` says by
    JSON pointer into the facts where each part came from.
    Raises Impossible for a result of another analyte, such as ionised calcium.
    """
    evaluation = Evaluation(
        facts=facts,
        settings=settings.eligibility,
        time_zone=time_zone,
        test_by_name=study.laboratory_test_by_name,
    )
    refuse_other_analytes(evaluation)
    results: dict[str, Result] = {}
    details: dict[str, Mapping[str, Any]] = {}
    for criterion in study.criteria:
        computed = judge(criterion.id, evaluation)
        attestation = (attested or {}).get(criterion.id)
        finding = _weigh(criterion, computed, attestation, is_entered=criterion.id in unattested)
        results[criterion.id] = finding.result
        details[criterion.id] = {
            **explain(criterion, finding, evaluation, sources or {}),
            "attestation": attestation,
        }
    return _conclude(study.criteria, results, details)


def _weigh(
    criterion: Criterion, computed: Finding, attestation: Attestation | None, *, is_entered: bool
) -> Finding:
    """Return what stands: the computation, or where a person decides, the statement.

    Dates that suffice decide even where someone stated otherwise, because anchors move.
    """
    if not criterion.needs_attestation or computed.result == "not_applicable":
        return computed
    if attestation is None:
        return _entered(computed) if is_entered else computed
    differs = computed.result not in ("unknown", attestation.result)
    flags = (*computed.flags, "attestation_differs_from_record") if differs else computed.flags
    if differs and criterion.id in COMPUTED_FROM_DATES:
        return replace(computed, flags=flags)
    return replace(computed, result=attestation.result, flags=flags)


def _entered(computed: Finding) -> Finding:
    if computed.result == "unknown":
        return computed
    return replace(
        computed,
        result="unknown",
        lacking=(ATTESTATION,),
        flags=(*computed.flags, "entered_but_not_attested"),
    )


def _conclude(
    criteria: Sequence[Criterion],
    results: Mapping[str, Result],
    details: Mapping[str, Mapping[str, Any]],
) -> Eligibility:
    failing = {"inclusion": "not_met", "exclusion": "met"}
    failed = tuple(c.id for c in criteria if results[c.id] == failing[c.type])
    unknown = tuple(c.id for c in criteria if results[c.id] == "unknown")
    verdict: Verdict = "ineligible" if failed else "pending" if unknown else "eligible"
    return Eligibility(
        verdict=verdict, failed=failed, unknown=unknown, criteria=results, details=details
    )
