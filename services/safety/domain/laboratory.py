"""Laboratory results as reported, and what is odd about them (rulebook section 6).

Values stay in the units in which they came; limits of normal are the report's, never a
table's. A test is known by code and unit: mix-ups of codes occur.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as form

from services.kernel.refusals import Fault
from services.kernel.values import Code, Instant, Number
from services.protocol.study import LaboratoryTest, Study
from services.safety.domain.ucum import is_ucum_unit

CLOSED = ConfigDict(extra="forbid")


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryResult:
    """One value of one test; `unit` (UCUM) is that of the value and of both limits.

    `test` is a test of the study or any other local name. `lln` and `uln` are the limits
    of normal. A null value was not obtained.
    """

    test: Code
    value: Number | None = None
    unit: Code | None = None
    lln: Number | None = None
    uln: Number | None = None
    loinc: Code | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryReport:
    """What was collected at one time."""

    collected_at: Instant
    visit: Code
    results: Annotated[tuple[LaboratoryResult, ...], Field(min_length=1, max_length=500)]


def check_laboratory(
    report: LaboratoryReport, study: Study
) -> tuple[list[dict[str, str]], list[Fault]]:
    """Return the warnings about a report, and the faults for which it is refused."""
    warnings: list[dict[str, str]] = []
    faults: list[Fault] = []
    names = [result.test for result in report.results]
    for place, result in enumerate(report.results):
        pointer = f"/results/{place}"
        test = study.laboratory_test_by_name.get(result.test)
        if test is not None:
            faults += _impossible(pointer, result, test)
        warnings += [
            {"pointer": pointer + member, "code": code, "detail": detail}
            for member, code, detail, is_odd in _ODDITIES
            if is_odd(result, test, study)
        ]
        if result.test in names[:place]:
            detail = "The report has another value of this test."
            warnings.append({"pointer": pointer, "code": "test_repeated", "detail": detail})
    return warnings, faults


def canonical_value(
    result: LaboratoryResult, amount: Decimal | None, test: LaboratoryTest
) -> Fraction | None:
    """Return a value or limit in the test's own unit; unknown where unit or code forbid."""
    factor = test.factor_by_unit.get(result.unit or "")
    if amount is None or factor is None or not code_fits(result, test):
        return None
    return Fraction(amount) * factor


def code_fits(result: LaboratoryResult, test: LaboratoryTest) -> bool:
    """Tell whether the code, if there is one, is of this test and goes with the unit."""
    return result.loinc is None or result.unit in test.units_by_loinc.get(result.loinc, ())


def _impossible(pointer: str, result: LaboratoryResult, test: LaboratoryTest) -> Iterator[Fault]:
    if result.loinc in test.refused_loinc:
        detail = "This code is of another analyte."
        yield Fault(f"{pointer}/loinc", "other_analyte", detail)
    for member, amount in (("value", result.value), ("lln", result.lln)):
        if amount is not None and amount < 0:
            yield Fault(f"{pointer}/{member}", "RANGE", "A measured amount is not below 0.")
    if result.uln is not None and result.uln <= 0:
        yield Fault(f"{pointer}/uln", "RANGE", "An upper limit of normal is above 0.")


_IsOdd = Callable[[LaboratoryResult, LaboratoryTest | None, Study], bool]


def _has_no_unit(result: LaboratoryResult, _test: LaboratoryTest | None, _study: Study) -> bool:
    return result.value is not None and result.unit is None


def _has_no_ucum_unit(
    result: LaboratoryResult, _test: LaboratoryTest | None, _study: Study
) -> bool:
    return result.unit is not None and not is_ucum_unit(result.unit)


def _has_other_unit(result: LaboratoryResult, test: LaboratoryTest | None, _study: Study) -> bool:
    if test is None or result.unit is None:
        return False
    usual = {*test.factor_by_unit, *(unit for code in test.codes for unit in code.units)}
    return result.unit not in usual


def _has_other_code(result: LaboratoryResult, test: LaboratoryTest | None, study: Study) -> bool:
    if result.loinc is None:
        return False
    if test is not None and test.codes:
        return result.loinc not in test.units_by_loinc
    return any(result.loinc in other.units_by_loinc for other in study.laboratory_tests)


def _has_other_code_for_unit(
    result: LaboratoryResult, test: LaboratoryTest | None, _study: Study
) -> bool:
    if test is None or result.unit is None or result.loinc not in test.units_by_loinc:
        return False
    return not code_fits(result, test)


def _has_reversed_limits(
    result: LaboratoryResult, _test: LaboratoryTest | None, _study: Study
) -> bool:
    return result.lln is not None and result.uln is not None and result.lln > result.uln


_ODDITIES: Final[tuple[tuple[str, str, str, _IsOdd], ...]] = (
    ("/unit", "unit_missing", "Without a unit no limit can be applied.", _has_no_unit),
    ("/unit", "unit_unknown", "The unit is no UCUM unit.", _has_no_ucum_unit),
    ("/unit", "unit_not_of_test", "The test does not come in this unit.", _has_other_unit),
    ("/loinc", "code_not_of_test", "The code is not one of this test.", _has_other_code),
    (
        "/loinc",
        "code_unit_mismatch",
        "The code does not go with the unit.",
        _has_other_code_for_unit,
    ),
    ("/lln", "limits_reversed", "The lower limit is above the upper one.", _has_reversed_limits),
)
