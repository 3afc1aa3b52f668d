from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.protocol.loading import BUILT_IN, load_study
from services.safety.domain.laboratory import LaboratoryReport, LaboratoryResult
from services.safety.domain.laboratory_grades import (
    find_baselines,
    grade_report,
    propose_adverse_events,
)
from services.safety.domain.laboratory_scales import SCALES
from tests.safety.domain.cases import at

STUDY = load_study(BUILT_IN / "NCT03745417.toml")


def result(test: str, value: str | None, unit: str, **stated: Any) -> LaboratoryResult:
    limits = {name: Decimal(limit) for name, limit in stated.items() if name in ("lln", "uln")}
    number = None if value is None else Decimal(value)
    return LaboratoryResult(test=test, value=number, unit=unit, loinc=stated.get("loinc"), **limits)


def collected(*results: LaboratoryResult, when: datetime | None = None) -> LaboratoryReport:
    return LaboratoryReport(collected_at=when or at(10), visit="W4", results=results)


def grades(
    one: LaboratoryResult, baseline: LaboratoryResult | None = None
) -> dict[str, int | None]:
    baselines = {} if baseline is None else {one.test: baseline}
    return {each.scale: each.grade for each in grade_report(collected(one), STUDY, baselines)}


@pytest.mark.parametrize(
    ("value", "grade"),
    [("120", 0), ("119", 1), ("100", 1), ("99.9", 2), ("80", 2), ("79.9", 3), ("20", 3)],
)
def test_low_hemoglobin_in_g_per_l(value: str, grade: int) -> None:
    found = grades(result("hemoglobin", value, "g/L", lln="120", uln="160"))
    assert found == {"hemoglobin_low": grade, "hemoglobin_high": 0}


def test_hemoglobin_is_graded_in_every_unit_of_the_test() -> None:
    decilitre = result("hemoglobin", "9.99", "g/dL", lln="12", uln="16")
    assert grades(decilitre)["hemoglobin_low"] == 2
    molar = result("hemoglobin", "6.2", "mmol/L", lln="7.4", uln="9.81")  # 99.9068 g/L
    assert grades(molar)["hemoglobin_low"] == 2


@pytest.mark.parametrize(
    ("value", "grade"), [("160", 0), ("160.1", 1), ("180", 1), ("181", 2), ("201", 3)]
)
def test_high_hemoglobin_is_graded_above_the_uln(value: str, grade: int) -> None:
    assert grades(result("hemoglobin", value, "g/L", uln="160"))["hemoglobin_high"] == grade


@pytest.mark.parametrize(
    ("test", "value", "grade"),
    [
        ("platelets", "125", 0),
        ("platelets", "75", 1),
        ("platelets", "74.9", 2),
        ("platelets", "49.9", 3),
        ("platelets", "25", 3),
        ("platelets", "24.9", 4),
        ("wbc", "3", 1),
        ("wbc", "2.9", 2),
        ("wbc", "1.9", 3),
        ("wbc", "0.9", 4),
    ],
)
def test_low_counts(test: str, value: str, grade: int) -> None:
    for unit in ("10*9/L", "10*3/uL"):
        assert grades(result(test, value, unit, lln="125"))[f"{test}_low"] == grade


def test_high_white_cells_have_grade_3_only() -> None:
    assert grades(result("wbc", "100", "10*9/L"))["wbc_high"] == 0
    assert grades(result("wbc", "100.1", "10*9/L"))["wbc_high"] == 3


@pytest.mark.parametrize(
    ("value", "grade"),
    [("40", 0), ("41", 1), ("120", 1), ("121", 2), ("200", 2), ("201", 3), ("801", 4)],
)
def test_transaminases_are_multiples_of_the_uln(value: str, grade: int) -> None:
    for test in ("alt", "ast"):
        assert grades(result(test, value, "U/L", uln="40")) == {f"{test}_high": grade}


@pytest.mark.parametrize(
    ("value", "grade"),
    [("149", 0), ("150", 1), ("300", 1), ("301", 2), ("501", 3), ("2001", 4)],
)
def test_transaminases_after_an_abnormal_baseline_are_multiples_of_it(
    value: str, grade: int
) -> None:
    baseline = result("alt", "100", "U/L", uln="40")
    assert grades(result("alt", value, "U/L", uln="40"), baseline) == {"alt_high": grade}


def test_normal_or_incomparable_baseline_leaves_the_uln() -> None:
    high = result("alt", "130", "U/L", uln="40")
    for baseline in (
        result("alt", "40", "U/L", uln="40"),
        result("alt", "100", "U/L"),
        result("alt", "100", "ukat/L", uln="40"),
        result("alt", None, "U/L", uln="40"),
    ):
        assert grades(high, baseline) == {"alt_high": 2}


@pytest.mark.parametrize(
    ("value", "grade"),
    [("100", 0), ("101", 1), ("150", 1), ("151", 2), ("301", 3), ("600", 3), ("601", 4)],
)
def test_creatinine_is_a_multiple_of_the_uln_in_any_unit(value: str, grade: int) -> None:
    for unit in ("umol/L", "mg/dL"):
        assert grades(result("creatinine", value, unit, uln="100")) == {"creatinine_high": grade}


def test_creatinine_counts_from_baseline_too() -> None:
    baseline = result("creatinine", "40", "umol/L", uln="100")
    tripled = result("creatinine", "121", "umol/L", uln="100")
    assert grades(tripled, baseline) == {"creatinine_high": 3}
    assert grades(result("creatinine", "61", "umol/L"), baseline) == {"creatinine_high": 2}
    assert grades(result("creatinine", "60", "umol/L"), baseline) == {"creatinine_high": None}


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("2.3", 0, 0),
        ("2.1", 1, 0),
        ("1.99", 2, 0),
        ("1.74", 3, 0),
        ("1.49", 4, 0),
        ("2.6", 0, 1),
        ("2.91", 0, 2),
        ("3.11", 0, 3),
        ("3.41", 0, 4),
    ],
)
def test_total_calcium(value: str, low: int, high: int) -> None:
    found = grades(result("calcium_total", value, "mmol/L", lln="2.15", uln="2.55"))
    assert found == {"calcium_total_low": low, "calcium_total_high": high}


def test_missing_limit_leaves_the_grade_unknown_unless_a_fixed_limit_decides() -> None:
    assert grades(result("platelets", "90", "10*9/L")) == {"platelets_low": None}
    assert grades(result("platelets", "60", "10*9/L")) == {"platelets_low": 2}
    assert grades(result("alt", "900", "U/L")) == {"alt_high": None}


def test_unknown_unit_or_other_code_leaves_the_grade_unknown() -> None:
    assert grades(result("platelets", "10", "x10^9/l", lln="100")) == {"platelets_low": None}
    coded = result("platelets", "10", "10*9/L", lln="100", loinc="6690-2")
    assert grades(coded) == {"platelets_low": None}
    mixed = result("creatinine", "900", "mg/dL", uln="100", loinc="14682-9")
    assert grades(mixed) == {"creatinine_high": None}
    unstated = LaboratoryResult(test="alt", value=Decimal(90), uln=Decimal(40), loinc="1742-6")
    assert grades(unstated) == {"alt_high": 1}
    assert grades(result("alt", None, "U/L", uln="40")) == {"alt_high": None}


def test_other_tests_have_no_grade() -> None:
    assert grades(result("ferritin", "90", "ug/L")) == {}
    assert grades(result("cystatin_c", "9", "mg/L", uln="1")) == {}


def test_study_that_does_not_describe_a_test_leaves_its_grade_unknown() -> None:
    bare = replace(STUDY, laboratory_tests=())
    (graded,) = grade_report(collected(result("alt", "90", "U/L", uln="40")), bare)
    assert graded.grade is None


def test_every_scale_says_its_rule() -> None:
    assert all(scale.rule.startswith("Grade ") for scale in SCALES)
    assert len({scale.name for scale in SCALES}) == len(SCALES)


NORMAL = result("alt", "30", "U/L", uln="40")
RAISED = result("alt", "130", "U/L", uln="40")


def test_baseline_is_the_last_value_by_the_first_infusion() -> None:
    history = [
        collected(RAISED, when=at(5)),
        collected(NORMAL, when=at(3)),
        collected(result("alt", None, "U/L"), when=at(5, 10)),
        collected(result("alt", "99", "U/L"), when=at(6)),
    ]
    assert find_baselines(history, at(5, 10)) == {"alt": RAISED}
    assert find_baselines(history, None) == {}


def test_value_of_a_higher_grade_than_before_proposes_an_adverse_event() -> None:
    raised = collected(RAISED)
    worse = collected(result("alt", "230", "U/L", uln="40"), when=at(20))
    for history in ([], [collected(NORMAL, when=at(5))]):
        (proposal,) = propose_adverse_events(raised, STUDY, history)
        assert (proposal["pointer"], proposal["code"]) == ("/results/0", "adverse_event_proposed")
        assert "grade 2" in proposal["detail"]
    (proposal,) = propose_adverse_events(worse, STUDY, [raised])
    assert "grade 3" in proposal["detail"]


def test_nothing_is_proposed_for_a_grade_that_was_there_before() -> None:
    raised = collected(RAISED)
    before = [collected(NORMAL, when=at(5)), collected(RAISED, when=at(6))]
    later = collected(RAISED, when=raised.collected_at + timedelta(days=1))
    assert propose_adverse_events(raised, STUDY, before) == []
    assert propose_adverse_events(collected(NORMAL), STUDY, before) == []
    assert len(propose_adverse_events(raised, STUDY, [later])) == 1


def test_value_of_unknown_grade_does_not_hide_the_normal_one_before() -> None:
    before = [
        collected(NORMAL, when=at(5)),
        collected(result("alt", "30", "U/L"), when=at(6)),
    ]
    assert len(propose_adverse_events(collected(RAISED), STUDY, before, at(4))) == 1


TENTHS = st.integers(min_value=0, max_value=3000)


@settings(max_examples=60)
@given(one=TENTHS, other=TENTHS)
def test_further_from_normal_is_never_a_lower_grade(one: int, other: int) -> None:
    low, high = sorted((one, other))
    graded = [
        grades(result("hemoglobin", str(Decimal(tenths) / 10), "g/L", lln="120", uln="160"))
        for tenths in (low, high)
    ]
    assert (graded[0]["hemoglobin_low"] or 0) >= (graded[1]["hemoglobin_low"] or 0)
    assert (graded[0]["hemoglobin_high"] or 0) <= (graded[1]["hemoglobin_high"] or 0)
