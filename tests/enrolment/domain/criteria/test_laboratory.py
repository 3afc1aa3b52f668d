from decimal import Decimal
from typing import Any

import pytest

from tests.enrolment.domain.screenings import MAN, judge, result


def lab(test: str, **members: Any) -> dict[str, Any]:
    return {
        f"/labs/{test}": {
            name: Decimal(v) if isinstance(v, float) else v for name, v in members.items()
        }
    }


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("2.9", "mmol/L", "not_met"),
        ("2.901", "mmol/L", "met"),
        ("2.0", "mmol/L", "not_met"),
        ("1.999", "mmol/L", "met"),
        ("11.6232", "mg/dL", "not_met"),  # 2.9 x 4.008
        ("11.6233", "mg/dL", "met"),
        ("8.016", "mg/dL", "not_met"),
        ("8.0159", "mg/dL", "met"),
        ("2.3", None, "unknown"),
        ("2.3", "mEq/L", "unknown"),
    ],
)
def test_calcium_between_both_limits(value: str, unit: str | None, expected: str) -> None:
    assert result("E5f", lab("calcium_total", value=Decimal(value), unit=unit)) == expected


@pytest.mark.parametrize(
    ("unit", "loinc", "expected"),
    [
        ("mmol/L", "2000-8", "not_met"),
        ("mg/dL", "2000-8", "unknown"),
        ("mmol/L", "17861-6", "unknown"),
        ("mmol/L", "26515-7", "unknown"),
    ],
)
def test_code_and_unit_must_agree(unit: str, loinc: str, expected: str) -> None:
    changes = lab("calcium_total", value=Decimal("2.3"), unit=unit, loinc=loinc)
    assert result("E5f", changes) == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"value": 80, "unit": "U/L", "uln": 40}, "not_met"),
        ({"value": 81, "unit": "U/L", "uln": 40}, "met"),
        ({"value": 81, "unit": None, "uln": 40}, "met"),
        ({"value": 81, "unit": "IU/L", "uln": 40}, "met"),
        ({"value": 81, "unit": "U/L", "uln": None}, "unknown"),
        ({"value": None, "unit": "U/L", "uln": 40}, "unknown"),
        ({"value": 81, "unit": "U/L", "uln": 40, "uln_unit": "nkat/L"}, "unknown"),
        ({"value": 81, "unit": "U/L", "uln": 40, "loinc": "1920-8"}, "met"),
        ({"value": 81, "unit": None, "uln": 40, "loinc": "1920-8"}, "met"),
        ({"value": 81, "unit": "U/L", "uln": 40, "loinc": "718-7"}, "unknown"),
    ],
)
def test_transaminase_above_twice_its_limit(members: dict[str, Any], expected: str) -> None:
    assert result("E5g", {"/labs/ast": members}) == expected


def test_renal_rule_has_two_readings() -> None:
    high = {"value": 105, "unit": "umol/L", "uln": 104}
    for rule, expected in (("either", "met"), ("both", "not_met")):
        found = judge(MAN, {"/labs/creatinine": high}, {"renal_rule": rule})
        assert found.criteria["E5i"] == expected
        assert found.details["E5i"]["flags"] == ["renal_readings_differ"]
    assert judge(MAN).details["E5i"]["flags"] == []


@pytest.mark.parametrize(
    ("creatinine", "cystatin", "either", "both"),
    [
        (105, None, "met", "unknown"),
        (104, None, "unknown", "not_met"),
        (None, "1.04", "met", "unknown"),
        (105, "1.04", "met", "met"),
        (104, "1.03", "not_met", "not_met"),
        (None, None, "unknown", "unknown"),
    ],
)
def test_renal_rule_with_values_missing(
    creatinine: int | None, cystatin: str | None, either: str, both: str
) -> None:
    changes = {
        "/labs/creatinine/value": creatinine,
        "/labs/cystatin_c/value": None if cystatin is None else Decimal(cystatin),
    }
    assert result("E5i", changes, settings={"renal_rule": "either"}) == either
    assert result("E5i", changes, settings={"renal_rule": "both"}) == both


@pytest.mark.parametrize(
    ("value", "uln", "unit", "expected"),
    [
        ("195", "175", "g/L", "not_met"),
        ("195.1", "175", "g/L", "met"),
        ("19.5", "17.5", "g/dL", "not_met"),
        ("19.51", "17.5", "g/dL", "met"),
        ("11.05", "9.81", "mmol/L", "not_met"),  # 178.06 against 158.08 + 20 g/L
        ("11.06", "9.81", "mmol/L", "met"),
        ("195.1", "175", None, "unknown"),
    ],
)
def test_haemoglobin_is_converted_before_20_is_added(
    value: str, uln: str, unit: str | None, expected: str
) -> None:
    changes = lab("hemoglobin", value=Decimal(value), uln=Decimal(uln), unit=unit)
    assert result("E5k", changes) == expected


def test_limit_in_a_unit_of_its_own_is_converted() -> None:
    entry = {"value": 195, "unit": "g/L", "uln": Decimal("17.5"), "uln_unit": "g/dL"}
    assert result("E5k", {"/labs/hemoglobin": entry}) == "not_met"
    assert result("E5k", {"/labs/hemoglobin": entry | {"value": 196}}) == "met"
    platelets = {"value": 1, "unit": "10*9/L", "uln": 1000, "uln_unit": "/uL"}
    assert result("E5m", {"/labs/platelets": platelets}) == "met"


@pytest.mark.parametrize(
    ("sex", "value", "expected"),
    [
        ("male", "120", "not_met"),
        ("male", "119.9", "met"),
        ("female", "110", "not_met"),
        ("female", "109.9", "met"),
        (None, "109.9", "met"),
        (None, "110", "unknown"),
        (None, "119.9", "unknown"),
        (None, "120", "not_met"),
    ],
)
def test_anaemia_by_the_limit_of_the_sex(sex: str | None, value: str, expected: str) -> None:
    changes = lab("hemoglobin", value=Decimal(value), unit="g/L") | {"/demographics/sex": sex}
    assert result("E5l", changes) == expected


def test_anaemia_by_the_limits_of_the_who() -> None:
    who = {"anaemia_lt_g_per_l": {"male": 130, "female": 120}}
    assert result("E5l", lab("hemoglobin", value=125, unit="g/L"), settings=who) == "met"
    assert result("E5l", lab("hemoglobin", value=None, unit="g/L")) == "unknown"


@pytest.mark.parametrize(
    ("test", "criterion", "value", "unit", "expected"),
    [
        ("platelets", "E5m", "75.0", "10*9/L", "not_met"),
        ("platelets", "E5m", "75.005", "10*9/L", "not_met"),
        ("platelets", "E5m", "74.9", "10*3/uL", "met"),
        ("platelets", "E5m", "74999", "/uL", "met"),
        ("platelets", "E5m", "75000", "/uL", "not_met"),
        ("platelets", "E5m", "231", None, "unknown"),
        ("wbc", "E5n", "3.0", "10*9/L", "not_met"),
        ("wbc", "E5n", "2.99", "10*9/L", "met"),
        ("wbc", "E5n", "6.2", "cells", "unknown"),
        ("wbc", "E5n", None, "10*9/L", "unknown"),
    ],
)
def test_counts_below_their_limits(
    test: str, criterion: str, value: str | None, unit: str | None, expected: str
) -> None:
    number = None if value is None else Decimal(value)
    assert result(criterion, lab(test, value=number, unit=unit)) == expected
