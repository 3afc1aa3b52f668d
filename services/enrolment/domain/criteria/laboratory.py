"""Criteria on laboratory values, tested by code and unit (rulebook section 6).

An absolute limit needs a known unit. A limit that is a multiple of the laboratory's own upper
limit of normal (ULN) needs only that both are in the same one. The ULN is the report's, never
a table's.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Final, Literal

from services.enrolment.domain.criteria.findings import Evaluation, Finding, Rule, in_words
from services.enrolment.domain.criteria.logic import all_of, any_of
from services.enrolment.domain.criteria.statements import SEX
from services.enrolment.domain.eligibility_facts import LaboratoryFact
from services.kernel.refusals import Fault, Impossible
from services.protocol.study import LaboratoryTest

_TESTS: Final = (
    "calcium_total",
    "ast",
    "alt",
    "creatinine",
    "cystatin_c",
    "hemoglobin",
    "platelets",
    "wbc",
)


def refuse_other_analytes(evaluation: Evaluation) -> None:
    """Raise Impossible for results whose code is of an analyte that the limits do not mean.

    Ionised calcium is the case in point: by the limits of total calcium all would fail.
    """
    faults = [
        Fault(f"/labs/{test}/loinc", "other_analyte", "This code is of another analyte.")
        for test in _TESTS
        if (code := evaluation.read(f"/labs/{test}/loinc")) is not None
        and code in evaluation.test_by_name[test].refused_loinc
    ]
    if faults:
        raise Impossible("A result is of another analyte.", faults=faults)


def canonical_value(
    test: LaboratoryTest, value: Decimal | None, unit: str | None, loinc: str | None
) -> Fraction | None:
    """Return a value in the test's own unit; unknown where unit or code do not allow it."""
    factor = test.factor_by_unit.get(unit or "")
    if value is None or factor is None or not _code_fits(test, unit, loinc):
        return None
    return Fraction(value) * factor


def ratio_to_uln(test: LaboratoryTest, fact: LaboratoryFact | None) -> Fraction | None:
    """Return the value as a multiple of the ULN, unknown where they cannot be compared."""
    if fact is None or fact.value is None or fact.uln is None:
        return None
    if fact.uln_unit is None or fact.uln_unit == fact.unit:
        # The same unit whichever it is: even one not stated, unless the code contradicts.
        fits = _code_fits(test, fact.unit, fact.loinc if fact.unit else None)
        return Fraction(fact.value) / Fraction(fact.uln) if fits else None
    value = canonical_value(test, fact.value, fact.unit, fact.loinc)
    uln = canonical_value(test, fact.uln, fact.uln_unit, None)
    return None if value is None or uln is None else value / uln


def _code_fits(test: LaboratoryTest, unit: str | None, loinc: str | None) -> bool:
    return loinc is None or unit in test.units_by_loinc.get(loinc, ())


def _canonical(
    evaluation: Evaluation, test: str, member: Literal["value", "uln"] = "value"
) -> Fraction | None:
    fact: LaboratoryFact | None = evaluation.read(f"/labs/{test}")
    if fact is None:
        return None
    table = evaluation.test_by_name[test]
    if member == "uln":
        return canonical_value(table, fact.uln, fact.uln_unit or fact.unit, None)
    return canonical_value(table, fact.value, fact.unit, fact.loinc)


def _pointers(test: str, *members: str) -> tuple[str, ...]:
    return tuple(f"/labs/{test}/{member}" for member in members)


def _lacking(evaluation: Evaluation, pointers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the pointers not stated; if all are, unit and code are what does not fit."""
    absent = tuple(pointer for pointer in pointers if evaluation.read(pointer) is None)
    return absent or tuple(pointer for pointer in pointers if pointer.endswith("/unit"))


def _finding(
    evaluation: Evaluation,
    outcome: bool | None,  # noqa: FBT001 - the three truth values
    needed: tuple[str, ...],
    settings: tuple[str, ...],
    *,
    flags: tuple[str, ...] = (),
) -> Finding:
    return Finding(
        result=in_words(outcome),
        read=needed,
        settings=settings,
        lacking=_lacking(evaluation, needed),
        flags=flags,
    )


def _calcium(evaluation: Evaluation) -> Finding:
    """Judge E5f: total serum calcium outside both limits, in mmol/L."""
    value = _canonical(evaluation, "calcium_total")
    low = Fraction(evaluation.settings.calcium_low_lt)
    high = Fraction(evaluation.settings.calcium_high_gt)
    outcome = None if value is None else value > high or value < low
    needed = _pointers("calcium_total", "value", "unit")
    return _finding(evaluation, outcome, needed, ("calcium_low_lt", "calcium_high_gt"))


def _transaminase(test: str, evaluation: Evaluation) -> Finding:
    """Judge E5g or E5h: more than twice the ULN."""
    ratio = ratio_to_uln(evaluation.test_by_name[test], evaluation.read(f"/labs/{test}"))
    multiple = Fraction(evaluation.settings.ast_alt_uln_multiple_gt)
    outcome = None if ratio is None else ratio > multiple
    needed = _pointers(test, "value", "unit", "uln")
    return _finding(evaluation, outcome, needed, ("ast_alt_uln_multiple_gt",))


def _renal(evaluation: Evaluation) -> Finding:
    """Judge E5i: creatinine, cystatin C above the ULN; either, or both by the setting."""
    above = [
        None if ratio is None else ratio > 1
        for ratio in (
            ratio_to_uln(evaluation.test_by_name[test], evaluation.read(f"/labs/{test}"))
            for test in ("creatinine", "cystatin_c")
        )
    ]
    either, both = any_of(*above), all_of(*above)
    outcome = either if evaluation.settings.renal_rule == "either" else both
    needed = (
        *_pointers("creatinine", "value", "unit", "uln"),
        *_pointers("cystatin_c", "value", "unit", "uln"),
    )
    flags = ("renal_readings_differ",) if either != both else ()
    return _finding(evaluation, outcome, needed, ("renal_rule",), flags=flags)


def _polyglobulia(evaluation: Evaluation) -> Finding:
    """Judge E5k: haemoglobin above ULN + 20 g/L, both converted to g/L first."""
    value, uln = _canonical(evaluation, "hemoglobin"), _canonical(evaluation, "hemoglobin", "uln")
    margin = Fraction(evaluation.settings.hb_over_uln_gt_g_per_l)
    outcome = None if value is None or uln is None else value > uln + margin
    needed = _pointers("hemoglobin", "value", "unit", "uln")
    return _finding(evaluation, outcome, needed, ("hb_over_uln_gt_g_per_l",))


def _anaemia(evaluation: Evaluation) -> Finding:
    """Judge E5l: haemoglobin below the limit of the sex, or below all limits if unknown."""
    value = _canonical(evaluation, "hemoglobin")
    sex = evaluation.read(SEX)
    limits = evaluation.settings.anaemia_lt_g_per_l
    applying = [limit for name, limit in limits.items() if sex in (name, None)]
    outcome = None
    if value is not None:
        below = {value < Fraction(limit) for limit in applying}
        outcome = below.pop() if len(below) == 1 else None
    needed = (SEX, *_pointers("hemoglobin", "value", "unit"))
    return _finding(evaluation, outcome, needed, ("anaemia_lt_g_per_l",))


def _count(
    test: str, setting: Literal["platelets_lt", "wbc_lt"], evaluation: Evaluation
) -> Finding:
    """Judge E5m or E5n: a count below its limit, in 10*9/L."""
    value = _canonical(evaluation, test)
    limit: Decimal = getattr(evaluation.settings, setting)
    outcome = None if value is None else value < Fraction(limit)
    return _finding(evaluation, outcome, _pointers(test, "value", "unit"), (setting,))


RULES: Final[Mapping[str, Rule]] = {
    "E5f": _calcium,
    "E5g": partial(_transaminase, "ast"),
    "E5h": partial(_transaminase, "alt"),
    "E5i": _renal,
    "E5k": _polyglobulia,
    "E5l": _anaemia,
    "E5m": partial(_count, "platelets", "platelets_lt"),
    "E5n": partial(_count, "wbc", "wbc_lt"),
}
