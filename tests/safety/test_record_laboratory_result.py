from typing import Any
from uuid import uuid4

import pytest

from tests.safety.safety_calls import Safety, faults, kind, laboratory_result, record_of


async def recorded(safety: Safety, **stated: Any) -> tuple[str, dict[str, Any]]:
    """Return the path of a laboratory report, and its body."""
    participant = await safety.participant()
    collection = f"/participants/{participant}/laboratory-results"
    body = laboratory_result(**stated)
    answer = await safety.post(collection, body)
    assert answer.status_code == 201, answer.text
    return f"{collection}/{answer.json()['id']}", body


async def test_a_report_is_kept_as_it_came(safety: Safety) -> None:
    path, body = await recorded(safety)
    shown = (await safety.get(path)).json()
    assert (shown["collected_at"], shown["visit"]) == (body["collected_at"], "SCR")
    (result,) = shown["results"]
    assert (result["test"], result["value"], result["unit"], result["uln"]) == (
        "ast",
        22,
        "U/L",
        40,
    )
    assert (shown["version"], shown["record_status"], shown["warnings"]) == (1, "entered", [])
    listed = (await safety.get(path.rpartition("/")[0])).json()["items"]
    assert [one["id"] for one in listed] == [shown["id"]]


async def test_a_correction_is_a_new_version(safety: Safety) -> None:
    path, body = await recorded(safety)
    other = laboratory_result(results=[{"test": "ast", "value": 23, "unit": "U/L", "uln": 40}])
    assert kind(await safety.put(path, other)) == (428, "version-required")
    assert kind(await safety.put(path, other, If_Match='"1"')) == (422, "change-reason-required")
    same = await safety.put(path, {**body, "change_reason": "typing error"}, If_Match='"1"')
    assert (same.status_code, same.json()["write"]) == (200, "unchanged")
    answer = await safety.put(path, {**other, "change_reason": "typing error"}, If_Match='"1"')
    assert (answer.json()["write"], answer.headers["etag"]) == ("updated", '"2"')
    versions = (await safety.get(f"{path}/versions")).json()["items"]
    assert [one["results"][0]["value"] for one in versions] == [22, 23]
    stale = await safety.put(path, {**body, "change_reason": "back"}, If_Match='"1"')
    assert kind(stale) == (412, "stale")


async def test_a_report_entered_in_error_stays_readable(safety: Safety) -> None:
    path, body = await recorded(safety)
    reason = {"reason": "another participant's"}
    answer = await safety.post(f"{path}/retraction", reason, If_Match='"1"')
    assert (answer.status_code, answer.json()["record_status"]) == (200, "retracted")
    again = await safety.post(f"{path}/retraction", reason, If_Match='"2"')
    assert again.json()["write"] == "unchanged"
    late = await safety.put(path, {**body, "change_reason": "x"}, If_Match='"2"')
    assert kind(late) == (409, "record-retracted")
    assert (await safety.get(path)).json()["record_status"] == "retracted"


async def test_the_same_source_is_written_once(safety: Safety) -> None:
    collection = f"/participants/{await safety.participant()}/laboratory-results"
    body = laboratory_result(source_system="edc", source_ref=uuid4().hex)
    first = await safety.post(collection, body)
    again = await safety.post(collection, body)
    assert (again.status_code, again.json()["write"]) == (200, "unchanged")
    assert record_of(again) == record_of(first)
    other = await safety.post(collection, {**body, "visit": "W0"})
    assert kind(other) == (409, "source-already-used")
    assert first.json()["id"] in other.json()["detail"]


async def test_a_report_needs_consent_at_its_time(safety: Safety) -> None:
    participant = await safety.participant(signed_at="2021-09-20T09:00:00+08:00")
    answer = await safety.post(
        f"/participants/{participant}/laboratory-results", laboratory_result()
    )
    assert kind(answer) == (409, "no-consent-in-force")


async def test_what_was_collected_after_the_end_is_refused(safety: Safety) -> None:
    participant = await safety.participant()
    await safety.end(participant, "completed", "2021-09-09")
    collection = f"/participants/{participant}/laboratory-results"
    assert kind(await safety.post(collection, laboratory_result())) == (409, "participation-ended")
    earlier = laboratory_result(collected_at="2021-09-09T20:00:00+08:00")
    assert (await safety.post(collection, earlier)).status_code == 201


async def test_an_unknown_participant_or_one_of_another_site_is_not_found(safety: Safety) -> None:
    unknown = await safety.post(f"/participants/{uuid4()}/laboratory-results", laboratory_result())
    assert kind(unknown) == (404, "not-found")
    collection = f"/participants/{await safety.participant('OTHER')}/laboratory-results"
    other = await safety.post(collection, laboratory_result(), sites=["GDTCM"])
    assert kind(other) == (404, "not-found")


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"visit": "W99"}, {("/visit", "unknown_visit")}),
        ({"collected_at": "2199-01-01T00:00:00Z"}, {("/collected_at", "in_the_future")}),
        (
            {"results": [{"test": "ast", "value": -1, "unit": "U/L", "uln": 0}]},
            {("/results/0/value", "RANGE"), ("/results/0/uln", "RANGE")},
        ),
        (
            {"results": [{"test": "calcium_total", "loinc": "1995-0", "value": 1.2}]},
            {("/results/0/loinc", "other_analyte")},
        ),
        ({"results": []}, {("/results", "too_short")}),
        ({"results": [{"value": 1}]}, {("/results/0/test", "required")}),
    ],
)
async def test_what_cannot_be_is_refused(
    safety: Safety, stated: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    collection = f"/participants/{await safety.participant()}/laboratory-results"
    answer = await safety.post(collection, laboratory_result(**stated))
    assert answer.status_code == 422
    assert faults(answer) == expected


async def test_an_odd_unit_or_code_is_a_warning(safety: Safety) -> None:
    result = {"test": "ast", "loinc": "1742-6", "value": 22, "unit": "x10^9/l", "lln": 50, "uln": 5}
    path, _ = await recorded(safety, results=[result])
    shown = (await safety.get(path)).json()
    assert {(one["pointer"], one["code"]) for one in shown["warnings"]} == {
        ("/results/0/unit", "unit_unknown"),
        ("/results/0/unit", "unit_not_of_test"),
        ("/results/0/loinc", "code_not_of_test"),
        ("/results/0/lln", "limits_reversed"),
    }


ALT = {"test": "alt", "unit": "U/L", "uln": 40}


async def test_results_are_graded_with_the_rule(safety: Safety) -> None:
    results = [
        {**ALT, "value": 130},
        {"test": "hemoglobin", "value": 95, "unit": "g/L"},
        {"test": "platelets", "value": 90, "unit": "10*9/L"},
        {"test": "ferritin", "value": 90},
    ]
    path, _ = await recorded(safety, results=results)
    shown = (await safety.get(path)).json()
    assert [(one["pointer"], one["scale"], one["grade"]) for one in shown["grades"]] == [
        ("/results/0", "alt_high", 2),
        ("/results/1", "hemoglobin_low", 2),
        ("/results/1", "hemoglobin_high", None),
        ("/results/2", "platelets_low", None),
    ]
    assert all(one["rule"].startswith("Grade ") for one in shown["grades"])
    listed = (await safety.get(path.rpartition("/")[0])).json()["items"]
    assert listed == [shown]


async def test_a_grade_proposes_an_adverse_event_and_records_none(safety: Safety) -> None:
    participant = await safety.participant()
    collection = f"/participants/{participant}/laboratory-results"

    async def proposals(day: int, value: int) -> list[str]:
        body = laboratory_result(
            collected_at=f"2021-09-{day}T09:00:00+08:00", results=[{**ALT, "value": value}]
        )
        answer = await safety.post(collection, body)
        assert answer.json()["grades"][0]["scale"] == "alt_high"
        warnings = answer.json()["warnings"]
        return [one["pointer"] for one in warnings if one["code"] == "adverse_event_proposed"]

    assert await proposals(10, 30) == []
    assert await proposals(11, 130) == ["/results/0"]
    assert await proposals(12, 140) == []
    assert await proposals(13, 240) == ["/results/0"]
    events = await safety.get(f"/participants/{participant}/adverse-events")
    assert events.json()["items"] == []


async def test_a_retracted_report_is_no_baseline(safety: Safety) -> None:
    participant = await safety.participant()
    await safety.infuse(participant, "2021-09-15T10:00:00+08:00")
    collection = f"/participants/{participant}/laboratory-results"
    abnormal = laboratory_result(results=[{**ALT, "value": 100}])
    first = (await safety.post(collection, abnormal)).json()
    body = laboratory_result(
        collected_at="2021-09-20T09:00:00+08:00", results=[{**ALT, "value": 149}]
    )
    later = (await safety.post(collection, body)).json()
    assert later["grades"][0]["grade"] == 0
    path = f"{collection}/{first['id']}/retraction"
    retracted = await safety.post(path, {"reason": "in error"}, If_Match='"1"')
    assert retracted.json()["grades"][0]["grade"] == 1
    shown = (await safety.get(f"{collection}/{later['id']}")).json()
    assert shown["grades"][0]["grade"] == 2
    past = await safety.get(f"{collection}/{later['id']}?as_of={later['recorded_at']}")
    assert past.json()["grades"][0]["grade"] == 0
