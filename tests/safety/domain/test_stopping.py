from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from services.kernel.refusals import NotFound
from services.protocol.loading import BUILT_IN, load_studies, load_study
from services.protocol.study import StoppingRule
from services.safety.domain.signals import (
    AcknowledgeSignal,
    SignalFile,
    decide_acknowledgement,
)
from services.safety.domain.stopping import CONDITIONS, SafetyFact, Signal, derive_signals
from tests.safety.domain.cases import at

STUDY = load_study(BUILT_IN / "NCT03745417.toml")


def fact(event: int = 1, participant: int = 1, **changes: Any) -> SafetyFact:
    stated: dict[str, Any] = {
        "version": 1,
        "recorded_at": at(event),
        "terms": ("headache",),
        "classification": "ADR",
        "suspected": True,
        "grade": 1,
        "is_fatal": False,
        "is_soon_after_infusion": False,
    }
    return SafetyFact(
        adverse_event=UUID(int=event), participant=UUID(int=participant), **(stated | changes)
    )


def rules(*facts: SafetyFact) -> set[str]:
    return {signal.rule for signal in derive_signals(STUDY, facts)}


def one(signals: list[Signal], rule: str) -> Signal:
    return next(signal for signal in signals if signal.rule == rule)


def test_every_condition_of_a_study_file_has_a_meaning() -> None:
    for study in load_studies().values():
        assert {rule.condition for rule in study.stopping_rules} <= set(CONDITIONS)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"grade": None}, set()),
        ({"grade": 3}, set()),
        ({"grade": 4}, {"STUDY_DEATH_OR_GRADE_4"}),
        ({"grade": 4, "suspected": False}, set()),
        ({"is_fatal": True, "grade": None}, {"STUDY_DEATH_OR_GRADE_4"}),
        ({"is_fatal": True, "grade": 5, "suspected": False}, set()),
        ({"terms": ("Anaphylactic reaction", "x")}, {"STUDY_PRODUCT_EVENT"}),
        ({"terms": ("PULMONARY EMBOLISM",)}, {"STUDY_PRODUCT_EVENT"}),
        ({"terms": ("pulmonary embolism",), "suspected": False}, set()),
        ({"terms": ("basal cell carcinoma",), "suspected": False}, {"STUDY_MALIGNANCY"}),
        ({"terms": ("Pregnancy",), "suspected": False}, {"PARTICIPANT_PREGNANCY"}),
        ({"grade": 3, "is_soon_after_infusion": True}, {"PARTICIPANT_INFUSION_REACTION"}),
        ({"grade": 3, "is_soon_after_infusion": None}, {"PARTICIPANT_INFUSION_REACTION"}),
        ({"grade": 2, "is_soon_after_infusion": True}, set()),
        ({"grade": 3, "is_soon_after_infusion": True, "suspected": False}, set()),
        ({"classification": "SUSAR"}, {"PARTICIPANT_SUSAR"}),
        ({"classification": "SAR"}, set()),
    ],
)
def test_facts_raise_the_rules_that_they_meet(changes: dict[str, Any], expected: set[str]) -> None:
    assert rules(fact(**changes)) == expected


def test_rule_of_two_participants_counts_participants_not_events() -> None:
    assert rules(fact(1, grade=3), fact(2, grade=3)) == set()
    assert rules(fact(1, grade=3), fact(2, 2, grade=3)) == {"STUDY_TWO_GRADE_3"}


def test_signal_of_the_study_names_its_facts_and_proposes_a_pause() -> None:
    second, first = fact(2, 2, grade=3), fact(1, 1, grade=3)
    (signal,) = derive_signals(STUDY, [second, fact(3, 3), first])
    assert signal.facts == signal.new_facts == (first, second)
    assert (signal.scope, signal.participant, signal.status) == ("study", None, "raised")
    assert signal.proposal == "pause_for_review"
    assert signal.latest_fact_at == at(2)
    assert signal.text


def test_rule_of_a_participant_gives_each_its_own_signal() -> None:
    signals = derive_signals(
        STUDY,
        [fact(1, 2, classification="SUSAR"), fact(2, 1, classification="SUSAR")],
    )
    assert [signal.participant for signal in signals] == [UUID(int=1), UUID(int=2)]
    assert len({signal.id for signal in signals}) == 2
    assert all(len(signal.facts) == 1 for signal in signals)


def test_acknowledged_signal_is_raised_again_by_new_facts_only() -> None:
    first = fact(1, grade=4)
    (raised,) = derive_signals(STUDY, [first])
    known = {raised.id: {one.key for one in raised.facts}}
    corrected = replace(first, version=2, recorded_at=at(9))
    (quiet,) = derive_signals(STUDY, [corrected], known)
    assert (quiet.id, quiet.status, quiet.new_facts) == (raised.id, "acknowledged", ())
    worse = replace(first, version=3, grade=5, is_fatal=True)
    second = fact(2, grade=4)
    again = one(derive_signals(STUDY, [worse, second], known), "STUDY_DEATH_OR_GRADE_4")
    assert (again.id, again.status) == (raised.id, "raised")
    assert again.new_facts == (worse, second)


def test_signals_do_not_depend_on_the_order_of_facts() -> None:
    facts = [fact(n, n, grade=4, classification="SUSAR") for n in range(1, 5)]
    assert derive_signals(STUDY, facts) == derive_signals(STUDY, facts[::-1])


def test_rule_without_its_limit_never_holds() -> None:
    rule = StoppingRule(id="X", scope="study", condition="suspected_grade", text="no limit")
    assert derive_signals(replace(STUDY, stopping_rules=(rule,)), [fact(grade=5)]) == []


def test_acknowledging_what_is_no_signal_is_refused() -> None:
    command = AcknowledgeSignal(
        study=STUDY,
        participant=UUID(int=1),
        id=UUID(int=2),
        sites=None,
        signal=UUID(int=3),
        facts=None,
        reason="seen",
    )
    with pytest.raises(NotFound):
        decide_acknowledgement(SignalFile(STUDY, {}), command, at(4))
