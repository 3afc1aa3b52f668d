from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.safety.domain.adverse_events import AdverseEventReport, check_report
from services.safety.domain.duplicates import KnownEvent, has_like_term, warn_of_duplicates

REPORT = TypeAdapter(AdverseEventReport)
FULL = {
    "term": "fever",
    "onset": "2021-10-13T13:00:00+08:00",
    "end": None,
    "ongoing": True,
    "ctcae_grade": 1,
    "seriousness": {
        "death": False,
        "life_threatening": False,
        "hospitalization": False,
        "disability": False,
        "congenital_anomaly": False,
        "medically_important": False,
    },
    "investigator_causality": "probable",
    "sponsor_causality": None,
    "expected": None,
    "action_taken": "dose_not_changed",
    "outcome": "recovering",
    "investigator_aware_at": "2021-10-13T13:30:00+08:00",
    "sponsor_aware_at": None,
    "soc": None,
    "narrative": None,
    "new_information_at": "2021-10-20T09:00:00+08:00",
    "handling_completed_at": "2021-10-21T09:00:00+08:00",
    "worsened_after_first_infusion": False,
    "coding": {"dictionary": "local", "version": "1", "code": "7", "term": "Fever"},
    "other_treatment": "fluids",
    "visit": "W4",
}


def report(**stated: Any) -> AdverseEventReport:
    return REPORT.validate_python({"term": "fever", **stated})


def codes(**stated: Any) -> set[str]:
    return {warning["code"] for warning in check_report(report(**stated))}


def test_term_alone_is_a_report() -> None:
    assert check_report(report()) == []


def test_full_report_is_read_without_warning() -> None:
    assert check_report(REPORT.validate_python(FULL)) == []


@pytest.mark.parametrize(
    "stated",
    [
        {"term": " "},
        {"term": None},
        {"term": "x" * 201},
        {"ctcae_grade": 0},
        {"ctcae_grade": 6},
        {"ctcae_grade": True},
        {"outcome": "Recovered"},
        {"action_taken": "none"},
        {"investigator_causality": "related"},
        {"seriousness": {"deadly": True}},
        {"investigator_aware_at": "2021-10-13"},
        {"onset": "13.10.2021"},
        {"coding": {"code": "1"}},
        {"invented": 1},
    ],
)
def test_impossible_value_is_refused(stated: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        report(**stated)


@pytest.mark.parametrize(
    ("onset", "end"),
    [
        ("2021-10-13T13:00:00+08:00", "2021-10-13T12:59:59+08:00"),
        ("2021-10-13T13:00:00+08:00", "2021-10-13T04:59:00Z"),
        ("2021-10-13", "2021-10-12"),
        ("2021-10-13T13:00:00+08:00", "2021-10-12"),
        ("2021-10-13", "2021-10-12T23:59:59+08:00"),
    ],
)
def test_end_surely_before_onset_is_refused_at_its_place(onset: str, end: str) -> None:
    with pytest.raises(ValidationError) as refused:
        report(onset=onset, end=end)
    (fault,) = refused.value.errors()
    assert (fault["loc"], fault["type"]) == (("end",), "end_before_onset")


@pytest.mark.parametrize(
    ("onset", "end", "is_odd"),
    [
        ("2021-10-13", "2021-10-13", False),
        ("2021-10-13T13:00:00+08:00", "2021-10-13", False),
        ("2021-10", "2021-10", False),
        ("2021-10-13", "2021-10", False),
        ("2021-10-13", "2021-09", True),
        ("2021", "2020", True),
        ("2021", "2020-12-31", True),
    ],
)
def test_end_before_a_partial_onset_is_a_warning(
    onset: str,
    end: str,
    is_odd: bool,  # noqa: FBT001 - the expected value
) -> None:
    assert codes(onset=onset, end=end) == ({"end_before_onset"} if is_odd else set())


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"ctcae_grade": 5}, {"grade_5_without_death"}),
        ({"ctcae_grade": 5, "seriousness": {"death": True}}, set()),
        (
            {"ctcae_grade": 4, "seriousness": {"death": True}},
            {"death_without_grade_5", "grade_4_without_life_threatening"},
        ),
        ({"seriousness": {"death": True}}, {"death_without_grade_5"}),
        ({"ctcae_grade": 4}, {"grade_4_without_life_threatening"}),
        ({"ctcae_grade": 4, "seriousness": {"life_threatening": True}}, set()),
        ({"ctcae_grade": 3, "seriousness": {"life_threatening": True}}, set()),
        ({"outcome": "fatal"}, {"fatal_without_death"}),
        (
            {"outcome": "recovered", "seriousness": {"death": True}, "ctcae_grade": 5},
            {"death_without_fatal"},
        ),
        ({"outcome": "fatal", "seriousness": {"death": True}, "ctcae_grade": 5}, set()),
        ({"outcome": "unknown", "seriousness": {"death": True}, "ctcae_grade": 5}, set()),
        ({"ongoing": True, "end": "2021"}, {"ongoing_with_end"}),
        ({"ongoing": False, "end": "2021"}, set()),
        ({"ongoing": True, "outcome": "recovered"}, {"ongoing_but_over"}),
        ({"end": "2021", "outcome": "not_recovered"}, {"end_without_recovery"}),
        (
            {"onset": "2021-10-13", "investigator_aware_at": "2021-10-12T09:00:00+08:00"},
            {"aware_before_onset"},
        ),
        (
            {"onset": "2021-10-13", "sponsor_aware_at": "2021-10-12T09:00:00+08:00"},
            {"sponsor_aware_before_onset"},
        ),
        (
            {"onset": "2021-10-13", "handling_completed_at": "2021-10-12T09:00:00+08:00"},
            {"handled_before_onset"},
        ),
        ({"onset": "2021-10", "investigator_aware_at": "2021-10-12T09:00:00+08:00"}, set()),
    ],
)
def test_odd_statements_are_taken_with_warnings(stated: dict[str, Any], expected: set[str]) -> None:
    assert codes(**stated) == expected


def test_warning_has_a_pointer_and_words() -> None:
    (warning,) = check_report(report(ctcae_grade=5))
    assert warning["pointer"] == "/ctcae_grade"
    assert warning["detail"]


@pytest.mark.parametrize(
    ("one", "other", "is_like"),
    [
        ("fever", "Fever", True),
        ("Fever", "FEVER.", True),
        ("high fever", "fever", True),
        ("fever, high", "high fever", True),
        ("diarrhoea", "diarrhea", True),
        ("发热", "发热", True),
        ("发热", "头痛", False),
        ("fever", "headache", False),
        ("rash on left arm", "rash on right leg", False),
        ("???", "???", True),
        ("???", "fever", False),
    ],
)
def test_terms_are_alike_by_their_words_or_spelling(
    one: str,
    other: str,
    is_like: bool,  # noqa: FBT001 - the expected value
) -> None:
    assert has_like_term(one, other) is is_like


def known(term: str = "fever", **stated: Any) -> KnownEvent:
    dates = report(**stated)
    return KnownEvent(id=UUID(int=7), term=term, onset=dates.onset, end=dates.end)


def test_like_term_at_overlapping_dates_is_suspected_to_be_a_duplicate() -> None:
    new = report(onset="2021-10-13", end="2021-10-15")
    (warning,) = warn_of_duplicates(new, [known(onset="2021-10-15")])
    assert warning["code"] == "possible_duplicate"
    assert str(UUID(int=7)) in warning["detail"]
    assert warn_of_duplicates(new, [known(onset="2021-10")])
    assert warn_of_duplicates(new, [known()])


def test_another_term_or_another_time_is_no_duplicate() -> None:
    new = report(onset="2021-10-13", end="2021-10-15")
    apart = [
        known("headache", onset="2021-10-13"),
        known(onset="2021-10-16"),
        known(onset="2021-10-01", end="2021-10-12"),
    ]
    assert warn_of_duplicates(new, apart) == []


@settings(max_examples=50)
@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_every_term_is_like_itself_and_comparison_never_fails(one: str, other: str) -> None:
    assert has_like_term(one, one)
    assert has_like_term(one, other) in (True, False)
