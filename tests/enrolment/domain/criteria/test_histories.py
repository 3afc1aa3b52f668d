from typing import Any

import pytest

from tests.enrolment.domain.screenings import MAN, WOMAN, judge, result


def therapy(
    treatment: str | None, last: str | None, *, ongoing: bool | None = False
) -> dict[str, Any]:
    record = {"class": treatment, "last_dose_date": last, "ongoing": ongoing}
    return {"/therapies/records": [record]}


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ("2021-08-01", "not_met"),
        ("2021-08-02", "met"),
        ("2021-08", "unknown"),
        ("2021-07", "not_met"),
        ("2021-09-20", "met"),
        (None, "unknown"),
    ],
)
def test_other_trial_within_a_calendar_month(ended: str | None, expected: str) -> None:
    assert result("E8b", {"/other_trials/participation_end_dates": [ended]}) == expected


def test_month_is_clipped_to_its_end() -> None:
    changes: dict[str, Any] = {"/other_trials/participation_end_dates": ["2022-01-31"]}
    assert result("E8b", changes | {"/consent/datetime": "2022-02-27T12:00:00+08:00"}) == "met"
    late = changes | {"/consent/datetime": "2022-02-28T12:00:00+08:00"}
    assert result("E8b", late) == "not_met"


def test_what_ends_with_the_calendar_is_never_over() -> None:
    ends = {"/other_trials/participation_end_dates": ["2199-12-31"]}
    assert result("E8b", ends) == "met"


def test_trials_need_a_complete_history_to_be_none() -> None:
    assert result("E8b", {"/other_trials/history_complete": None}) == "unknown"
    one = {"/other_trials/participation_end_dates": ["2021-08-15"]}
    assert result("E8b", one | {"/other_trials/history_complete": None}) == "met"
    assert result("E8b", {"/consent/datetime": None}) == "not_met"
    assert result("E8b", one | {"/consent/datetime": None}) == "unknown"


@pytest.mark.parametrize(
    ("criterion", "treatment", "over", "within"),
    [
        ("E9a", "topical", "2021-09-01", "2021-09-02"),
        ("E9b", "systemic", "2021-08-18", "2021-08-19"),
        ("E9c", "uvb", "2021-08-18", "2021-08-19"),
        ("E9d", "puva", "2021-08-18", "2021-08-19"),
        ("E9e", "biologic", "2021-06-23", "2021-06-24"),
    ],
)
def test_washout_is_over_when_its_days_have_elapsed(
    criterion: str, treatment: str, over: str, within: str
) -> None:
    assert result(criterion, therapy(treatment, over)) == "not_met"
    assert result(criterion, therapy(treatment, within)) == "met"
    assert judge(MAN, therapy(treatment, within)).failed == (criterion,)


@pytest.mark.parametrize(
    ("last", "ongoing", "expected"),
    [
        ("2021-08", False, "not_met"),
        ("2021-09", False, "unknown"),
        ("2021", False, "unknown"),
        ("2020", False, "not_met"),
        (None, False, "unknown"),
        (None, None, "unknown"),
        (None, True, "met"),
        ("2020", True, "met"),
        ("2020", None, "unknown"),
        ("2021-09-10", None, "met"),
    ],
)
def test_washout_of_inexact_or_ongoing_treatment(
    *,
    last: str | None,
    ongoing: bool | None,
    expected: str,
) -> None:
    assert result("E9a", therapy("topical", last, ongoing=ongoing)) == expected


def test_unplanned_infusion_leaves_only_treated_classes_open() -> None:
    unplanned: dict[str, Any] = {"/planned_first_infusion_date": None}
    found = judge(MAN, unplanned | therapy("uvb", "2019"))
    assert found.unknown == ("E9c",)
    pointers = [part["pointer"] for part in found.details["E9c"]["missing"]]
    assert "/planned_first_infusion_date" in pointers
    assert judge(MAN, unplanned | therapy("uvb", None, ongoing=True)).failed == ("E9c",)
    assert judge(MAN, unplanned).verdict == "eligible"


def test_therapies_need_a_complete_history_to_be_none() -> None:
    changes = {"/therapies/history_complete": None}
    assert set(judge(MAN, changes).unknown) == {"E9a", "E9b", "E9c", "E9d", "E9e"}
    assert result("E9a", changes | therapy("topical", "2021-09-10")) == "met"
    assert result("E9a", changes | therapy("topical", "2019")) == "unknown"


def test_emollients_have_no_washout() -> None:
    assert judge(MAN, therapy("emollient", None, ongoing=True)).verdict == "eligible"


def test_treatment_of_unknown_class_may_be_any() -> None:
    assert set(judge(MAN, therapy(None, "2021-09-10")).unknown) == {
        "E9a",
        "E9b",
        "E9c",
        "E9d",
        "E9e",
    }
    assert judge(MAN, therapy(None, "2021-07-30")).unknown == ("E9e",)


def test_anchors_follow_the_settings() -> None:
    from_consent = {"washout_anchor": "consent"}
    assert result("E9a", therapy("topical", "2021-08-25"), settings=from_consent) == "met"
    from_infusion = {"other_trial_anchor": "first_infusion", "pregnancy_anchor": "first_infusion"}
    trial = {"/other_trials/participation_end_dates": ["2021-08-10"]}
    assert result("E8b", trial, settings=from_infusion) == "not_met"
    ended = {"/reproductive/last_pregnancy_end_date": "2020-09-10"}
    assert result("E3b", ended, WOMAN, from_infusion) == "not_met"
