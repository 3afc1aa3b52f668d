from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.protocol.loading import BUILT_IN, load_study
from services.safety.domain.laboratory import LaboratoryReport, check_laboratory
from services.safety.domain.ucum import is_ucum_unit

STUDY = load_study(BUILT_IN / "NCT03745417.toml")
REPORT = TypeAdapter(LaboratoryReport)
AST = {"test": "ast", "loinc": "1920-8", "value": 22, "unit": "U/L", "lln": 0, "uln": 40}


def report(*results: dict[str, Any]) -> LaboratoryReport:
    return REPORT.validate_python(
        {"collected_at": "2021-09-15T08:00:00+08:00", "visit": "W0", "results": list(results)}
    )


def codes(**changes: Any) -> set[str]:
    warnings, faults = check_laboratory(report(AST | changes), STUDY)
    assert not faults
    return {warning["code"] for warning in warnings}


def faults(**changes: Any) -> list[tuple[str, str]]:
    _, found = check_laboratory(report(AST | changes), STUDY)
    return [(fault.pointer, fault.code) for fault in found]


def test_usual_result_is_taken_without_warning() -> None:
    assert codes() == set()
    assert codes(test="ferritin", loinc="2276-4", unit="ug/L") == set()


@pytest.mark.parametrize(
    "changes",
    [{"test": ""}, {"value": "22"}, {"value": True}, {"invented": 1}, {"unit": "x" * 65}],
)
def test_what_is_no_result_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        report(AST | changes)
    with pytest.raises(ValidationError):
        report()


@pytest.mark.parametrize(
    ("unit", "is_unit"),
    [
        ("U/L", True),
        ("10*9/L", True),
        ("10*3/uL", True),
        ("umol/L", True),
        ("mg/dL", True),
        ("[IU]/L", True),
        ("%", True),
        ("x10^9/L", False),
        ("iu/l", False),
        (" g/L", False),
        ("克", False),
    ],
)
def test_units_are_ucum(
    unit: str,
    is_unit: bool,  # noqa: FBT001 - the expected value
) -> None:
    assert is_ucum_unit(unit) is is_unit


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"unit": None}, {"unit_missing"}),
        ({"unit": None, "value": None}, set()),
        ({"unit": "U/l."}, {"unit_unknown", "unit_not_of_test", "code_unit_mismatch"}),
        ({"test": "ferritin", "loinc": None, "unit": "ng/ml)"}, {"unit_unknown"}),
        ({"unit": "g/L"}, {"unit_not_of_test", "code_unit_mismatch"}),
        ({"unit": "g/L", "loinc": None}, {"unit_not_of_test"}),
        ({"loinc": "1742-6"}, {"code_not_of_test"}),
        ({"test": "local_name"}, {"code_not_of_test"}),
        ({"test": "creatinine", "loinc": "2160-0", "unit": "mg/dL"}, set()),
        ({"test": "creatinine", "loinc": "14682-9", "unit": "mg/dL"}, {"code_unit_mismatch"}),
        ({"test": "wbc", "loinc": "26515-7", "unit": "10*9/L"}, {"code_not_of_test"}),
        ({"test": "calcium_total", "loinc": "2000-8", "unit": "mg/dL"}, {"code_unit_mismatch"}),
        ({"lln": 41}, {"limits_reversed"}),
        ({"lln": None}, set()),
        ({"test": "base_excess", "loinc": None, "value": -3, "unit": "mmol/L"}, set()),
    ],
)
def test_odd_results_are_taken_with_warnings(changes: dict[str, Any], expected: set[str]) -> None:
    assert codes(**changes) == expected


def test_second_value_of_a_test_is_a_warning_at_its_place() -> None:
    warnings, _ = check_laboratory(report(AST, AST | {"value": 23}), STUDY)
    assert [(one["pointer"], one["code"]) for one in warnings] == [("/results/1", "test_repeated")]


@pytest.mark.parametrize("loinc", ["1995-0", "1994-3"])
def test_ionised_calcium_is_not_total_calcium(loinc: str) -> None:
    changes = {"test": "calcium_total", "loinc": loinc, "unit": "mmol/L", "value": Decimal("1.2")}
    assert faults(**changes) == [("/results/0/loinc", "other_analyte")]


def test_all_impossible_values_are_named_at_once() -> None:
    found = faults(value=-1, lln=Decimal("-0.1"), uln=0)
    assert found == [
        ("/results/0/value", "RANGE"),
        ("/results/0/lln", "RANGE"),
        ("/results/0/uln", "RANGE"),
    ]
