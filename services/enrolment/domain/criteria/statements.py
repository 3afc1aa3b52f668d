"""Criteria that are a person's statement: yes, no, or not stated (rulebook section 6)."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from services.enrolment.domain.criteria.findings import Evaluation, Finding, Result, Rule, in_words
from services.enrolment.domain.criteria.logic import any_of

SEX: Final = "/demographics/sex"

_ANY_ALLERGY: Final = "/medical/any_allergy_history"
_NARROW_ALLERGY: Final = "/medical/product_related_or_severe_allergy"

_POINTER_BY_CRITERION: Final = {
    "I1a": "/diagnosis/psoriasis_vulgaris",
    "E1a": "/diagnosis/guttate",
    "E1b": "/diagnosis/inverse",
    "E1c": "/diagnosis/face_only",
    "E2a": "/diagnosis/acute_progressive",
    "E2b": "/diagnosis/erythroderma_tendency",
    "E4c": "/psych/other_psychiatric_disorder",
    "E5a1": "/medical/uncontrolled/cardiovascular",
    "E5a2": "/medical/uncontrolled/respiratory",
    "E5a3": "/medical/uncontrolled/digestive",
    "E5a4": "/medical/uncontrolled/urinary",
    "E5a5": "/medical/uncontrolled/endocrine",
    "E5a6": "/medical/uncontrolled/hematologic",
    "E5b": "/medical/malignant_disease",
    "E5c": "/medical/infection",
    "E5d": "/medical/electrolyte_imbalance",
    "E5e": "/medical/acid_base_disturbance",
    "E5o": "/investigator/other_lab_abnormality_unsuitable",
    "E6a": "/medical/malignant_tumour",
    "E6c": "/medical/other_organ_dysfunction",
    "E8a": "/other_trials/currently_registered",
    "E10": "/investigator/other_condition_unsuitable",
}


def settled_by_sex(evaluation: Evaluation) -> Result | None:
    """Return the result of a criterion for women where sex settles it, else `None`."""
    sex = evaluation.read(SEX)
    if sex == "male":
        return "not_applicable"
    return "unknown" if sex is None else None


def _stated(pointer: str, evaluation: Evaluation) -> Finding:
    return Finding(result=in_words(evaluation.read(pointer)), read=(pointer,), lacking=(pointer,))


def _of_women(pointer: str, evaluation: Evaluation) -> Finding:
    settled = settled_by_sex(evaluation)
    # A plan is shown to the investigator, who decides; the text does not exclude it clearly.
    is_planned = settled is None and evaluation.read("/reproductive/pregnancy_planned")
    return Finding(
        result=settled or in_words(evaluation.read(pointer)),
        read=(SEX, pointer),
        lacking=(SEX if settled else pointer,),
        flags=("pregnancy_planned_within_a_year",) if is_planned else (),
    )


def _allergy(evaluation: Evaluation) -> Finding:
    """Judge E7: literally any allergy ever, or the narrower reading of the setting."""
    anything = evaluation.read(_ANY_ALLERGY)
    narrow = evaluation.read(_NARROW_ALLERGY)
    if evaluation.settings.allergy_rule == "any":
        # A severe allergy is an allergy, whatever the general question was answered.
        outcome, decisive = any_of(anything, narrow is True), _ANY_ALLERGY
    else:
        has_none = narrow is None and anything is False
        outcome, decisive = False if has_none else narrow, _NARROW_ALLERGY
    return Finding(
        result=in_words(outcome),
        read=(_ANY_ALLERGY, _NARROW_ALLERGY),
        settings=("allergy_rule",),
        lacking=(decisive,),
    )


RULES: Final[Mapping[str, Rule]] = {
    **{
        criterion: partial(_stated, pointer) for criterion, pointer in _POINTER_BY_CRITERION.items()
    },
    "E3a": partial(_of_women, "/reproductive/pregnant"),
    "E3c": partial(_of_women, "/reproductive/lactating"),
    "E7": _allergy,
}
