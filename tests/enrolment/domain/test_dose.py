import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.enrolment.domain.dose import (
    DoseInput,
    PlannedDose,
    Weighing,
    differs_from_plan,
    dose_cells,
    evaluate_dose,
    infusion_warnings,
    plan_dose,
    shortest_gap_days,
)
from services.protocol.settings import DoseSettings, EligibilitySettings, Settings

SETTINGS = Settings(
    dose_cells_per_kg=2_000_000,
    eligibility=EligibilitySettings(anaemia_lt_g_per_l={}, washout_days={}),
)
INPUT = TypeAdapter(DoseInput)
SUITE = Path(__file__).parents[2] / "vectors" / "schedule.json"
CASES = [
    case
    for case in json.loads(SUITE.read_text("utf-8"), parse_float=Decimal)["cases"]
    if case["kind"] == "dose"
]
INFUSED_ON = date(2021, 9, 29)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_dose_vector(case: dict[str, Any]) -> None:
    if not case["expected"]["valid"]:
        with pytest.raises(ValidationError):
            INPUT.validate_python(case["input"])
        return
    answer = evaluate_dose(INPUT.validate_python(case["input"]), SETTINGS)
    assert answer == case["expected"]


@pytest.mark.parametrize("body", [{}, {"weight_kg": None}, {"weight_kg": -70}, {"weight_kg": True}])
def test_no_weight_gives_no_dose(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        INPUT.validate_python(body)


def test_dose_is_a_whole_number_of_cells() -> None:
    assert dose_cells(Decimal("63.12345675"), 2_000_000) == 126_246_914


@settings(max_examples=50)
@given(hectograms=st.integers(min_value=1, max_value=9_999))
def test_dose_is_exact_for_every_tenth_of_a_kilogram(hectograms: int) -> None:
    assert dose_cells(Decimal(hectograms) / 10, 2_000_000) == hectograms * 200_000


def weighing(kg: str, on: date) -> Weighing:
    return Weighing(weight_kg=Decimal(kg), measured_on=on)


def test_weight_of_the_day_sets_the_dose() -> None:
    plan = plan_dose(
        [weighing("70", date(2021, 9, 15)), weighing("68.5", INFUSED_ON)], INFUSED_ON, SETTINGS
    )
    assert (plan.cells, plan.is_earlier_weight) == (137_000_000, False)


def test_weight_of_14_days_ago_is_used_and_flagged() -> None:
    plan = plan_dose([weighing("70", date(2021, 9, 15))], INFUSED_ON, SETTINGS)
    assert (plan.cells, plan.is_earlier_weight) == (140_000_000, True)


@pytest.mark.parametrize("on", [date(2021, 9, 14), date(2021, 9, 30)])
def test_older_or_later_weights_give_no_dose(on: date) -> None:
    assert plan_dose([weighing("70", on)], INFUSED_ON, SETTINGS) == PlannedDose(cells=None)


def test_exactly_ten_percent_is_no_difference() -> None:
    dose = DoseSettings()
    assert not differs_from_plan(140_000_000, 126_000_000, dose)
    assert not differs_from_plan(140_000_000, 154_000_000, dose)
    assert differs_from_plan(140_000_000, 125_999_999, dose)
    assert differs_from_plan(140_000_000, 154_000_001, dose)


def test_gap_is_to_the_nearest_infusion_before_or_after() -> None:
    others = [date(2021, 9, 15), date(2021, 10, 8)]
    assert shortest_gap_days(INFUSED_ON, others) == 9
    assert shortest_gap_days(INFUSED_ON, []) is None


def warnings(cells: int | None, plan: PlannedDose, *others: date) -> list[str]:
    found = infusion_warnings(
        infused_on=INFUSED_ON,
        cells_given=cells,
        planned=plan,
        other_infusions=others,
        settings=DoseSettings(),
    )
    return [warning.code for warning in found]


def test_infusion_as_planned_has_no_warnings() -> None:
    assert warnings(140_000_000, PlannedDose(cells=140_000_000), date(2021, 9, 19)) == []


def test_odd_infusion_has_a_warning_for_each_oddity() -> None:
    plan = PlannedDose(cells=140_000_000, is_earlier_weight=True)
    assert warnings(280_000_000, plan, date(2021, 9, 20)) == [
        "earlier_weight_used",
        "dose_differs_from_plan",
        "infusion_gap_short",
    ]


def test_infusion_without_a_weight_is_warned_of() -> None:
    assert warnings(140_000_000, PlannedDose(cells=None)) == ["no_usable_weight"]


def test_cells_not_stated_are_not_compared() -> None:
    assert warnings(None, PlannedDose(cells=140_000_000)) == []
