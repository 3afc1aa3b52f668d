import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.refusals import Impossible
from services.protocol.loading import load_studies
from services.protocol.settings import Settings, override_settings
from services.protocol.visit_calendar import (
    VisitWindow,
    add_months,
    completed_years,
    shift,
    site_date,
    study_day,
    visit_window,
    week12_window,
)

STUDY = load_studies()["NCT03745417"]
SUITE = Path(__file__).parents[1] / "vectors" / "schedule.json"
CASES: list[dict[str, Any]] = json.loads(SUITE.read_text("utf-8"))["cases"]
START = date(2021, 9, 15)
DAYS = st.dates(min_value=date(1901, 1, 1), max_value=date(2198, 6, 1))


def cases(kind: str) -> pytest.MarkDecorator:
    chosen = [case for case in CASES if case["kind"] == kind]
    return pytest.mark.parametrize("case", chosen, ids=[case["id"] for case in chosen])


def on(text: str) -> date:
    return date.fromisoformat(text)


def texts(window: VisitWindow, first: date) -> dict[str, Any]:
    target = window.target_date
    return {
        "target_date": target and target.isoformat(),
        "window_start": window.first_day.isoformat(),
        "window_end": window.last_day.isoformat(),
        "study_day": None if target is None else study_day(target, first),
    }


def anchored(anchor: str) -> Settings:
    return override_settings(STUDY.settings, {"week12": {"anchor": anchor}})


@cases("schedule")
def test_schedule_vector_by_the_calendar(case: dict[str, Any]) -> None:
    first = on(case["input"]["first_infusion_date"])
    found = [
        {"visit": plan.code, **texts(visit_window(plan, first), first), "infusion": given}
        for plan in STUDY.visits
        for given in [plan.has_infusion]
    ]
    assert found == case["expected"]["visits"]


@cases("study_day")
def test_study_day_vector_by_the_calendar(case: dict[str, Any]) -> None:
    asked = case["input"]
    found = study_day(on(asked["date"]), on(asked["reference_date"]))
    assert found == case["expected"]["study_day"]


@cases("window")
def test_window_vector_by_the_calendar(case: dict[str, Any]) -> None:
    first, actual = on(case["input"]["first_infusion_date"]), on(case["input"]["actual_date"])
    window = visit_window(STUDY.visit(case["input"]["visit"]), first)
    held = "early" if actual < window.first_day else "late"
    held = "in_window" if window.first_day <= actual <= window.last_day else held
    assert window.target_date is not None
    assert case["expected"] == {
        "status": held,
        "days_from_target": (actual - window.target_date).days,
        "study_day": study_day(actual, first),
    }


@cases("week12_anchor")
def test_week12_vector_by_the_calendar(case: dict[str, Any]) -> None:
    asked = case["input"]
    first = on(asked["first_infusion_date"])
    window = week12_window(
        STUDY,
        anchored(asked["anchor"]),
        first_infusion=first,
        last_infusion=on(asked["last_infusion_date"]),
    )
    assert window is not None
    assert texts(window, first) == case["expected"]


def test_end_of_treatment_anchor_is_24_weeks_after_the_first_infusion() -> None:
    window = week12_window(STUDY, anchored("end_of_treatment_period"), first_infusion=START)
    assert window is not None
    assert texts(window, START)["study_day"] == 169
    assert window.last_day - window.first_day == timedelta(days=6)


def test_week_12_is_unknown_until_the_last_infusion_is() -> None:
    assert week12_window(STUDY, anchored("last_infusion"), first_infusion=START) is None


def test_window_may_reach_further_after_the_target_than_before_it() -> None:
    plan = replace(STUDY.visit("W2"), window_before_days=1, window_after_days=4)
    window = visit_window(plan, START)
    assert (window.first_day, window.last_day) == (date(2021, 9, 28), date(2021, 10, 3))


def test_screening_ends_the_day_before_the_infusion_and_has_no_target() -> None:
    window = visit_window(STUDY.visit("SCR"), date(2024, 3, 1))
    assert window == VisitWindow(
        target_date=None, first_day=date(2024, 2, 2), last_day=date(2024, 2, 29)
    )


def test_target_falls_on_leap_day() -> None:
    assert visit_window(STUDY.visit("W2"), date(2024, 2, 15)).target_date == date(2024, 2, 29)


@pytest.mark.parametrize(
    ("first", "code"), [(date(2199, 12, 1), "W24"), (date(1900, 1, 1), "SCR"), (date.max, "W2")]
)
def test_visit_outside_the_calendar_kept_is_impossible(first: date, code: str) -> None:
    with pytest.raises(Impossible) as refused:
        visit_window(STUDY.visit(code), first)
    assert [fault.code for fault in refused.value.faults] == ["RANGE"]


def test_calendar_ends_with_2199() -> None:
    assert shift(date(2199, 12, 30), 1) == date(2199, 12, 31)
    assert shift(date(1900, 1, 2), -1) == date(1900, 1, 1)
    for day, days in ((date(2199, 12, 31), 1), (date(1900, 1, 1), -1), (START, 10**12)):
        with pytest.raises(Impossible):
            shift(day, days)


@given(reference=DAYS, difference=st.integers(-400, 400))
def test_study_day_has_no_zero_and_counts_on(reference: date, difference: int) -> None:
    day = study_day(reference + timedelta(days=difference), reference)
    assert day == (difference + 1 if difference >= 0 else difference)
    assert day != 0


@settings(max_examples=50)
@given(first=DAYS, days=st.integers(-700, 500))
def test_moving_the_first_infusion_moves_every_window(first: date, days: int) -> None:
    moved = min(max(first + timedelta(days=days), date(1901, 1, 1)), date(2198, 6, 1))
    for plan in STUDY.visits:
        before, after = visit_window(plan, first), visit_window(plan, moved)
        assert after.first_day - before.first_day == moved - first
        assert after.last_day - before.last_day == moved - first
        assert before.first_day <= before.last_day


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2021, 1, 31), 1, date(2021, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2021, 3, 31), 1, date(2021, 4, 30)),
        (date(2021, 12, 31), 2, date(2022, 2, 28)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2021, 11, 15), 1, date(2021, 12, 15)),
        (date(2021, 12, 15), 1, date(2022, 1, 15)),
        (date(2021, 3, 31), -1, date(2021, 2, 28)),
    ],
)
def test_months_are_clipped_to_the_month_end(day: date, months: int, expected: date) -> None:
    assert add_months(day, months) == expected


@pytest.mark.parametrize(("day", "months"), [(date(2199, 12, 1), 1), (date(1900, 1, 1), -1)])
def test_months_outside_the_calendar_kept_are_impossible(day: date, months: int) -> None:
    with pytest.raises(Impossible):
        add_months(day, months)


@given(day=DAYS, months=st.integers(0, 18))
def test_months_keep_the_day_or_end_the_month(day: date, months: int) -> None:
    later = add_months(day, months)
    assert (later.year - day.year) * 12 + later.month - day.month == months
    assert later.day == day.day or (later + timedelta(days=1)).day == 1


@pytest.mark.parametrize(
    ("born", "day", "years"),
    [
        (date(1956, 3, 10), date(2022, 3, 9), 65),
        (date(1956, 3, 10), date(2022, 3, 10), 66),
        (date(2004, 2, 29), date(2022, 2, 28), 17),
        (date(2004, 2, 29), date(2022, 3, 1), 18),
        (date(2004, 2, 29), date(2024, 2, 28), 19),
        (date(2004, 2, 29), date(2024, 2, 29), 20),
        (date(2003, 9, 15), START, 18),
        (START, START, 0),
    ],
)
def test_age_is_in_completed_years(born: date, day: date, years: int) -> None:
    assert completed_years(born, day) == years


@given(born=DAYS, days=st.integers(0, 36_000))
def test_age_grows_by_one_on_birthdays_only(born: date, days: int) -> None:
    eve = min(born + timedelta(days=days), date(2199, 12, 30))
    birthday = eve + timedelta(days=1)
    leap_born = (born.month, born.day) == (2, 29)
    is_birthday = (birthday.month, birthday.day) == (born.month, born.day) or (
        leap_born and (eve.month, eve.day, birthday.month) == (2, 28, 3)
    )
    assert completed_years(born, birthday) - completed_years(born, eve) == int(is_birthday)


@pytest.mark.parametrize(
    ("at", "zone", "expected"),
    [
        ("2021-10-12T16:30:00+00:00", "Asia/Shanghai", date(2021, 10, 13)),
        ("2021-10-12T15:59:59+00:00", "Asia/Shanghai", date(2021, 10, 12)),
        # Berlin: before and after the clocks go forward and back, midnight moves by an hour.
        ("2021-03-27T22:30:00+00:00", "Europe/Berlin", date(2021, 3, 27)),
        ("2021-03-28T22:30:00+00:00", "Europe/Berlin", date(2021, 3, 29)),
        ("2021-10-30T22:30:00+00:00", "Europe/Berlin", date(2021, 10, 31)),
        ("2021-10-31T22:30:00+00:00", "Europe/Berlin", date(2021, 10, 31)),
        ("2021-07-01T15:30:00+00:00", "Asia/Tokyo", date(2021, 7, 2)),
        ("2021-07-01T23:30:00-08:00", "Asia/Tokyo", date(2021, 7, 2)),
    ],
)
def test_date_of_an_instant_is_the_sites(at: str, zone: str, expected: date) -> None:
    assert site_date(datetime.fromisoformat(at), zone) == expected


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Tokyo", "Pacific/Apia"])
@given(at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_site_date_is_at_most_a_day_from_the_date_in_utc(zone: str, at: datetime) -> None:
    found = site_date(at.replace(tzinfo=UTC), zone)
    assert abs((found - at.date()).days) <= 1
