"""The class of an adverse event: AE, ADR, SAE, SAR or SUSAR (rulebook section 8).

Neither party may overrule the other's suspicion. Software proposes the class from what
named people stated; a gap is read on the safe side and noted.
"""

from dataclasses import dataclass
from typing import Final, Literal

from services.safety.domain.case_updates import CaseUpdate
from services.safety.domain.seriousness import is_serious

Classification = Literal["AE", "ADR", "SAE", "SAR", "SUSAR", "UNDETERMINED"]
SUSPECTING: Final = frozenset({"certain", "probable", "possible", "unassessable"})
"""Causality by which a party suspects the product."""

CAUSALITY_MISSING: Final = "CAUSALITY_MISSING_ASSUMED_RELATED"
EXPECTEDNESS_MISSING: Final = "EXPECTEDNESS_MISSING_ASSUMED_UNEXPECTED"
SPONSOR_PENDING: Final = "SPONSOR_CAUSALITY_PENDING"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseJudgement:
    """What follows from what is stated; `serious` is unknown until all criteria are judged."""

    serious: bool | None
    suspected: bool
    unexpected: bool
    classification: Classification
    notes: tuple[str, ...]

    @property
    def is_serious_reaction(self) -> bool:
        """Tell whether it is serious and suspected, expected or not."""
        return self.serious is True and self.suspected

    @property
    def is_susar(self) -> bool:
        """Tell whether it is a suspected unexpected serious adverse reaction."""
        return self.classification == "SUSAR"


def judge_case(case: CaseUpdate) -> CaseJudgement:
    """Classify a case as it stands."""
    serious = is_serious(case.criteria)
    suspected = _is_suspected(case)
    unexpected = case.expected is not True
    return CaseJudgement(
        serious=serious,
        suspected=suspected,
        unexpected=unexpected,
        classification=classify(serious=serious, suspected=suspected, unexpected=unexpected),
        notes=_notes(case, suspected=suspected),
    )


def classify(*, serious: bool | None, suspected: bool, unexpected: bool) -> Classification:
    """Return the class of what was judged."""
    if serious is None:
        return "UNDETERMINED"
    if not serious:
        return "ADR" if suspected else "AE"
    if not suspected:
        return "SAE"
    return "SUSAR" if unexpected else "SAR"


def _is_suspected(case: CaseUpdate) -> bool:
    # An investigator who has not answered has not ruled the product out.
    stated = {case.investigator_causality or "possible", case.sponsor_causality}
    return not stated.isdisjoint(SUSPECTING)


def _notes(case: CaseUpdate, *, suspected: bool) -> tuple[str, ...]:
    noted = {
        CAUSALITY_MISSING: case.investigator_causality is None,
        SPONSOR_PENDING: not suspected and case.sponsor_causality is None,
        EXPECTEDNESS_MISSING: suspected and case.expected is None,
    }
    return tuple(note for note, holds in noted.items() if holds)
