from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.safety.domain.incidence import CountedEvent, count_incidence, summarise_safety


def event(subject: str, pt: str = "Fever", **changes: Any) -> CountedEvent:
    stated: dict[str, Any] = {"soc": "General disorders", "serious": False}
    return CountedEvent(subject=subject, pt=pt, **(stated | changes))


def registry(events: list[CountedEvent], *, n_at_risk: int, threshold: str) -> dict[str, Any]:
    tables = count_incidence(events, n_at_risk=n_at_risk, threshold_percent=Decimal(threshold))
    return dict(tables["ctgov"])


def test_term_at_exactly_the_threshold_does_not_exceed_it() -> None:
    one_of_twenty = registry([event("P1")], n_at_risk=20, threshold="5")
    assert one_of_twenty["otherEvents"] == []
    assert one_of_twenty["otherNumAffected"] == 0
    assert registry([event("P1")], n_at_risk=19, threshold="5")["otherNumAffected"] == 1
    assert registry([event("P1")], n_at_risk=5, threshold="20")["otherEvents"] == []
    assert registry([event("P1")], n_at_risk=3, threshold="33.3")["otherNumAffected"] == 1
    assert registry([event("P1")], n_at_risk=3, threshold="33.4")["otherNumAffected"] == 0


def test_threshold_counts_subjects_not_events() -> None:
    thrice = [event("P1"), event("P1"), event("P1")]
    assert registry(thrice, n_at_risk=5, threshold="20")["otherEvents"] == []


def test_affected_are_subjects_with_a_term_above_the_threshold() -> None:
    events = [event("P1"), event("P2"), event("P3", "Rash"), event("P1", "Rash", serious=True)]
    tables = registry(events, n_at_risk=5, threshold="20")
    assert [row["pt"] for row in tables["otherEvents"]] == ["Fever"]
    assert tables["otherNumAffected"] == 2
    assert tables["seriousNumAffected"] == 1


def test_serious_term_does_not_help_the_other_one_over_the_threshold() -> None:
    events = [event("P1"), event("P2", serious=True)]
    assert registry(events, n_at_risk=5, threshold="20")["otherEvents"] == []


def test_serious_events_have_no_threshold() -> None:
    tables = registry([event("P1", serious=True)], n_at_risk=100, threshold="5")
    assert tables["seriousEvents"] == [
        {"soc": "General disorders", "pt": "Fever", "subjects": 1, "events": 1}
    ]


def test_event_not_yet_judged_is_in_neither_registry_table() -> None:
    tables = count_incidence([event("P1", serious=None)], n_at_risk=5, threshold_percent=Decimal(0))
    assert tables["any_event_events"] == 1
    assert tables["ctgov"]["seriousEvents"] == tables["ctgov"]["otherEvents"] == []


def test_tables_by_class_and_term_count_serious_events_too() -> None:
    events = [event("P1"), event("P1", serious=True)]
    tables = count_incidence(events, n_at_risk=5, threshold_percent=Decimal(0))
    assert tables["by_pt"][0]["events"] == 2
    assert tables["by_soc"][0]["subjects"] == 1


def test_rows_sort_by_class_then_term_and_uncoded_last() -> None:
    events = [
        event("P1", "b", soc=None),
        event("P1", "z", soc="A"),
        event("P1", "a", soc="B"),
        event("P1", "a", soc="A"),
    ]
    tables = count_incidence(events, n_at_risk=5, threshold_percent=Decimal(0))
    assert [(row["soc"], row["pt"]) for row in tables["by_pt"]] == [
        ("A", "a"),
        ("A", "z"),
        ("B", "a"),
        (None, "b"),
    ]
    assert [row["soc"] for row in tables["by_soc"]] == ["A", "B", None]


@pytest.mark.parametrize(
    ("threshold", "text"), [("5", "5"), ("5.0", "5"), ("0", "0"), ("2.50", "2.5"), ("10", "10")]
)
def test_threshold_is_a_plain_string(threshold: str, text: str) -> None:
    assert registry([], n_at_risk=5, threshold=threshold)["frequencyThreshold"] == text


def test_nobody_at_risk_has_empty_tables() -> None:
    tables = registry([], n_at_risk=0, threshold="5")
    assert tables["otherNumAtRisk"] == tables["otherNumAffected"] == 0


def test_summary_counts_the_infused_and_sets_the_others_apart() -> None:
    events = [
        event("P1", grade=1, suspected=True, classification="ADR", is_treatment_emergent=True),
        event("P1", "Rash", grade=4, suspected=False, serious=True, classification="SAE"),
        event("P2", serious=None, is_infusion_related=True, is_treatment_emergent=True),
        event("P2", "Death", serious=True, grade=5, is_fatal=True, classification="SUSAR"),
        event("P9"),
    ]
    summary = summarise_safety(events, at_risk={"P1", "P2", "P3"}, threshold_percent=Decimal(0))
    assert summary["n_at_risk"] == summary["ctgov"]["seriousNumAtRisk"] == 3
    assert (summary["any_event_subjects"], summary["any_event_events"]) == (2, 4)
    assert summary["serious"] == {"subjects": 2, "events": 2}
    assert summary["serious_unknown"] == {"subjects": 1, "events": 1}
    assert summary["deaths"] == {"subjects": 1, "events": 1}
    assert summary["treatment_emergent"] == {"subjects": 2, "events": 2}
    assert summary["treatment_emergent_by_pt"] == [
        {"soc": "General disorders", "pt": "Fever", "subjects": 2, "events": 2}
    ]
    assert summary["infusion_related"] == {"subjects": 1, "events": 1}
    assert list(summary["by_grade"]) == ["1", "4", "5", "unknown"]
    assert summary["by_relationship"] == {
        "not_suspected": {"subjects": 1, "events": 1},
        "suspected": {"subjects": 1, "events": 1},
        "unknown": {"subjects": 1, "events": 2},
    }
    assert list(summary["by_classification"]) == ["ADR", "SAE", "SUSAR", "unknown"]
    assert summary["not_at_risk"] == {"subjects": 1, "events": 1}


EVENTS = st.builds(
    event,
    subject=st.sampled_from(["P1", "P2", "P3"]),
    pt=st.sampled_from(["Fever", "Rash"]),
    soc=st.sampled_from(["A", "B", None]),
    serious=st.sampled_from([True, False, None]),
)


@settings(max_examples=60)
@given(events=st.lists(EVENTS, max_size=12), order=st.randoms(use_true_random=False))
def test_tables_do_not_depend_on_the_order_of_events(
    events: list[CountedEvent], order: Any
) -> None:
    tables = count_incidence(events, n_at_risk=3, threshold_percent=Decimal(40))
    assert sum(row["events"] for row in tables["by_pt"]) == len(events)
    assert sum(row["events"] for row in tables["by_soc"]) == len(events)
    order.shuffle(events)
    assert count_incidence(events, n_at_risk=3, threshold_percent=Decimal(40)) == tables
