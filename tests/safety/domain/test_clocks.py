import time
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import combinations, permutations
from operator import attrgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.protocol.settings import Regime
from services.safety.domain.case_updates import CaseUpdate, accumulate
from services.safety.domain.classification import SUSPECTING, judge_case
from services.safety.domain.clock_rules import RULES
from services.safety.domain.clocks import (
    Clock,
    binding_due_date,
    derive_clocks,
    derive_cumulative_clocks,
)
from services.safety.domain.seriousness import Seriousness
from tests.safety.domain.cases import (
    CHINA,
    FATAL,
    HOSPITAL,
    LIFE_THREATENING,
    NOT_SERIOUS,
    SITE,
    at,
    susar,
)

NMPA: list[Regime] = ["CN_NMPA_2018"]
STEM_CELL: list[Regime] = ["CN_STEM_CELL_2015"]
ALL: list[Regime] = ["CN_NMPA_2018", "ICH_E2A", "CN_STEM_CELL_2015"]
CASE = UUID("0190e7a0-0000-7000-8000-000000000001")


def clocks(*updates: CaseUpdate, regimes: Sequence[Regime] = NMPA) -> list[Clock]:
    return derive_cumulative_clocks(updates, regimes, SITE)


def named(started: list[Clock]) -> list[str]:
    return [clock.clock for clock in started]


def one(started: list[Clock], name: str) -> Clock:
    return next(clock for clock in started if clock.clock == name)


def test_not_serious_case_has_no_clock_under_any_regime() -> None:
    assert clocks(susar(seriousness=NOT_SERIOUS), regimes=ALL) == []


def test_each_regime_has_its_own_clocks() -> None:
    case = susar(seriousness=LIFE_THREATENING)
    expected: dict[str, set[str]] = {
        "CN_NMPA_2018": {"SUSAR_INITIAL", "SUSAR_FOLLOW_UP", "NEW_INFORMATION_FOLLOW_UP"},
        "ICH_E2A": {"SUSAR_INITIAL", "SUSAR_FOLLOW_UP"},
        "CN_STEM_CELL_2015": {"STEM_CELL_COMMITTEES_24H", "STEM_CELL_FINAL_REPORT"},
    }
    later = CaseUpdate(new_information_at=at(8), handling_completed_at=at(9))
    for size in (1, 2, 3):
        for regimes in combinations(ALL, size):
            found = named(clocks(case, later, regimes=regimes))
            assert set(found) == {"SAE_TO_SPONSOR_24H"}.union(*(expected[r] for r in regimes))
            assert found == [name for name in RULES if name in found]


def test_24_hours_are_exact_and_keep_the_offset_of_the_sender() -> None:
    aware = datetime(2021, 10, 4, 23, 59, 59, tzinfo=UTC)
    clock = one(clocks(susar(investigator_aware_at=aware)), "SAE_TO_SPONSOR_24H")
    assert clock.due == datetime(2021, 10, 5, 23, 59, 59, tzinfo=UTC)
    assert clock.expires_at(SITE) == clock.due
    assert (clock.day0, clock.due_date, clock.basis_days) == (None, None, None)


@pytest.mark.parametrize(
    ("aware_at", "day0"),
    [
        (datetime(2021, 10, 4, 15, 59, 59, tzinfo=UTC), date(2021, 10, 4)),
        (datetime(2021, 10, 4, 16, 0, 0, tzinfo=UTC), date(2021, 10, 5)),
        (at(4, 23, 59), date(2021, 10, 4)),
        (at(5, 0), date(2021, 10, 5)),
    ],
)
def test_day_0_is_the_date_at_the_site(aware_at: datetime, day0: date) -> None:
    clock = one(clocks(susar(sponsor_aware_at=aware_at)), "SUSAR_INITIAL")
    assert clock.day0 == day0
    assert clock.due_date == day0 + timedelta(days=15)


def test_due_day_ends_at_the_site_midnight() -> None:
    clock = one(clocks(susar()), "SUSAR_INITIAL")
    assert clock.expires_at(SITE) == datetime(2021, 10, 20, tzinfo=CHINA)
    assert clock.expires_at(ZoneInfo("Europe/Berlin")) == datetime(2021, 10, 19, 22, tzinfo=UTC)


def test_days_run_over_the_turn_of_the_year_and_leap_day() -> None:
    year = susar(seriousness=FATAL, sponsor_aware_at=datetime(2023, 12, 28, 12, tzinfo=CHINA))
    assert one(clocks(year), "SUSAR_INITIAL").due_date == date(2024, 1, 4)
    leap = susar(sponsor_aware_at=datetime(2024, 2, 20, 12, tzinfo=CHINA))
    assert one(clocks(leap), "SUSAR_INITIAL").due_date == date(2024, 3, 6)


def test_triage_runs_while_seriousness_is_open_and_ends_when_decided() -> None:
    unknown = susar(seriousness=None)
    (triage,) = clocks(unknown, regimes=ALL)
    assert (triage.clock, triage.due, triage.ended_by_version) == (
        "TRIAGE_SERIOUSNESS_24H",
        at(5),
        None,
    )
    decided = CaseUpdate(seriousness=HOSPITAL, investigator_aware_at=at(6))
    ended, reported = clocks(unknown, CaseUpdate(ctcae_grade=3), decided, regimes=STEM_CELL)[:2]
    assert (ended.clock, ended.ended_by_version) == ("TRIAGE_SERIOUSNESS_24H", 3)
    assert (reported.clock, reported.due, reported.started_by_version) == (
        "SAE_TO_SPONSOR_24H",
        at(7),
        3,
    )


def test_triage_starts_anew_when_a_version_withdraws_the_judgement() -> None:
    versions = [
        susar(seriousness=None),
        susar(seriousness=NOT_SERIOUS),
        susar(seriousness=None, investigator_aware_at=at(8)),
    ]
    first, second = derive_clocks(versions, ALL, SITE)
    assert (first.ended_by_version, second.ended_by_version) == (2, None)
    assert second.due == at(9)
    assert first.id_in(CASE) != second.id_in(CASE)


def test_case_that_becomes_serious_later_counts_from_then() -> None:
    later = CaseUpdate(
        investigator_aware_at=at(10, 8), sponsor_aware_at=at(11, 9), seriousness=HOSPITAL
    )
    found = clocks(susar(seriousness=NOT_SERIOUS), later)
    assert one(found, "SAE_TO_SPONSOR_24H").due == at(11, 8)
    assert one(found, "SUSAR_INITIAL").day0 == date(2021, 10, 11)
    assert all(clock.started_by_version == 2 for clock in found)


@pytest.mark.parametrize(
    ("before", "later"),
    [
        ({"expected": True}, {"expected": False}),
        (
            {"investigator_causality": "unrelated", "sponsor_causality": "unrelated"},
            {"sponsor_causality": "possible"},
        ),
    ],
)
def test_case_that_becomes_unexpected_or_suspected_later_counts_from_then(
    before: dict[str, Any], later: dict[str, Any]
) -> None:
    found = clocks(susar(**before), CaseUpdate(sponsor_aware_at=at(9), **later))
    assert one(found, "SAE_TO_SPONSOR_24H").due == at(5)
    assert one(found, "SUSAR_INITIAL").due_date == date(2021, 10, 24)


def test_stem_cell_committees_hear_of_expected_reactions_but_not_of_unsuspected_ones() -> None:
    expected = susar(expected=True)
    assert named(clocks(expected, regimes=STEM_CELL))[1:] == ["STEM_CELL_COMMITTEES_24H"]
    unsuspected = susar(investigator_causality="unrelated", sponsor_causality="unlikely")
    handled = replace(unsuspected, handling_completed_at=at(8))
    assert named(clocks(handled, regimes=STEM_CELL)) == ["SAE_TO_SPONSOR_24H"]
    later = CaseUpdate(sponsor_causality="possible", investigator_aware_at=at(9))
    found = clocks(handled, later, regimes=STEM_CELL)
    assert one(found, "STEM_CELL_COMMITTEES_24H").due == at(10)


def test_final_report_is_due_15_days_after_handling_ended() -> None:
    done = CaseUpdate(handling_completed_at=datetime(2021, 10, 9, 17, tzinfo=UTC))
    clock = one(clocks(susar(), done, regimes=STEM_CELL), "STEM_CELL_FINAL_REPORT")
    assert (clock.day0, clock.basis_days) == (date(2021, 10, 10), 15)
    assert clock.due_date == date(2021, 10, 25)
    assert clock.started_by_version == 2


def test_final_report_of_a_case_handled_before_it_was_suspected() -> None:
    before = susar(
        investigator_causality="unrelated", sponsor_causality=None, handling_completed_at=at(8)
    )
    found = clocks(before, CaseUpdate(sponsor_causality="probable"), regimes=STEM_CELL)
    assert one(found, "STEM_CELL_FINAL_REPORT").due_date == date(2021, 10, 23)


def test_15_day_case_that_becomes_fatal_keeps_its_clock_and_gets_a_7_day_one() -> None:
    found = clocks(
        susar(), CaseUpdate(seriousness=Seriousness(death=True), sponsor_aware_at=at(16, 23, 59))
    )
    assert [(clock.clock, clock.basis_days, clock.due_date) for clock in found[1:]] == [
        ("SUSAR_INITIAL", 15, date(2021, 10, 19)),
        ("SUSAR_UPGRADE_FATAL_LT", 7, date(2021, 10, 23)),
        ("SUSAR_FOLLOW_UP", 15, date(2021, 10, 31)),
    ]
    assert binding_due_date(found) == date(2021, 10, 19)


def test_life_threatening_case_that_becomes_fatal_gets_no_second_7_day_clock() -> None:
    fatal = CaseUpdate(seriousness=Seriousness(death=True), sponsor_aware_at=at(6))
    found = clocks(susar(seriousness=LIFE_THREATENING), fatal)
    assert named(found) == ["SAE_TO_SPONSOR_24H", "SUSAR_INITIAL", "SUSAR_FOLLOW_UP"]
    assert one(found, "SUSAR_FOLLOW_UP").day0 == date(2021, 10, 4)


def test_case_already_fatal_when_it_becomes_suspected_is_a_7_day_case() -> None:
    first = susar(
        seriousness=FATAL, investigator_causality="unrelated", sponsor_causality="unlikely"
    )
    found = clocks(first, CaseUpdate(sponsor_causality="possible", sponsor_aware_at=at(12)))
    assert [(clock.clock, clock.basis_days, clock.day0) for clock in found[1:]] == [
        ("SUSAR_INITIAL", 7, date(2021, 10, 12)),
        ("SUSAR_FOLLOW_UP", 15, date(2021, 10, 12)),
    ]


def test_expected_case_that_becomes_life_threatening_is_no_upgrade() -> None:
    found = clocks(
        susar(),
        CaseUpdate(expected=True),
        CaseUpdate(seriousness=LIFE_THREATENING, sponsor_aware_at=at(8)),
    )
    assert named(found) == ["SAE_TO_SPONSOR_24H", "SUSAR_INITIAL"]


@pytest.mark.parametrize(
    "downgrade",
    [
        {"seriousness": NOT_SERIOUS},
        {"expected": True},
        {"investigator_causality": "unrelated", "sponsor_causality": "unrelated"},
    ],
)
def test_downgrade_stops_no_clock(downgrade: dict[str, Any]) -> None:
    case = susar(seriousness=LIFE_THREATENING)
    started = clocks(case, regimes=ALL)
    later = CaseUpdate(investigator_aware_at=at(9), sponsor_aware_at=at(9), **downgrade)
    assert clocks(case, later, regimes=ALL) == started


def test_a_withdrawn_version_stops_no_clock() -> None:
    versions = [susar(recorded_at=at(4, 16)), CaseUpdate(recorded_at=at(9))]
    assert named(derive_clocks(versions, NMPA, SITE)) == [
        "TRIAGE_SERIOUSNESS_24H",
        "SAE_TO_SPONSOR_24H",
        "SUSAR_INITIAL",
    ]


def test_new_information_on_a_case_that_has_been_a_susar_is_due_in_15_days() -> None:
    later = CaseUpdate(new_information_at=at(20, 23), expected=True)
    clock = one(clocks(susar(), later), "NEW_INFORMATION_FOLLOW_UP")
    assert (clock.day0, clock.basis_days, clock.due_date) == (
        date(2021, 10, 20),
        15,
        date(2021, 11, 4),
    )
    again = CaseUpdate(new_information_at=at(25))
    found = clocks(susar(), later, again, CaseUpdate(ctcae_grade=2))
    assert [clock.started_by_version for clock in found if "NEW" in clock.clock] == [2, 3]


def test_new_information_on_another_case_starts_no_clock() -> None:
    sar = susar(expected=True)
    assert "NEW_INFORMATION_FOLLOW_UP" not in named(
        clocks(sar, CaseUpdate(new_information_at=at(20)))
    )


def test_information_that_makes_the_susar_belongs_to_the_first_report() -> None:
    same_day = replace(susar(), new_information_at=at(4, 14))
    assert "NEW_INFORMATION_FOLLOW_UP" not in named(clocks(same_day))
    later = replace(susar(), new_information_at=at(6))
    assert one(clocks(later), "NEW_INFORMATION_FOLLOW_UP").due_date == date(2021, 10, 21)
    unaware = replace(later, sponsor_aware_at=None)
    assert "NEW_INFORMATION_FOLLOW_UP" not in named(clocks(unaware))


def test_no_party_clock_starts_before_that_party_is_aware() -> None:
    unaware = susar(sponsor_aware_at=None)
    assert named(clocks(unaware)) == ["SAE_TO_SPONSOR_24H"]
    informed = clocks(unaware, CaseUpdate(sponsor_aware_at=at(7)))
    assert one(informed, "SUSAR_INITIAL").day0 == date(2021, 10, 7)
    assert one(informed, "SUSAR_INITIAL").started_by_version == 2
    assert named(clocks(susar(investigator_aware_at=None))) == ["SUSAR_INITIAL"]


def test_fact_stated_without_awareness_counts_from_the_awareness_that_stands() -> None:
    found = clocks(susar(seriousness=NOT_SERIOUS), CaseUpdate(seriousness=HOSPITAL))
    assert one(found, "SAE_TO_SPONSOR_24H").due == at(5)
    assert one(found, "SUSAR_INITIAL").day0 == date(2021, 10, 4)


def test_stored_version_without_awareness_counts_from_its_recording() -> None:
    version = susar(investigator_aware_at=None, sponsor_aware_at=None, recorded_at=at(6, 11))
    found = derive_clocks([version], NMPA, SITE)
    assert one(found, "SAE_TO_SPONSOR_24H").due == at(7, 11)
    assert one(found, "SUSAR_INITIAL").day0 == date(2021, 10, 6)


def test_an_earlier_awareness_stated_later_moves_the_start_never_to_a_later_one() -> None:
    assumed = susar(sponsor_aware_at=None, recorded_at=at(6))
    earlier = derive_clocks([assumed, susar(recorded_at=at(9))], NMPA, SITE)
    assert one(earlier, "SUSAR_INITIAL").day0 == date(2021, 10, 4)
    later = derive_clocks([assumed, susar(sponsor_aware_at=at(8))], NMPA, SITE)
    assert one(later, "SUSAR_INITIAL").day0 == date(2021, 10, 6)


def test_clock_says_its_rule_and_source_and_has_a_lasting_id() -> None:
    (first,) = clocks(susar(expected=True))
    (again,) = clocks(susar(expected=True), CaseUpdate(ctcae_grade=4))
    assert first.rule
    assert first.source
    assert first.id_in(CASE) == again.id_in(CASE)
    assert first.id_in(CASE) != first.id_in(UUID(int=1))


def test_no_susar_has_no_binding_date() -> None:
    assert binding_due_date(clocks(susar(expected=True))) is None


CRITERIA = [field.name for field in fields(Seriousness)]
MOMENTS = st.builds(at, st.integers(1, 28), st.integers(0, 23))


def criterion(name: str, *, holds: bool) -> CaseUpdate:
    return CaseUpdate(seriousness=Seriousness(**{name: holds}))


@st.composite
def facts(draw: st.DrawFn, *, may_rule_out: bool) -> list[CaseUpdate]:
    """Facts about one case, each stated once and known to each party since a time of its own."""
    holds = st.booleans() if may_rule_out else st.just(True)  # noqa: FBT003 - what is drawn
    answers = [*SUSPECTING, *(("unrelated", "unlikely") if may_rule_out else ())]
    stated = [
        *(criterion(name, holds=draw(holds)) for name in draw(st.sets(st.sampled_from(CRITERIA)))),
        CaseUpdate(investigator_causality=draw(st.sampled_from(answers))),
        CaseUpdate(sponsor_causality=draw(st.sampled_from(answers))),
        CaseUpdate(expected=draw(holds) if may_rule_out else False),
        CaseUpdate(ctcae_grade=3),
    ]
    return [
        replace(fact, investigator_aware_at=draw(MOMENTS), sponsor_aware_at=draw(MOMENTS))
        for fact in stated
        if draw(st.booleans())
    ]


@st.composite
def arrivals(draw: st.DrawFn, *, may_rule_out: bool) -> tuple[list[CaseUpdate], list[CaseUpdate]]:
    """Facts, and the same in another order of arrival."""
    stated = draw(facts(may_rule_out=may_rule_out))
    return stated, draw(st.permutations(stated))


def as_known_to(party: str, stated: list[CaseUpdate]) -> list[CaseUpdate]:
    return sorted(stated, key=attrgetter(f"{party}_aware_at"))


def due_within_24_hours(stated: list[CaseUpdate]) -> datetime | None:
    found = [one for one in clocks(*stated) if one.clock == "SAE_TO_SPONSOR_24H"]
    return found[0].due if found else None


@settings(max_examples=100, deadline=None)
@given(arrivals(may_rule_out=True))
def test_facts_in_any_order_of_arrival_give_one_class(
    stated: tuple[list[CaseUpdate], list[CaseUpdate]],
) -> None:
    first, second = ([CaseUpdate(), *order] for order in stated)
    assert judge_case(accumulate(first)[-1]).classification == (
        judge_case(accumulate(second)[-1]).classification
    )


@settings(max_examples=200, deadline=None)
@given(arrivals(may_rule_out=False))
def test_facts_in_any_order_of_arrival_give_one_binding_date(
    stated: tuple[list[CaseUpdate], list[CaseUpdate]],
) -> None:
    one_order, another = stated
    in_time = binding_due_date(clocks(*as_known_to("sponsor", one_order)))
    assert binding_due_date(clocks(*one_order)) == in_time
    assert binding_due_date(clocks(*another)) == in_time
    due = due_within_24_hours(as_known_to("investigator", one_order))
    assert due_within_24_hours(one_order) == due_within_24_hours(another) == due


@settings(max_examples=200, deadline=None)
@given(arrivals(may_rule_out=True))
def test_what_rules_out_makes_no_date_later_by_arriving_early_or_late(
    stated: tuple[list[CaseUpdate], list[CaseUpdate]],
) -> None:
    _, arrived = stated
    in_time = binding_due_date(clocks(*as_known_to("sponsor", arrived)))
    binding = binding_due_date(clocks(*arrived))
    assert in_time is None or (binding is not None and binding <= in_time)


def test_what_is_known_later_does_not_count_from_what_was_known_before() -> None:
    suspected = CaseUpdate(
        investigator_causality="possible", sponsor_aware_at=at(1), investigator_aware_at=at(1)
    )
    serious = CaseUpdate(seriousness=FATAL, sponsor_aware_at=at(5), investigator_aware_at=at(6))
    for order in permutations([suspected, serious]):
        found = clocks(*order)
        assert one(found, "SUSAR_INITIAL").due_date == date(2021, 10, 12)
        assert one(found, "SAE_TO_SPONSOR_24H").due == at(7)


def test_a_hospital_stay_known_long_before_the_death_binds_by_itself() -> None:
    died = susar(seriousness=FATAL, sponsor_aware_at=at(20))
    stay = CaseUpdate(seriousness=HOSPITAL, sponsor_aware_at=at(2))
    found = clocks(died, stay)
    assert [(clock.clock, clock.basis_days, clock.due_date) for clock in found[1:]] == [
        ("SUSAR_INITIAL", 15, date(2021, 10, 17)),
        ("SUSAR_UPGRADE_FATAL_LT", 7, date(2021, 10, 27)),
        ("SUSAR_FOLLOW_UP", 15, date(2021, 11, 4)),
    ]
    assert [clock.started_by_version for clock in found[1:]] == [1, 1, 1]


def test_a_thousand_updates_are_soon_put_in_order() -> None:
    turns = [
        replace(one, sponsor_aware_at=at(28) - timedelta(minutes=minute))
        for minute in range(500)
        for one in (CaseUpdate(expected=True), CaseUpdate(sponsor_causality="unlikely"))
    ]
    begun = time.process_time()
    assert binding_due_date(clocks(*turns)) is None
    assert time.process_time() - begun < 2


OFFSETS = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=50, deadline=None)
@given(
    aware=st.datetimes(datetime(2021, 1, 1), datetime(2022, 12, 31), timezones=OFFSETS),  # noqa: DTZ001 - hypothesis adds the zone
    other=OFFSETS,
    site=st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Pacific/Apia"]),
)
def test_24_hours_are_exact_across_midnights_zones_and_changes_of_local_clocks(
    aware: datetime, other: timezone, site: str
) -> None:
    zone = ZoneInfo(site)
    case = susar(investigator_aware_at=aware, sponsor_aware_at=aware)
    elsewhere = susar(
        investigator_aware_at=aware.astimezone(other), sponsor_aware_at=aware.astimezone(other)
    )
    here, there = (derive_clocks([one], NMPA, zone) for one in (case, elsewhere))
    reported = one(here, "SAE_TO_SPONSOR_24H")
    due = aware + timedelta(hours=24)
    assert reported.due == due
    assert str(reported.due) == str(due)
    assert one(there, "SAE_TO_SPONSOR_24H").due == reported.due
    initial = one(here, "SUSAR_INITIAL")
    day0 = aware.astimezone(zone).date()
    assert initial.day0 == one(there, "SUSAR_INITIAL").day0 == day0
    end = initial.expires_at(zone).astimezone(zone)
    assert (end.hour, end.minute, end.date()) == (0, 0, day0 + timedelta(days=16))


UPDATES = st.builds(
    CaseUpdate,
    investigator_aware_at=st.sampled_from([None, at(3), at(5), at(20)]),
    sponsor_aware_at=st.sampled_from([None, at(4), at(6), at(21)]),
    seriousness=st.sampled_from([None, NOT_SERIOUS, HOSPITAL, LIFE_THREATENING, FATAL]),
    investigator_causality=st.sampled_from([None, "unrelated", "possible"]),
    expected=st.sampled_from([None, True, False]),
    new_information_at=st.sampled_from([None, at(7)]),
    handling_completed_at=st.sampled_from([None, at(8)]),
)


@settings(max_examples=80, deadline=None)
@given(updates=st.lists(UPDATES, min_size=1, max_size=5), more=UPDATES)
def test_no_update_removes_a_clock_or_makes_one_later(
    updates: list[CaseUpdate], more: CaseUpdate
) -> None:
    before = clocks(*updates, regimes=ALL)
    after = {clock.id_in(CASE): clock for clock in clocks(*updates, more, regimes=ALL)}
    for clock in before:
        kept = after[clock.id_in(CASE)]
        assert kept.expires_at(SITE) <= clock.expires_at(SITE)


@settings(max_examples=80, deadline=None)
@given(updates=st.lists(UPDATES, min_size=1, max_size=5))
def test_clocks_are_listed_in_the_order_of_the_rulebook(updates: list[CaseUpdate]) -> None:
    found = named(clocks(*updates, regimes=ALL))
    assert found == sorted(found, key=[*map(str, RULES)].index)
