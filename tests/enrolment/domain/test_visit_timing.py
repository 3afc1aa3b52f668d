import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.enrolment.domain.visit_timing import (
    ScheduleInput,
    StudyDayInput,
    VisitWindowInput,
    Week12Input,
    evaluate_schedule,
    evaluate_study_day,
    evaluate_visit_window,
    evaluate_week12,
)
from services.kernel.refusals import Impossible
from services.protocol.loading import load_studies
from services.protocol.settings import override_settings

STUDY = load_studies()["NCT03745417"]
SUITE = Path(__file__).parents[2] / "vectors" / "schedule.json"
CASES = json.loads(SUITE.read_text("utf-8"), parse_float=Decimal)["cases"]


def answer(kind: str, body: dict[str, Any], settings: dict[str, Any] | None = None) -> Any:
    if kind == "schedule":
        return evaluate_schedule(TypeAdapter(ScheduleInput).validate_python(body), STUDY)
    if kind == "study_day":
        return evaluate_study_day(TypeAdapter(StudyDayInput).validate_python(body))
    if kind == "window":
        return evaluate_visit_window(TypeAdapter(VisitWindowInput).validate_python(body), STUDY)
    asked = TypeAdapter(Week12Input).validate_python(body)
    return evaluate_week12(asked, STUDY, override_settings(STUDY.settings, settings or {}))


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=date.isoformat))


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["kind"] != "dose"], ids=lambda case: case["id"]
)
def test_schedule_vector(case: dict[str, Any]) -> None:
    assert as_json(answer(case["kind"], case["input"])) == case["expected"]


def test_screening_visit_has_no_target() -> None:
    body = {"first_infusion_date": "2021-09-15", "visit": "SCR", "actual_date": "2021-09-14"}
    assert answer("window", body) == {
        "status": "in_window",
        "days_from_target": None,
        "study_day": -1,
    }


def test_unknown_visit_is_refused() -> None:
    body = {"first_infusion_date": "2021-09-15", "visit": "W3", "actual_date": "2021-10-06"}
    with pytest.raises(Impossible) as refused:
        answer("window", body)
    assert [fault.pointer for fault in refused.value.faults] == ["/visit"]


WEEK_12 = {"first_infusion_date": "2021-09-15", "last_infusion_date": "2021-11-10"}


def test_setting_names_the_anchor_where_the_request_does_not() -> None:
    late = answer("week12_anchor", WEEK_12, {"week12": {"anchor": "end_of_treatment_period"}})
    assert (late["target_date"], late["study_day"]) == (date(2022, 3, 2), 169)
    assert answer("week12_anchor", WEEK_12)["study_day"] == 85


def test_week_12_without_its_anchor_is_unknown() -> None:
    found = answer(
        "week12_anchor", {"first_infusion_date": "2021-09-15", "anchor": "last_infusion"}
    )
    assert set(found.values()) == {None}


def test_last_infusion_before_the_first_is_refused() -> None:
    with pytest.raises(Impossible):
        answer("week12_anchor", WEEK_12 | {"last_infusion_date": "2021-09-14"})


@pytest.mark.parametrize(
    ("kind", "body", "pointer"),
    [
        ("schedule", {"first_infusion_date": "2199-12-01"}, "/first_infusion_date"),
        (
            "window",
            {"first_infusion_date": "1900-01-01", "visit": "SCR", "actual_date": "1900-01-01"},
            "/first_infusion_date",
        ),
        ("week12_anchor", {"first_infusion_date": "2199-12-01"}, "/first_infusion_date"),
        (
            "week12_anchor",
            WEEK_12 | {"last_infusion_date": "2199-12-01", "anchor": "last_infusion"},
            "/last_infusion_date",
        ),
    ],
)
def test_visits_beyond_the_calendar_point_to_their_infusion(
    kind: str, body: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Impossible) as refused:
        answer(kind, body)
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [(pointer, "RANGE")]


@pytest.mark.parametrize("kind", ["schedule", "study_day", "window", "week12_anchor"])
def test_dates_that_cannot_be_are_refused(kind: str) -> None:
    body = {"first_infusion_date": "2021-02-30", "reference_date": None, "visit": "W0"}
    with pytest.raises(ValidationError):
        answer(kind, body)
