from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter

from services.enrolment.domain.attestations import (
    AttestationForm,
    Attested,
    ScreenedAgain,
    ScreeningVersion,
    Standing,
    Step,
    require_attestable,
    standing_attestations,
)
from services.enrolment.domain.eligibility import Attestation, AttestedResult
from services.kernel.refusals import Impossible
from tests.enrolment.domain.screenings import FACTS, STUDY, WOMAN, varied

JUDGED = frozenset(c.id for c in STUDY.criteria if c.needs_attestation)
OWNED = ("diagnosis", "reproductive", "medical", "other_trials", "therapies", "investigator")
SCREENING = {name: WOMAN[name] for name in OWNED}


def put(*, by: str, changes: Mapping[str, Any] | None = None) -> ScreeningVersion:
    facts = FACTS.validate_python(varied(SCREENING, changes or {}))
    return ScreeningVersion(facts=facts, is_by_investigator=by == "investigator")


def attest(criterion: str, result: AttestedResult = "not_met") -> Attested:
    stated_at = datetime(2021, 9, 10, tzinfo=UTC)
    return Attested(
        criterion=criterion,
        attestation=Attestation(result=result, stated_at=stated_at, stated_by="dr-li"),
    )


def standing(*history: Step) -> Standing:
    return standing_attestations(STUDY, history)


def test_record_put_by_an_investigator_attests_what_it_states() -> None:
    assert standing(put(by="investigator")).unattested == frozenset()


def test_what_a_coordinator_enters_waits_for_an_investigator() -> None:
    entered = standing(put(by="coordinator")).unattested
    assert {"E10", "E5o", "E3a", "E3b", "E8b", "E9a"} <= entered <= JUDGED
    assert "E4c" not in entered  # nothing was entered for it
    assert standing(put(by="coordinator"), put(by="investigator")).unattested == frozenset()


def test_attestation_ends_the_waiting_of_its_criterion() -> None:
    found = standing(put(by="coordinator"), attest("E10"))
    assert "E10" not in found.unattested
    assert found.attested == {"E10": attest("E10").attestation}


def test_same_values_entered_again_void_nothing() -> None:
    found = standing(put(by="investigator"), attest("E10", "met"), put(by="coordinator"))
    assert found.unattested == frozenset()
    assert set(found.attested) == {"E10"}


def test_changed_value_voids_its_attestation_and_no_other() -> None:
    changes = {"/investigator/other_condition_unsuitable": True}
    found = standing(
        put(by="investigator"),
        attest("E10"),
        attest("E5c"),
        put(by="coordinator", changes=changes),
    )
    assert found.unattested == {"E10"}
    assert set(found.attested) == {"E5c"}


def test_investigator_changing_the_record_replaces_the_earlier_statement() -> None:
    changes = {"/medical/infection": True}
    found = standing(put(by="investigator"), attest("E5c"), put(by="investigator", changes=changes))
    assert found == Standing(attested={}, unattested=frozenset())


def test_new_treatment_concerns_its_class_only() -> None:
    record = {"class": "uvb", "last_dose_date": "2021-06", "ongoing": False}
    found = standing(
        put(by="investigator"), put(by="coordinator", changes={"/therapies/records": [record]})
    )
    assert found.unattested == {"E9c"}


def test_screening_again_begins_anew() -> None:
    before = (put(by="investigator"), attest("E4c"))
    found = standing(*before, ScreenedAgain())
    assert found == Standing(attested={}, unattested=JUDGED)
    assert standing(*before, ScreenedAgain(), attest("E10")).unattested == JUDGED - {"E10"}
    assert standing(*before, ScreenedAgain(), put(by="investigator")).unattested == frozenset()
    entered = standing(*before, ScreenedAgain(), put(by="coordinator"))
    assert entered.unattested == JUDGED


def test_order_of_a_list_states_nothing() -> None:
    records = [
        {"class": "uvb", "last_dose_date": "2021-06", "ongoing": False},
        {"class": "uvb", "last_dose_date": "2021-05", "ongoing": False},
    ]
    found = standing(
        put(by="investigator", changes={"/therapies/records": records}),
        put(by="coordinator", changes={"/therapies/records": records[::-1]}),
    )
    assert found.unattested == frozenset()


def form(criterion: str) -> AttestationForm:
    return TypeAdapter(AttestationForm).validate_python(
        {"criterion": criterion, "result": "not_met", "stated_at": "2021-09-10T09:00:00+08:00"}
    )


def test_judgement_may_be_attested() -> None:
    require_attestable(STUDY, form("E5o"))


@pytest.mark.parametrize(
    ("criterion", "code"), [("I2", "computed_criterion"), ("E99", "unknown_criterion")]
)
def test_computed_and_unknown_criteria_take_no_statement(criterion: str, code: str) -> None:
    with pytest.raises(Impossible) as refused:
        require_attestable(STUDY, form(criterion))
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/criterion", code)]
