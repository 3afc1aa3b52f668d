import pytest

from tests.enrolment.domain.screenings import MAN, WOMAN, judge, result


def test_women_are_asked_and_men_are_not() -> None:
    for criterion, member in (("E3a", "pregnant"), ("E3c", "lactating")):
        changes = {f"/reproductive/{member}": True}
        assert result(criterion, changes, WOMAN) == "met"
        assert result(criterion, changes, MAN) == "not_applicable"
        assert result(criterion, {f"/reproductive/{member}": None}, WOMAN) == "unknown"


def test_sex_not_stated_leaves_the_four_open() -> None:
    found = judge(WOMAN, {"/demographics/sex": None})
    assert set(found.unknown) == {"E3a", "E3b", "E3c", "E3d"}


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ("2020-09-01", "not_met"),  # a year to the day
        ("2020-09-02", "met"),
        ("2020-08", "not_met"),
        ("2020-09", "unknown"),
        ("2020-10", "met"),
        ("2020", "unknown"),
        ("2019", "not_met"),
        ("2021-09-05", "met"),
    ],
)
def test_pregnancy_or_breastfeeding_ended_within_a_year(ended: str, expected: str) -> None:
    assert result("E3b", {"/reproductive/last_pregnancy_end_date": ended}, WOMAN) == expected
    assert result("E3d", {"/reproductive/last_lactation_end_date": ended}, WOMAN) == expected


def test_no_date_means_never_only_in_a_complete_history() -> None:
    assert result("E3b", {"/reproductive/history_complete": None}, WOMAN) == "unknown"
    assert result("E3d", {"/reproductive/history_complete": False}, WOMAN) == "unknown"


def test_end_without_a_consent_date_is_open() -> None:
    changes = {"/consent/datetime": None, "/reproductive/last_pregnancy_end_date": "2015"}
    found = judge(WOMAN, changes)
    assert found.criteria["E3b"] == "unknown"
    assert found.details["E3b"]["missing"][0]["pointer"] == "/consent/datetime"
    assert found.criteria["E3d"] == "not_met"


def test_planned_pregnancy_is_shown_and_does_not_exclude() -> None:
    found = judge(WOMAN, {"/reproductive/pregnancy_planned": True})
    assert found.verdict == "eligible"
    assert found.details["E3a"]["flags"] == ["pregnancy_planned_within_a_year"]


@pytest.mark.parametrize(
    ("anything", "narrow", "literal", "narrower"),
    [
        (False, None, "not_met", "not_met"),
        (True, None, "met", "unknown"),
        (True, False, "met", "not_met"),
        (True, True, "met", "met"),
        (None, True, "met", "met"),
        (None, False, "unknown", "not_met"),
        (None, None, "unknown", "unknown"),
        (False, True, "met", "met"),
    ],
)
def test_allergy_has_two_readings(
    *,
    anything: bool | None,
    narrow: bool | None,
    literal: str,
    narrower: str,
) -> None:
    changes = {
        "/medical/any_allergy_history": anything,
        "/medical/product_related_or_severe_allergy": narrow,
    }
    assert result("E7", changes) == literal
    rule = {"allergy_rule": "product_related_or_severe"}
    assert result("E7", changes, settings=rule) == narrower
