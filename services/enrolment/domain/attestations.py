"""Whose word stands on criteria that a person must judge (rulebook section 6).

What an investigator puts into the screening record is attested by that. What anyone else
puts there is entered: its criteria stay unknown until an investigator attests them. A later
record by anyone else that changes what a criterion is judged from voids its attestation.
Screening again begins anew: what was stated before is still shown, and attests nothing.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as form

from services.enrolment.domain.criteria.findings import Evaluation
from services.enrolment.domain.criteria.judging import judge
from services.enrolment.domain.eligibility import Attestation, AttestedResult
from services.enrolment.domain.eligibility_facts import EligibilityFacts
from services.kernel.refusals import Fault, Impossible
from services.kernel.values import Code, Instant, Reason
from services.protocol.study import Study

_JUDGED = (
    "/diagnosis/",
    "/reproductive/",
    "/psych/other_psychiatric_disorder",
    "/medical/",
    "/other_trials/",
    "/therapies/",
    "/investigator/",
)


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class AttestationForm:
    """An investigator's statement on one criterion, as it is posted."""

    criterion: Code
    result: AttestedResult
    stated_at: Instant
    statement: Reason | None = None
    source_system: Code | None = None
    source_ref: Code | None = None


@dataclass(frozen=True)
class ScreeningVersion:
    """One version of the screening record, and whether an investigator put it."""

    facts: EligibilityFacts
    is_by_investigator: bool


@dataclass(frozen=True, kw_only=True)
class Attested:
    """An attestation of one criterion, at its place among the screening versions."""

    criterion: str
    attestation: Attestation


@dataclass(frozen=True)
class ScreenedAgain:
    """Where an earlier screening ended and another one began."""


Step = ScreeningVersion | Attested | ScreenedAgain


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What stands: attestations by criterion, and criteria with facts merely entered."""

    attested: dict[str, Attestation]
    unattested: frozenset[str]


def require_attestable(study: Study, form: AttestationForm) -> None:
    """Raise Impossible for a criterion that the study does not have or that is computed."""
    criterion = next((c for c in study.criteria if c.id == form.criterion), None)
    if criterion is None:
        fault = Fault("/criterion", "unknown_criterion", "The study has no such criterion.")
    elif not criterion.needs_attestation:
        fault = Fault("/criterion", "computed_criterion", "Computed criteria take no statement.")
    else:
        return
    raise Impossible("This criterion cannot be attested.", faults=[fault])


def standing_attestations(study: Study, history: Iterable[Step]) -> Standing:
    """Return whose word stands after all that was put and attested, in the order recorded."""
    judged = [criterion.id for criterion in study.criteria if criterion.needs_attestation]
    before = {criterion: _statement(study, criterion, EligibilityFacts()) for criterion in judged}
    attested: dict[str, Attestation] = {}
    entered: set[str] = set()
    for step in history:
        if isinstance(step, ScreenedAgain):
            attested, entered = {}, set(judged)
            continue
        if isinstance(step, Attested):
            attested[step.criterion] = step.attestation
            entered.discard(step.criterion)
            continue
        after = {criterion: _statement(study, criterion, step.facts) for criterion in judged}
        changed = {criterion for criterion in judged if after[criterion] != before[criterion]}
        for criterion in changed:
            attested.pop(criterion, None)
        entered = set() if step.is_by_investigator else entered | changed
        before = after
    return Standing(attested=attested, unattested=frozenset(entered))


def _statement(study: Study, criterion: str, facts: EligibilityFacts) -> Counter[tuple[str, str]]:
    """Return what a record states for a criterion; the order of a list states nothing."""
    evaluation = Evaluation(
        facts=facts,
        settings=study.settings.eligibility,
        time_zone=ZoneInfo("UTC"),  # no date is computed here
        test_by_name=study.laboratory_test_by_name,
    )
    return Counter(
        (pointer.rstrip("0123456789"), repr(evaluation.read(pointer)))
        for pointer in judge(criterion, evaluation).read
        if pointer.startswith(_JUDGED)
    )
