from dataclasses import fields, replace
from itertools import product
from typing import get_args

import pytest

from services.safety.domain.case_updates import CaseUpdate, Causality, accumulate
from services.safety.domain.classification import classify, judge_case
from services.safety.domain.seriousness import (
    Seriousness,
    add_statements,
    is_fatal_or_life_threatening,
    is_serious,
)
from tests.safety.domain.cases import HOSPITAL, NOT_SERIOUS, susar

CRITERIA = [criterion.name for criterion in fields(Seriousness)]
CAUSALITIES: tuple[Causality | None, ...] = (*get_args(Causality), None)
SUSPECTED = {"certain", "probable", "possible", "unassessable"}


def test_any_criterion_makes_serious_all_six_denied_make_not_serious() -> None:
    for values in product((True, False, None), repeat=6):
        stated = Seriousness(**dict(zip(CRITERIA, values, strict=True)))
        expected = True if True in values else None if None in values else False
        assert is_serious(stated) is expected


def test_death_or_threat_to_life_shortens_the_limits() -> None:
    assert is_fatal_or_life_threatening(Seriousness(death=True))
    assert is_fatal_or_life_threatening(Seriousness(life_threatening=True, death=False))
    assert not is_fatal_or_life_threatening(HOSPITAL)


def test_a_later_statement_leaves_open_criteria_as_they_were() -> None:
    later = add_statements(HOSPITAL, Seriousness(death=True, disability=None))
    assert later == replace(HOSPITAL, death=True)
    assert add_statements(HOSPITAL, Seriousness(hospitalization=False)) == NOT_SERIOUS


def test_suspicion_of_either_party_counts() -> None:
    for investigator, sponsor in product(CAUSALITIES, repeat=2):
        case = CaseUpdate(investigator_causality=investigator, sponsor_causality=sponsor)
        expected = investigator is None or bool({investigator, sponsor} & SUSPECTED)
        assert judge_case(case).suspected is expected


@pytest.mark.parametrize(
    ("serious", "suspected", "unexpected", "expected"),
    [
        (None, True, True, "UNDETERMINED"),
        (None, False, False, "UNDETERMINED"),
        (False, False, True, "AE"),
        (False, True, True, "ADR"),
        (False, True, False, "ADR"),
        (True, False, True, "SAE"),
        (True, True, False, "SAR"),
        (True, True, True, "SUSAR"),
    ],
)
def test_class_follows_from_three_judgements(
    *, serious: bool | None, suspected: bool, unexpected: bool, expected: str
) -> None:
    assert classify(serious=serious, suspected=suspected, unexpected=unexpected) == expected


def test_unexpected_is_judged_without_suspicion_too() -> None:
    case = CaseUpdate(investigator_causality="unrelated", expected=None)
    assert judge_case(case).unexpected
    assert not judge_case(replace(case, expected=True)).unexpected


def test_gaps_are_noted() -> None:
    assert judge_case(CaseUpdate()).notes == (
        "CAUSALITY_MISSING_ASSUMED_RELATED",
        "EXPECTEDNESS_MISSING_ASSUMED_UNEXPECTED",
    )
    waiting = susar(investigator_causality="unrelated", sponsor_causality=None)
    assert judge_case(waiting).notes == ("SPONSOR_CAUSALITY_PENDING",)
    assert judge_case(susar()).notes == ()


def test_an_empty_case_is_undetermined() -> None:
    judged = judge_case(CaseUpdate())
    assert judged.serious is None
    assert judged.classification == "UNDETERMINED"


def test_updates_add_up_and_null_changes_nothing() -> None:
    first = susar()
    second = CaseUpdate(seriousness=Seriousness(death=True), expected=None)
    third = CaseUpdate(sponsor_causality="unrelated")
    stood = accumulate([first, second, third])
    assert stood[0] is first
    assert stood[1] == replace(first, seriousness=replace(HOSPITAL, death=True))
    assert stood[2] == replace(stood[1], sponsor_causality="unrelated")
    assert accumulate([]) == ()
