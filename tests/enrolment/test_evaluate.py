import json
from copy import deepcopy
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.enrolment.enrolment_calls import VECTORS, Enrolment, faults, vectors

NAME_BY_KIND: Final = {
    "schedule": "schedule",
    "study_day": "study-day",
    "window": "visit-window",
    "week12_anchor": "week-12",
    "dose": "dose",
}
TOLERANCE: Final = Decimal("0.000001")
SETS: Final = frozenset({"warnings", "failed", "unknown", "missing"})


def agrees(expected: Any, found: Any, name: str = "") -> bool:
    """Tell whether an answer holds what is expected, compared as the vectors say."""
    if isinstance(expected, dict):
        return all(agrees(value, found.get(key), key) for key, value in expected.items())
    if isinstance(expected, list) and name in SETS:
        return sorted(expected) == sorted(found)
    if isinstance(expected, list):
        pairs = zip(expected, found, strict=True)
        return all(agrees(one, other) for one, other in pairs)
    if isinstance(expected, Decimal):
        return abs(expected - Decimal(str(found))) <= TOLERANCE
    return bool(expected == found)


@pytest.mark.parametrize("case", vectors("eligibility"), ids=lambda case: case["id"])
async def test_eligibility_vector_over_http(enrolment: Enrolment, case: dict[str, Any]) -> None:
    answer = await enrolment.post("/evaluations/eligibility", case["input"], role="auditor")
    assert answer.status_code == 200, answer.text
    assert agrees(case["expected"], answer.json())


@pytest.mark.parametrize("case", vectors("schedule"), ids=lambda case: case["id"])
async def test_schedule_vector_over_http(enrolment: Enrolment, case: dict[str, Any]) -> None:
    answer = await enrolment.post(f"/evaluations/{NAME_BY_KIND[case['kind']]}", case["input"])
    if case["expected"].get("valid") is False:
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        return
    expected = {name: at for name, at in case["expected"].items() if name != "valid"}
    assert answer.status_code == 200, answer.text
    assert expected
    assert agrees(expected, answer.json())


async def test_a_setting_is_overridden_in_an_evaluation(enrolment: Enrolment) -> None:
    facts = vectors("eligibility")[0]["input"]
    stricter = {**facts, "settings": {"eligibility": {"pasi_gt": 20, "bsa_gt": 20}}}
    usual = (await enrolment.post("/evaluations/eligibility", facts)).json()
    strict = (await enrolment.post("/evaluations/eligibility", stricter)).json()
    assert (usual["verdict"], strict["verdict"]) == ("eligible", "ineligible")
    assert strict["failed"] == ["I1b"]
    assert strict["details"]["I1b"]["settings"]["pasi_gt"] == 20


async def test_all_defaults_of_the_rulebook_may_be_sent_along(enrolment: Enrolment) -> None:
    defaults = json.loads(
        (VECTORS / "profile_defaults.json").read_text("utf-8"), parse_float=Decimal
    )
    for name, body in (
        ("eligibility", vectors("eligibility")[0]["input"]),
        ("schedule", {"first_infusion_date": "2021-09-15"}),
        ("study-day", {"reference_date": "2021-09-15", "date": "2021-09-16"}),
        ("dose", {"weight_kg": 70}),
        ("week-12", {"first_infusion_date": "2021-09-15"}),
    ):
        bare = await enrolment.post(f"/evaluations/{name}", body)
        full = await enrolment.post(f"/evaluations/{name}", {**body, "settings": defaults})
        assert (full.status_code, full.json()) == (200, bare.json()), name


async def test_the_plan_is_overridden_in_an_evaluation(enrolment: Enrolment) -> None:
    wider = {"visits": [{"visit": "W12", "window_before": 5}], "infusion_weeks": [0, 2]}
    asked = {"first_infusion_date": "2021-09-15", "settings": wider}
    answer = await enrolment.post("/evaluations/schedule", asked)
    visits = {one["visit"]: one for one in answer.json()["visits"]}
    assert visits["W12"]["window_start"] == "2021-12-03"
    assert [code for code, one in visits.items() if one["infusion"]] == ["W0", "W2"]
    held = {"visit": "W12", "actual_date": "2021-12-03", **asked}
    assert (await enrolment.post("/evaluations/visit-window", held)).json()["status"] == "in_window"


async def test_the_time_zone_of_an_evaluation_is_a_setting(enrolment: Enrolment) -> None:
    """Evening in Europe is the next day in Guangzhou, and there the 18th birthday."""
    facts = deepcopy(vectors("eligibility")[0]["input"])
    facts["demographics"]["birth_date"] = "2003-09-02"
    facts["consent"]["datetime"] = "2021-09-01T20:00:00+02:00"
    facts["first_screening_procedure_datetime"] = "2021-09-02T09:00:00+02:00"
    here = (await enrolment.post("/evaluations/eligibility", facts)).json()
    facts["settings"] = {"timezone": "Europe/Berlin"}
    there = (await enrolment.post("/evaluations/eligibility", facts)).json()
    assert (here["criteria"]["I2"], there["criteria"]["I2"]) == ("met", "not_met")


async def test_an_unknown_setting_is_refused(enrolment: Enrolment) -> None:
    body = {"settings": {"eligibility": {"luck": 1}}}
    answer = await enrolment.post("/evaluations/eligibility", body)
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {"/settings/eligibility/luck"}


async def test_ionised_calcium_is_refused(enrolment: Enrolment) -> None:
    calcium = {"value": 1, "unit": "mmol/L", "loinc": "1995-0"}
    body = {"labs": {"calcium_total": calcium}}
    answer = await enrolment.post("/evaluations/eligibility", body)
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {"/labs/calcium_total/loinc"}


@pytest.mark.parametrize(
    ("name", "body", "pointers"),
    [
        ("schedule", {}, {"/first_infusion_date"}),
        ("schedule", {"first_infusion_date": "2021-02-29"}, {"/first_infusion_date"}),
        ("study-day", {"date": 1}, {"/date", "/reference_date"}),
        (
            "visit-window",
            {"first_infusion_date": "2021-09-15", "visit": "W99", "actual_date": "2021-09-15"},
            {"/visit"},
        ),
        (
            "week-12",
            {"first_infusion_date": "2021-09-15", "last_infusion_date": "2021-09-14"},
            {"/last_infusion_date"},
        ),
        ("dose", {"weight_kg": "70", "more": 1}, {"/weight_kg", "/more"}),
    ],
)
async def test_an_impossible_question_is_refused(
    enrolment: Enrolment, name: str, body: dict[str, Any], pointers: set[str]
) -> None:
    answer = await enrolment.post(f"/evaluations/{name}", body)
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == pointers


async def test_participants_evaluate_nothing(enrolment: Enrolment) -> None:
    body = {"weight_kg": 70}
    answer = await enrolment.post("/evaluations/dose", body, role="participant")
    assert answer.status_code == 403
    assert (await enrolment.post("/evaluations/dose", body, role="admin")).status_code == 200
