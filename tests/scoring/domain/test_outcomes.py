from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.protocol.loading import load_studies
from services.protocol.settings import override_settings
from services.scoring.domain.courses import Course, Infusion, Value
from services.scoring.domain.outcome_views import outcome_view
from services.scoring.domain.outcomes import derive_outcome

STUDY = load_studies()["NCT03745417"]
FIRST = date(2021, 9, 15)
FIRST_AT = datetime(2021, 9, 15, 2, tzinfo=UTC)


def value(day: int, tenths: int | None, *, hour: int | None = None) -> Value:
    """Return a value so many days after the first infusion, at an hour where one is given."""
    on = FIRST + timedelta(days=day)
    at = None if hour is None else datetime(on.year, on.month, on.day, hour, tzinfo=UTC)
    return Value(on=on, at=at, value=None if tenths is None else Decimal(tenths) / 10)


def course(*values: Value, first: date | None = FIRST) -> Course:
    infusions = () if first is None else (Infusion(on=first, at=FIRST_AT),)
    return Course(infusions=infusions, values=values)


courses = st.lists(
    st.builds(
        value, st.integers(-10, 200), st.integers(0, 720) | st.none(), hour=st.sampled_from([1, 5])
    ),
    max_size=12,
    unique_by=lambda one: (one.on, one.at),
).map(lambda values: course(*values))
settings = st.builds(
    lambda **chosen: override_settings(STUDY.settings, chosen),
    week12=st.fixed_dictionaries(
        {
            "anchor": st.sampled_from(["first_infusion", "last_infusion"]),
            "tie": st.sampled_from(["later", "earlier"]),
        }
    ),
    relapse=st.fixed_dictionaries(
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
)


def view(one: Course, by: Any = STUDY.settings) -> dict[str, Any]:
    return outcome_view(derive_outcome(one, STUDY, by))


@given(courses, settings, st.randoms(use_true_random=False))
def test_the_order_of_assessments_changes_nothing(one: Course, by: Any, chance: Any) -> None:
    shuffled = list(one.values)
    chance.shuffle(shuffled)
    assert view(replace(one, values=tuple(shuffled)), by) == view(one, by)


@given(courses, settings)
def test_who_relapsed_was_at_risk_and_could_be_judged(one: Course, by: Any) -> None:
    relapse = derive_outcome(one, STUDY, by).relapse
    for period in (relapse.treatment, relapse.follow_up) if relapse else ():
        if period.relapsed_on is not None:
            assert period.at_risk
            assert period.evaluable
            assert period.start <= period.relapsed_on <= period.end


@given(courses, settings)
def test_what_is_missing_changes_nothing(one: Course, by: Any) -> None:
    known = tuple(value for value in one.values if value.value is not None)
    assert view(replace(one, values=known), by) == view(one, by)


@pytest.mark.parametrize(("tie", "day"), [("later", 86), ("earlier", 82)])
def test_of_two_values_as_near_the_setting_chooses(tie: str, day: int) -> None:
    by = override_settings(STUDY.settings, {"week12": {"tie": tie}})
    found = view(course(value(0, 200, hour=1), value(82, 90), value(86, 100)), by)
    assert found["week12"]["date"] == FIRST + timedelta(days=day)


def test_a_value_after_the_infusion_of_the_same_day_is_no_baseline() -> None:
    found = view(course(value(-3, 200), value(0, 100, hour=5)))
    assert found["baseline"]["pasi"] == 20
    undated = view(course(value(-3, 200), value(0, 100)))
    assert undated["baseline"]["pasi"] == 10


def test_the_window_ends_three_days_from_the_target() -> None:
    base = value(0, 200, hour=1)
    for day, is_found in ((80, False), (81, True), (87, True), (88, False)):
        found = view(course(base, value(day, 100)))
        assert (found["week12"] is not None) is is_found, day


def test_without_an_infusion_nothing_is_imputed() -> None:
    outcome = derive_outcome(course(value(0, 200), first=None), STUDY, STUDY.settings)
    assert outcome.improvement_bocf is None
    assert not outcome.is_analysed


def test_a_second_relapse_of_one_period_is_not_counted() -> None:
    values = [value(day, tenths) for day, tenths in ((10, 80), (20, 120), (30, 80), (40, 130))]
    relapse = derive_outcome(course(value(0, 200, hour=1), *values), STUDY, STUDY.settings).relapse
    assert relapse is not None
    assert relapse.treatment.relapsed_on == FIRST + timedelta(days=20)
