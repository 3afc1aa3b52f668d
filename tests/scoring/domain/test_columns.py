"""The columns and the rules give the same answers."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.protocol.loading import load_studies
from services.protocol.settings import override_settings
from services.protocol.study import Site
from services.protocol.visit_calendar import site_date
from services.scoring.domain.cohort import derive_cohort
from services.scoring.domain.cohort_columns import (
    signed_rank_of_whole,
    study_view_of_columns,
    summarise_improvement,
    summarise_whole,
)
from services.scoring.domain.columns import NONE, Scan, site_days
from services.scoring.domain.dlqi import can_fall_meaningfully, is_meaningful
from services.scoring.domain.improvement import improvement_percent
from services.scoring.domain.instruments import INSTRUMENTS
from services.scoring.domain.measures import measured_by, study_view
from services.scoring.domain.outcomes import Outcome, derive_outcome
from services.scoring.domain.participant_files import ParticipantFile, course_of
from services.scoring.domain.statistics import proportion, signed_rank, summarise

# Havana's clocks go back at midnight, so that a day comes twice; Lord Howe's by half an hour.
ZONES = ("Asia/Shanghai", "America/Havana", "Australia/Lord_Howe")
STUDY = replace(
    load_studies()["NCT03745417"],
    sites=tuple(Site(code=zone.replace("/", "."), name=zone, time_zone=zone) for zone in ZONES),
)
CODES = measured_by(STUDY)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2021, 8, 10, tzinfo=UTC)

times = st.integers(0, 250 * 24).map(lambda hours: START + timedelta(hours=hours))
scores = st.integers(0, 30) | st.sampled_from([720, None])
assessments = st.lists(st.tuples(st.sampled_from(CODES), times, scores), max_size=14)
participants = st.lists(
    st.tuples(
        st.sampled_from(ZONES),
        assessments,
        st.lists(times, max_size=3),
    ),
    max_size=6,
)
readings = st.fixed_dictionaries(
    {
        "week12": st.fixed_dictionaries(
            {
                "anchor": st.sampled_from(
                    ["first_infusion", "last_infusion", "end_of_treatment_period"]
                ),
                "tie": st.sampled_from(["later", "earlier"]),
            }
        ),
        "relapse": st.fixed_dictionaries(
            {
                "definition": st.sampled_from(
                    [
                        "improvement_below_50_percent",
                        "npf_loss_of_50_percent_of_improvement",
                        "ema_more_than_50_percent_of_best_improvement",
                    ]
                )
            }
        ),
    }
)


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def document(number: int, code: str, at: datetime, score: int | None) -> dict[str, Any]:
    """Return a stored assessment of so many smallest units."""
    instrument = INSTRUMENTS[code]
    value = None if score is None else Decimal(score) / instrument.parts
    return {
        "id": str(UUID(int=number)),
        "version": 1,
        "rule": instrument.rule_version,
        "instrument": code,
        "record_status": "entered",
        "assessed_at": at.isoformat(),
        "derived": {instrument.member: value},
    }


def as_files(found: list[Any]) -> list[ParticipantFile]:
    return [
        ParticipantFile(
            id=UUID(int=number),
            site=zone.replace("/", "."),
            assessments=[document(at, *one) for at, one in enumerate(rows)],
            infusions=[
                {
                    "id": str(UUID(int=turn)),
                    "version": 1,
                    "started_at": at.isoformat(),
                    "record_status": "entered",
                }
                for turn, at in enumerate(infusions)
            ],
        )
        for number, (zone, rows, infusions) in enumerate(found)
    ]


def column(values: list[int]) -> Any:
    return np.array(values, np.int64)


def as_scan(found: list[Any]) -> Scan:
    rows = [(n, *one) for n, (_, listed, _) in enumerate(found) for one in listed]
    infused = [(n, at) for n, (_, _, times) in enumerate(found) for at in times]
    return Scan(
        instruments=CODES,
        zones=ZONES,
        zone=column([ZONES.index(zone) for zone, _, _ in found]),
        score_owner=column([n for n, _, _, _ in rows]),
        score_instrument=column([CODES.index(code) for _, code, _, _ in rows]),
        score_at=column([microseconds(at) for _, _, at, _ in rows]),
        score=column([NONE if score is None else score for _, _, _, score in rows]),
        infusion_owner=column([n for n, _ in infused]),
        infusion_at=column([microseconds(at) for _, at in infused]),
    )


def changes_by_rule(code: str, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return what `derive_changes` does, by the rules for one participant."""
    treated = [one for one in outcomes if one.is_treated]
    known = [one.change for one in treated if one.change is not None]
    found: dict[str, Any] = {
        "summary": summarise(known),
        "sensitivity": {
            "locf": summarise(one.change_locf for one in treated),
            "bocf": summarise(one.change_bocf for one in treated),
        },
        "wilcoxon_baseline_minus_week12": signed_rank(-change for change in known),
    }
    if code == "dlqi":
        starts = [one.baseline_value for one in treated if one.change is not None]
        found["meaningful_improvement"] = {
            **proportion(sum(is_meaningful(change) is True for change in known), len(known)),
            "baseline_below_4": sum(can_fall_meaningfully(one) is False for one in starts),
        }
    return found


def by_rules(found: list[Any], study: Any, by: Any) -> dict[str, Any]:
    """Return the study's outcomes by the rules for one participant, one after the other."""
    files = as_files(found)
    outcomes = {
        code: [derive_outcome(course_of(one, study, code), study, by) for one in files]
        for code in CODES
    }
    pasi = outcomes["pasi"]
    counts = {
        "registered": len(files),
        "treated": sum(one.is_treated for one in pasi),
        "efficacy": sum(one.is_analysed for one in pasi),
        "observed": sum(one.is_analysed and one.week12 is not None for one in pasi),
    }
    changes = {code: changes_by_rule(code, listed) for code, listed in outcomes.items()}
    return study_view(study, by, derive_cohort(pasi), changes, counts)


def by_columns(found: list[Any], study: Any, by: Any) -> dict[str, Any]:
    return study_view_of_columns(as_scan(found), study, by)


@settings(max_examples=250, deadline=None)
@given(participants, readings)
def test_columns_and_rules_agree(found: list[Any], chosen: dict[str, Any]) -> None:
    by = override_settings(STUDY.settings, chosen)
    columns = by_columns(found, STUDY, by)
    assert columns == by_rules(found, STUDY, by)


def course(*tenths: int, infused: bool = True) -> Any:
    """Return a participant with values at baseline, week 12, 16 and 20."""
    first = datetime(2021, 9, 15, 2, tzinfo=UTC)
    weeks = (0, 4, 12, 16, 20)
    rows = [
        ("pasi", first + timedelta(weeks=week, hours=-1 if week == 0 else 0), value)
        for week, value in zip(weeks, tenths, strict=False)
    ]
    return "Asia/Shanghai", rows, [first] if infused else []


@pytest.mark.parametrize("definition", ["literal", "npf", "ema"])
def test_columns_and_rules_agree_about_many(definition: str) -> None:
    chance = np.random.default_rng(11)
    found = [
        course(int(chance.integers(1, 721)), *(int(one) for one in chance.integers(0, 400, 4)))
        for _ in range(700)
    ]
    names = {
        "literal": "improvement_below_50_percent",
        "npf": "npf_loss_of_50_percent_of_improvement",
        "ema": "ema_more_than_50_percent_of_best_improvement",
    }
    by = override_settings(STUDY.settings, {"relapse": {"definition": names[definition]}})
    columns = by_columns(found, STUDY, by)
    assert columns == by_rules(found, STUDY, by)
    assert columns["cohort"]["kaplan_meier_time_to_relapse"]["steps"]
    assert columns["cohort"]["wilcoxon_baseline_minus_week12"]["method"] == "normal"


def test_a_study_of_a_range_has_no_relapse_and_a_week_12_by_its_first_day() -> None:
    screening = replace(STUDY, primary_visit_code="SCR")
    found = [course(200, 100, 80), course(200, 100, infused=False)]
    first = datetime(2021, 9, 1, 2, tzinfo=UTC)
    found.append(("Asia/Shanghai", [("pasi", first, 100)], [first + timedelta(days=9)]))
    columns = by_columns(found, screening, STUDY.settings)
    assert columns == by_rules(found, screening, STUDY.settings)


@given(st.lists(st.integers(0, 300 * 24 * 4), max_size=60), st.sampled_from(ZONES))
def test_days_are_those_of_the_sites_calendar(quarters: list[int], zone: str) -> None:
    at = [START + timedelta(minutes=15 * quarter) for quarter in quarters]
    found = site_days(column([microseconds(one) for one in at]), zone)
    assert [date.fromordinal(int(day)) for day in found] == [site_date(one, zone) for one in at]


@given(st.lists(st.tuples(st.integers(1, 720), st.integers(0, 720)), max_size=30))
def test_improvements_are_summarised_exactly(pairs: list[tuple[int, int]]) -> None:
    base, value = (column([pair[n] for pair in pairs]) for n in (0, 1))
    expected = summarise(
        improvement_percent(Decimal(before), Decimal(after)) for before, after in pairs
    )
    assert summarise_improvement(base, value) == expected


@given(st.lists(st.integers(-1000, 1000), max_size=30), st.sampled_from([1, 10]))
def test_whole_numbers_are_summarised_exactly(values: list[int], parts: int) -> None:
    exact = [Decimal(one) / parts for one in values]
    assert summarise_whole(column(values), parts) == summarise(exact)
    assert signed_rank_of_whole(column(values), parts) == signed_rank(exact)


def test_ranks_of_many_pairs_are_those_of_the_rule() -> None:
    values = [int(one) for one in np.random.default_rng(5).integers(-30, 40, 900)]
    assert signed_rank_of_whole(column(values), 10) == signed_rank(
        Decimal(one) / 10 for one in values
    )


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/Havana", datetime(2021, 11, 7, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2021, 10, 2, tzinfo=UTC)),
    ],
)
def test_on_the_day_on_which_clocks_change_each_instant_counts(zone: str, day: datetime) -> None:
    at = [day + timedelta(minutes=minutes, microseconds=-1) for minutes in range(0, 2880, 10)]
    found = site_days(column([microseconds(one) for one in at]), zone)
    assert [date.fromordinal(int(one)) for one in found] == [site_date(one, zone) for one in at]


@pytest.mark.parametrize(("tie", "mean"), [("later", 55), ("earlier", 60)])
def test_of_two_values_as_near_the_setting_chooses(tie: str, mean: int) -> None:
    first = datetime(2021, 9, 15, 2, tzinfo=UTC)
    days = ((0, 200), (82, 80), (86, 90))
    rows = [("pasi", first + timedelta(days=day), value) for day, value in days]
    found = [("Asia/Shanghai", rows, [first])]
    by = override_settings(STUDY.settings, {"week12": {"tie": tie}})
    columns = by_columns(found, STUDY, by)
    assert columns == by_rules(found, STUDY, by)
    assert columns["cohort"]["improvement_percent_observed"]["mean"] == mean
