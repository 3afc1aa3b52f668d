"""Scoring's part of a visit, as the gateway hands it on."""

from typing import Any

import pytest

from tests.scoring.scoring_calls import (
    OTHER_SITE,
    Scoring,
    faults,
    kind,
    pasi,
    region,
    source,
    valid,
    wrote,
)


def part(instrument: str = "pasi", **stated: Any) -> dict[str, Any]:
    """Return one instrument filled in at a visit."""
    body = {**valid(instrument, assessed_at="2021-09-15T08:30:00+08:00"), **stated}
    del body["visit"]
    return body


def visit(*parts: dict[str, Any], **stated: Any) -> dict[str, Any]:
    """Return scoring's part of the first infusion's visit."""
    return {"visit": {"code": "W0", "date": "2021-09-15"}, "assessments": list(parts), **stated}


@pytest.fixture
async def path(scoring: Scoring) -> str:
    return f"{await scoring.consented()}/visits/assessments"


async def test_all_parts_are_recorded_in_order(scoring: Scoring, path: str) -> None:
    answer = await scoring.post(path, visit(part("pasi"), part("vas"), part("sds")))
    assert wrote(answer) == (201, "created")
    parts = answer.json()["parts"]
    assert [one["pointer"] for one in parts] == [f"/assessments/{n}" for n in range(3)]
    assert [one["write"] for one in parts] == ["created"] * 3
    assert parts[0]["derived"]["pasi"] == 6
    assert parts[1]["derived"]["vas_mm"] == 41
    stored = await scoring.get(path.replace("visits/", ""))
    assert [one["visit"] for one in stored.json()["items"]] == ["W0"] * 3


async def test_a_part_shows_its_warnings(scoring: Scoring, path: str) -> None:
    odd = part("pasi")
    odd["answers"]["regions"]["head"] = region(3, 0)
    (shown,) = (await scoring.post(path, visit(odd))).json()["parts"]
    assert [one["code"] for one in shown["warnings"]] == ["AREA_ZERO_WITH_SEVERITY"]


async def test_the_same_visit_again_is_unchanged(scoring: Scoring, path: str) -> None:
    body = visit(part("pasi", **source()), part("vas"))
    first = await scoring.post(path, body)
    again = await scoring.post(path, body)
    assert wrote(again) == (200, "unchanged")
    assert [one["write"] for one in again.json()["parts"]] == ["unchanged"] * 2
    assert [one["id"] for one in again.json()["parts"]] == [
        one["id"] for one in first.json()["parts"]
    ]


async def test_a_changed_part_needs_a_reason(scoring: Scoring, path: str) -> None:
    of = source()
    await scoring.post(path, visit(part(**of), part("vas")))
    changed = visit(part(answers=pasi(1, 1)["answers"], **of), part("vas"))
    refused = await scoring.post(path, changed)
    assert faults(refused) == {("/change_reason", "change_reason_required")}
    answer = await scoring.post(path, {**changed, "change_reason": "transcribed wrongly"})
    assert wrote(answer) == (200, "updated")
    assert [one["write"] for one in answer.json()["parts"]] == ["updated", "unchanged"]
    assert [one["version"] for one in answer.json()["parts"]] == [2, 1]


async def test_a_part_without_a_source_matches_by_instrument_and_time(
    scoring: Scoring, path: str
) -> None:
    await scoring.post(path, visit(part()))
    changed = visit(part(answers=pasi(1, 1)["answers"]), part("bsa"), change_reason="typing error")
    answer = await scoring.post(path, changed)
    assert wrote(answer) == (200, "updated")
    assert [one["write"] for one in answer.json()["parts"]] == ["updated", "created"]


async def test_a_retracted_record_is_not_matched_by_time(scoring: Scoring, path: str) -> None:
    (first,) = (await scoring.post(path, visit(part()))).json()["parts"]
    one = f"{path.replace('visits/', '')}/{first['id']}/retraction"
    await scoring.post(one, {"reason": "wrong participant"}, If_Match='"1"')
    (second,) = (await scoring.post(path, visit(part()))).json()["parts"]
    assert second["write"] == "created"
    assert second["id"] != first["id"]


async def test_one_impossible_part_writes_nothing(scoring: Scoring, path: str) -> None:
    wrong = part("vas", answers={"value": 11, "unit": "cm"})
    later = part("bsa", assessed_at="2100-01-01T00:00:00Z")
    refused = await scoring.post(path, visit(part(), wrong, later))
    assert faults(refused) == {
        ("/assessments/1/answers/value", "value:RANGE"),
        ("/assessments/2/assessed_at", "in_the_future"),
    }
    assert (await scoring.get(path.replace("visits/", ""))).json()["items"] == []


async def test_a_part_twice_is_refused(scoring: Scoring, path: str) -> None:
    of = source()
    by_slot = await scoring.post(path, visit(part(), part()))
    by_source = await scoring.post(path, visit(part(**of), part("vas", **of)))
    assert faults(by_slot) == faults(by_source) == {("/assessments/1", "part_repeated")}


async def test_a_source_of_another_participant_is_refused(scoring: Scoring, path: str) -> None:
    of = source()
    await scoring.post(path, visit(part(**of)))
    other = f"{await scoring.consented()}/visits/assessments"
    assert kind(await scoring.post(other, visit(part(**of)))) == (409, "source-already-used")


async def test_gates_refuse_the_whole_visit(scoring: Scoring) -> None:
    path = f"{await scoring.known()}/visits/assessments"
    assert kind(await scoring.post(path, visit(part()))) == (409, "no-consent-in-force")


async def test_another_sites_visit_looks_unknown(scoring: Scoring, path: str) -> None:
    refused = await scoring.post(path, visit(part()), sites=[OTHER_SITE])
    assert kind(refused) == (404, "not-found")


async def test_a_rehearsal_decides_and_writes_nothing(scoring: Scoring, path: str) -> None:
    rehearsed = await scoring.post(f"{path}?validate_only=true", visit(part()))
    assert rehearsed.status_code == 201
    assert (await scoring.get(path.replace("visits/", ""))).json()["items"] == []


async def test_a_visit_without_assessments_is_unchanged(scoring: Scoring, path: str) -> None:
    answer = await scoring.post(path, visit())
    assert (wrote(answer), answer.json()["parts"]) == ((200, "unchanged"), [])


async def test_parts_that_contradict_each_other_are_warned_of(scoring: Scoring, path: str) -> None:
    one = {"erythema": 1, "induration": 1, "desquamation": 1, "area_percent": 20}
    regions = {"regions": dict.fromkeys(("head", "upper_limbs", "trunk", "lower_limbs"), one)}
    body = visit(part("bsa", answers={"percent": 50}), part(answers=regions))
    first, second = (await scoring.post(path, body)).json()["parts"]
    assert first["warnings"] == []
    assert [one["code"] for one in second["warnings"]] == ["BSA_DIFFERS_FROM_REGIONS"]
    again = visit(part("bsa", answers={"percent": 51}), change_reason="typing error")
    (corrected,) = (await scoring.post(path, again)).json()["parts"]
    assert [one["code"] for one in corrected["warnings"]] == ["BSA_DIFFERS_FROM_REGIONS"]
