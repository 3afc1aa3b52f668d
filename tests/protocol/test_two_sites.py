"""A second study is data only: the same rules schedule and judge it otherwise."""

from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enrolment.domain.eligibility import evaluate_eligibility
from services.enrolment.domain.eligibility_facts import EligibilityFacts
from services.protocol.loading import load_studies
from services.protocol.study import Study
from services.protocol.visit_calendar import VisitWindow, site_date, visit_window, week12_window

FOLDER = Path(__file__).parents[1] / "studies"
START = date(2024, 3, 20)


@pytest.fixture(scope="module")
def study() -> Study:
    return load_studies(FOLDER)["NCT00000002"]


def test_both_studies_are_known_by_number() -> None:
    assert list(load_studies(FOLDER)) == ["NCT03745417", "NCT00000002"]


def test_visits_follow_the_plan_of_their_study(study: Study) -> None:
    windows = {plan.code: visit_window(plan, START) for plan in study.visits}
    assert list(windows) == ["PRE", "D0", "D21", "D56", "D84"]
    assert windows["PRE"] == VisitWindow(
        target_date=None, first_day=date(2024, 3, 6), last_day=date(2024, 3, 18)
    )
    assert windows["D21"] == VisitWindow(
        target_date=date(2024, 4, 10), first_day=date(2024, 4, 9), last_day=date(2024, 4, 14)
    )
    assert [plan.code for plan in study.infusion_visits] == ["D0", "D21"]
    assert study.treatment_ends(START) == date(2024, 5, 15)


STUDIES = tuple(load_studies(FOLDER).values())


@given(first=st.dates(date(1900, 3, 1), date(2199, 4, 1)), study=st.sampled_from(STUDIES))
def test_windows_never_overlap_and_hold_their_targets(first: date, study: Study) -> None:
    """Whatever the first day, through month ends, leap days and years, a day has one visit."""
    windows = [visit_window(plan, first) for plan in study.visits]
    assert all(before.last_day < after.first_day for before, after in pairwise(windows))
    for window in windows:
        assert window.first_day <= (window.target_date or window.last_day) <= window.last_day


def test_primary_visit_is_placed_by_its_own_weeks_and_window(study: Study) -> None:
    window = week12_window(study, study.settings, first_infusion=START)
    assert window == VisitWindow(
        target_date=date(2024, 5, 15), first_day=date(2024, 5, 14), last_day=date(2024, 5, 19)
    )


@pytest.mark.parametrize(
    ("at", "berlin", "tokyo"),
    [
        ("2024-03-30T22:30:00+00:00", date(2024, 3, 30), date(2024, 3, 31)),
        ("2024-03-31T22:30:00+00:00", date(2024, 4, 1), date(2024, 4, 1)),
        ("2024-04-01T14:30:00+00:00", date(2024, 4, 1), date(2024, 4, 1)),
    ],
)
def test_each_site_has_its_own_date(study: Study, at: str, berlin: date, tokyo: date) -> None:
    instant = datetime.fromisoformat(at)
    found = [site_date(instant, study.site(code).time_zone) for code in ("BER", "TYO")]
    assert found == [berlin, tokyo]


def test_places_limits_and_regimes_are_the_studys(study: Study) -> None:
    assert [site.places for site in study.sites] == [4, 8]
    assert study.settings.safety_regimes == ("ICH_E2A",)
    assert study.settings.eligibility.pasi_gt == Decimal(12)
    assert study.settings.confidence_interval.level == Decimal("0.9")
    # What a file leaves out has the default of the rulebook.
    assert study.settings.eligibility.sas_gt == 50


def test_only_the_studys_criteria_are_judged(study: Study) -> None:
    found = evaluate_eligibility(
        EligibilityFacts(),
        study=study,
        settings=study.settings,
        time_zone=ZoneInfo("Europe/Berlin"),
    )
    assert list(found.criteria) == [criterion.id for criterion in study.criteria]
    assert found.verdict == "pending"
    assert "X1" in found.unknown
