from typing import Any

import pytest

from services.kernel.exact_json import parse_json
from tests.scoring.domain.vectors import cases, is_refusal, same
from tests.scoring.scoring_calls import Scoring, faults, kind


@pytest.mark.parametrize(("evaluation", "case"), cases())
async def test_vector_over_http(scoring: Scoring, evaluation: str, case: dict[str, Any]) -> None:
    answer = await scoring.post(f"/evaluations/{evaluation}", case["input"])
    if is_refusal(case):
        assert answer.status_code == 422
        codes = {one["code"] for one in answer.json()["errors"]}
        assert codes == set(case["expected"].get("error_codes", codes))
    else:
        assert answer.status_code == 200, answer.text
        assert same(parse_json(answer.content), case["expected"])


@pytest.mark.parametrize(
    "role",
    ["edc", "coordinator", "investigator", "safety_officer", "statistician", "auditor", "admin"],
)
async def test_every_role_but_the_participant_may_evaluate(scoring: Scoring, role: str) -> None:
    mark = {"value": 4, "unit": "cm"}
    answer = await scoring.post("/evaluations/vas", mark, role=role)
    assert answer.json()["vas_mm"] == 40
    refused = await scoring.post("/evaluations/vas", mark, role="participant")
    assert kind(refused) == (403, "not-permitted")


async def test_settings_override_the_studys_own(scoring: Scoring) -> None:
    course = {
        "first_infusion_datetime": "2021-09-15T10:00:00+08:00",
        "infusion_dates": ["2021-09-15", "2021-11-10"],
        "assessments": [
            {"date": "2021-09-15", "pasi": 20},
            {"date": "2021-12-08", "pasi": 10},
            {"date": "2022-02-02", "pasi": 4},
        ],
    }
    usual = await scoring.post("/evaluations/outcomes", course)
    last = {**course, "settings": {"week12": {"anchor": "last_infusion"}}}
    assert usual.json()["week12"]["date"] == "2021-12-08"
    assert (await scoring.post("/evaluations/outcomes", last)).json()["week12"]["date"] == (
        "2022-02-02"
    )


@pytest.mark.parametrize("evaluation", ["outcomes", "pasi"])
async def test_an_unknown_setting_is_refused(scoring: Scoring, evaluation: str) -> None:
    asked = {"settings": {"week12": {"anker": "last_infusion"}}}
    refused = await scoring.post(f"/evaluations/{evaluation}", asked)
    assert faults(refused) == {("/settings/week12/anker", "unknown_setting")}


async def test_a_cut_off_that_is_overridden_decides(scoring: Scoring) -> None:
    form = {"scale": "SDS", "answers": [2] * 20, "settings": {"eligibility": {"sds_gt": 70}}}
    raised = await scoring.post("/evaluations/sas-sds", form)
    usual = await scoring.post("/evaluations/sas-sds", {**form, "settings": None})
    assert (raised.json()["exceeds_cutoff"], usual.json()["exceeds_cutoff"]) == (False, True)


@pytest.mark.parametrize(
    ("evaluation", "asked", "fault"),
    [
        ("improvement", {"baseline_pasi": "20"}, ("/baseline_pasi", "TYPE")),
        ("proportion-ci", {"n": 4, "k": 5}, ("", "RANGE")),
        ("proportion-ci", {"n": 4, "k": 2, "confidence": 1}, ("/confidence", "RANGE")),
        ("kaplan-meier", {"rows": [{"days": -1, "event": True}]}, ("/rows/0/days", "RANGE")),
        ("summary", {"values": [True]}, ("/values/0", "TYPE")),
        ("signed-rank", {"differences": [1], "x": 1}, ("/x", "unknown_member")),
        (
            "outcomes",
            {"assessments": [{"pasi": 3}]},
            ("/assessments/0", "dated"),
        ),
        ("dlqi", {"baseline_total": 31}, ("/baseline_total", "baseline_total:RANGE")),
        ("vas", [], ("", "TYPE")),
        ("improvement", {"baseline_pasi": 72.1}, ("/baseline_pasi", "RANGE")),
        ("relapse-definitions", {"values": [3, -0.1]}, ("/values/1", "RANGE")),
    ],
)
async def test_impossible_questions_are_refused_with_their_place(
    scoring: Scoring, evaluation: str, asked: Any, fault: tuple[str, str]
) -> None:
    refused = await scoring.post(f"/evaluations/{evaluation}", asked)
    assert refused.status_code == 422
    assert faults(refused) == {fault}


async def test_before_an_infusion_a_course_has_a_baseline_only(scoring: Scoring) -> None:
    course = {"assessments": [{"date": "2021-09-15", "pasi": 20}], "infusion_dates": ["2021-09-15"]}
    found = (await scoring.post("/evaluations/outcomes", course)).json()
    assert found["baseline"] == {"date": "2021-09-15", "pasi": 20, "study_day": None}
    assert found["week12"] is found["locf"] is found["bocf"] is found["relapse"] is None


async def test_a_baseline_of_zero_leaves_a_week_12_and_nothing_else(scoring: Scoring) -> None:
    course = {
        "first_infusion_datetime": "2021-09-15T10:00:00+08:00",
        "assessments": [{"date": "2021-09-15", "pasi": 0}, {"date": "2021-12-08", "pasi": 3.05}],
    }
    found = (await scoring.post("/evaluations/outcomes", course)).json()
    assert (found["week12"]["pasi"], found["change"]) == (3.05, 3.05)
    assert set(found["responders_observed"].values()) == {None}
    assert found["locf"] == {"date": "2021-12-08", "pasi": 3.05, "improvement_percent": None}
    assert found["responders_nri"] is found["bocf"] is found["relapse"] is None


async def test_the_word_significant_is_never_printed(scoring: Scoring) -> None:
    answer = await scoring.post("/evaluations/signed-rank", {"differences": [1, 2, 3, 4, 5]})
    assert answer.json()["p_two_sided"] == 0.0625
    assert "significan" not in answer.text
