import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.enrolment.domain.criteria.judging import RULE_BY_CRITERION
from services.enrolment.domain.eligibility import Attestation, evaluate_eligibility
from services.kernel.refusals import Impossible
from services.protocol.settings import override_settings
from tests.enrolment.domain.screenings import (
    CASES,
    FACTS,
    MAN,
    SHANGHAI,
    STUDY,
    WOMAN,
    judge,
    varied,
)

STATED_AT = datetime(2021, 9, 10, 8, 0, tzinfo=UTC)
NO = Attestation(result="not_met", stated_at=STATED_AT, stated_by="dr-li")
YES = Attestation(result="met", stated_at=STATED_AT, stated_by="dr-li")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_eligibility_vector(case: dict[str, Any]) -> None:
    body = dict(case["input"])
    overrides = body.pop("settings", {})
    found = evaluate_eligibility(
        FACTS.validate_python(body),
        study=STUDY,
        settings=override_settings(STUDY.settings, overrides),
        time_zone=SHANGHAI,
    )
    expected = case["expected"]
    assert dict(found.criteria) == expected["criteria"]
    assert set(found.failed) == set(expected["failed"])
    assert set(found.unknown) == set(expected["unknown"])
    assert found.verdict == expected["verdict"]


def test_every_criterion_of_the_study_has_a_rule() -> None:
    assert {criterion.id for criterion in STUDY.criteria} == set(RULE_BY_CRITERION)
    assert len(RULE_BY_CRITERION) == 47


def test_nothing_stated_leaves_everything_unknown() -> None:
    found = judge({})
    assert found.verdict == "pending"
    assert set(found.criteria.values()) == {"unknown"}


@pytest.mark.parametrize("section", sorted(MAN))
def test_null_and_absent_say_the_same(section: str) -> None:
    absent = {name: part for name, part in MAN.items() if name != section}
    assert judge(MAN, {f"/{section}": None}).criteria == judge(absent).criteria


def test_every_unknown_says_what_is_missing_and_who_supplies_it() -> None:
    for criterion, detail in judge({}).details.items():
        assert detail["missing"], criterion
        assert all(part["supplied_by"] for part in detail["missing"])
        assert detail["rule"]


def test_member_that_nobody_defined_is_refused() -> None:
    with pytest.raises(ValidationError):
        judge(MAN, {"/medical/mood": True})


def test_values_used_carry_unit_setting_and_source() -> None:
    found = judge(WOMAN, sources={"/labs/hemoglobin": {"laboratory_result": "r-1"}})
    detail = found.details["E5l"]
    assert {
        "pointer": "/labs/hemoglobin/value",
        "value": 128,
        "unit": "g/L",
        "source": {"laboratory_result": "r-1"},
    } in detail["values"]
    assert detail["settings"] == {"anaemia_lt_g_per_l": {"male": 120, "female": 110}}
    bsa = found.details["I1b"]["values"][-1]
    assert (bsa["value"], bsa["unit"], bsa["source"]) == (16, "%", None)


def test_histories_are_shown_as_they_were_stated() -> None:
    record = {"class": "topical", "last_dose_date": "2021-08", "ongoing": False}
    values = judge(MAN, {"/therapies/records": [record]}).details["E9a"]["values"]
    assert values[0]["value"] == record
    birth = judge(MAN, {"/demographics/birth_date": "1985-04"}).details["I2"]["values"][0]
    assert birth["value"] == "1985-04"


JUDGED = [criterion.id for criterion in STUDY.criteria if criterion.needs_attestation]


def test_what_was_only_entered_stays_unknown_until_attested() -> None:
    found = judge(WOMAN, unattested=JUDGED)
    assert set(found.unknown) == set(JUDGED)
    assert found.details["E10"]["missing"][0]["pointer"] == "attestation"
    assert found.details["E10"]["flags"] == ["entered_but_not_attested"]
    attested = dict.fromkeys(JUDGED, NO) | {"I1a": YES}
    assert judge(WOMAN, unattested=JUDGED, attested=attested).verdict == "eligible"


def test_entered_exclusion_that_is_not_attested_is_not_yet_a_failure() -> None:
    found = judge(MAN, {"/medical/infection": True}, unattested={"E5c"})
    assert (found.verdict, found.failed, found.unknown) == ("pending", (), ("E5c",))


def test_entering_does_not_make_computed_criteria_wait() -> None:
    assert judge(MAN, unattested={"I2", "E5f"}).verdict == "eligible"


def test_attestation_decides_what_the_record_leaves_open() -> None:
    missing = {"/investigator/other_condition_unsuitable": None}
    assert judge(MAN, missing, attested={"E10": NO}).verdict == "eligible"
    assert judge(MAN, missing, attested={"E10": YES}).failed == ("E10",)


def test_attestation_against_the_record_stands_and_is_flagged() -> None:
    found = judge(MAN, {"/medical/infection": True}, attested={"E5c": NO})
    assert found.criteria["E5c"] == "not_met"
    assert found.details["E5c"]["flags"] == ["attestation_differs_from_record"]


def test_dates_that_suffice_decide_whatever_was_attested() -> None:
    record = {"class": "topical", "last_dose_date": "2021-09-10", "ongoing": False}
    found = judge(MAN, {"/therapies/records": [record]}, attested={"E9a": NO})
    assert found.criteria["E9a"] == "met"
    assert found.details["E9a"]["flags"] == ["attestation_differs_from_record"]


def test_attestation_makes_no_pregnancy_criterion_apply_to_men() -> None:
    assert judge(MAN, attested={"E3a": YES}).criteria["E3a"] == "not_applicable"


def test_unknown_that_was_entered_keeps_its_own_reason() -> None:
    found = judge(MAN, {"/medical/infection": None}, unattested={"E5c"})
    assert found.details["E5c"]["missing"][0]["pointer"] == "/medical/infection"


def test_ionised_calcium_is_refused() -> None:
    with pytest.raises(Impossible) as refused:
        judge(MAN, {"/labs/calcium_total/loinc": "1995-0"})
    assert [fault.pointer for fault in refused.value.faults] == ["/labs/calcium_total/loinc"]


LEAVES = sorted(
    f"/{section}/{member}"
    for section, part in MAN.items()
    if isinstance(part, dict)
    for member in part
)
ODD: dict[str, Any] = {
    "/severity/pasi": 6,
    "/severity/bsa_percent": 9,
    "/demographics/birth_date": "2003",
    "/medical/infection": True,
    "/labs/wbc": {"value": 2, "unit": "10*9/L"},
    "/labs/creatinine": {"value": 120, "unit": "umol/L", "uln": 104},
    "/therapies/history_complete": None,
    "/planned_first_infusion_date": None,
    "/reproductive/pregnant": True,
}
COMPLETE = {
    "/reproductive/history_complete": ("last_pregnancy_end_date", "last_lactation_end_date"),
    "/other_trials/history_complete": ("participation_end_dates",),
    "/therapies/history_complete": ("records",),
}


@settings(max_examples=60, deadline=None)
@given(
    base=st.sampled_from([MAN, WOMAN]),
    odd=st.sets(st.sampled_from(sorted(ODD))),
    removed=st.sets(st.sampled_from(LEAVES), max_size=5),
)
def test_removing_information_never_makes_anyone_eligible(
    base: dict[str, Any], odd: set[str], removed: set[str]
) -> None:
    # A history without an entry that is still called complete says something else, not less.
    for complete, members in COMPLETE.items():
        section = complete.rpartition("/")[0]
        if any(f"{section}/{member}" in removed for member in members):
            removed.add(complete)
    full = varied(base, {pointer: ODD[pointer] for pointer in odd})
    before, after = judge(full), judge(full, dict.fromkeys(removed))
    assert set(before.unknown) <= set(after.unknown) | _not_asked(before, after)
    if before.verdict != "eligible":
        assert after.verdict != "eligible"


def _not_asked(before: Any, after: Any) -> set[str]:
    return {c for c in before.unknown if after.criteria[c] == "not_applicable"}


RECORD = st.fixed_dictionaries(
    {
        "class": st.sampled_from(["topical", "biologic", None]),
        "last_dose_date": st.sampled_from(["2021-09-10", "2021-08", "2021", "2019", None]),
        "ongoing": st.sampled_from([True, False, None]),
    }
)


@settings(max_examples=60, deadline=None)
@given(
    record=RECORD,
    removed=st.sets(st.sampled_from(["class", "last_dose_date", "ongoing"])),
)
def test_removing_part_of_a_treatment_never_makes_anyone_eligible(
    record: dict[str, Any], removed: set[str]
) -> None:
    before = judge(MAN, {"/therapies/records": [record]})
    after = judge(MAN, {"/therapies/records": [record | dict.fromkeys(removed)]})
    assert before.verdict == "eligible" or after.verdict != "eligible"


def test_order_of_facts_does_not_matter() -> None:
    records = [
        {"class": "topical", "last_dose_date": "2021-09-02", "ongoing": False},
        {"class": "uvb", "last_dose_date": "2021", "ongoing": False},
        {"class": "biologic", "last_dose_date": None, "ongoing": True},
        {"class": None, "last_dose_date": "2021-09-14", "ongoing": None},
    ]
    ends = ["2021-08-15", None, "2019"]
    results = {
        tuple(
            judge(
                MAN,
                {
                    "/therapies/records": list(order),
                    "/other_trials/participation_end_dates": ends[:: 1 - 2 * (index % 2)],
                },
            ).criteria.items()
        )
        for index, order in enumerate(itertools.permutations(records))
    }
    assert len(results) == 1
