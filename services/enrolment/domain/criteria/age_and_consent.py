"""Inclusion by age and by written consent (rulebook section 6)."""

from collections.abc import Mapping
from typing import Final

from services.enrolment.domain.criteria.findings import Evaluation, Finding, Rule, in_words
from services.enrolment.domain.criteria.logic import agreeing, all_of
from services.kernel.values import PartialDate
from services.protocol.visit_calendar import completed_years

_BIRTH: Final = "/demographics/birth_date"
_SIGNED: Final = "/consent/signed"
_SIGNED_AT: Final = "/consent/datetime"
_FIRST_PROCEDURE: Final = "/first_screening_procedure_datetime"


def _age(evaluation: Evaluation) -> Finding:
    """Judge I2: completed years at consent, both ends included."""
    born: PartialDate | None = evaluation.read(_BIRTH)
    consented_on = evaluation.anchor_date("consent")
    outcome = None
    derived: dict[str, tuple[object, str | None]] = {}
    if born is not None and consented_on is not None:
        youngest = completed_years(born.latest, consented_on)
        oldest = completed_years(born.earliest, consented_on)
        limits = range(evaluation.settings.age_min, evaluation.settings.age_max + 1)
        outcome = agreeing(youngest in limits, oldest in limits)
        derived = {"age_min": (youngest, "a"), "age_max": (oldest, "a")}
    lacking = _SIGNED_AT if consented_on is None and born is not None else _BIRTH
    return Finding(
        result=in_words(outcome),
        read=(_BIRTH, _SIGNED_AT),
        settings=("age_min", "age_max"),
        lacking=(lacking,)
        if born is not None or consented_on is not None
        else (_BIRTH, _SIGNED_AT),
        derived=derived,
    )


def _consent(evaluation: Evaluation) -> Finding:
    """Judge I3: signed, and not after the first screening procedure."""
    read = (_SIGNED, _SIGNED_AT, _FIRST_PROCEDURE)
    is_signed, signed_at, first_procedure_at = (evaluation.read(pointer) for pointer in read)
    is_in_time = None
    if signed_at is not None and first_procedure_at is not None:
        is_in_time = signed_at <= first_procedure_at
    return Finding(
        result=in_words(all_of(is_signed, is_in_time)),
        read=read,
        lacking=tuple(pointer for pointer in read if evaluation.read(pointer) is None),
        flags=("consent_after_first_procedure",) if is_in_time is False else (),
    )


RULES: Final[Mapping[str, Rule]] = {"I2": _age, "I3": _consent}
