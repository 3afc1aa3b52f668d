from typing import Any
from uuid import UUID, uuid4

from tests.safety.safety_calls import Safety, adverse_event, faults, kind, laboratory_result

LABORATORY = {
    name: value
    for name, value in laboratory_result().items()
    if name in {"collected_at", "results"}
}


def visit(**stated: Any) -> dict[str, Any]:
    """Return a visit's safety parts, under a reference of its own."""
    return {
        "source_system": "edc",
        "source_ref": uuid4().hex,
        "visit": {"code": "SCR", "date": "2021-09-10"},
        "laboratory_results": [LABORATORY],
        "adverse_events": [adverse_event(onset="2021-09-09"), adverse_event(term="rash")],
        **stated,
    }


async def record(
    safety: Safety, participant: UUID, body: Any, query: str = "", **caller: Any
) -> Any:
    return await safety.post(f"/participants/{participant}/visits/safety{query}", body, **caller)


async def count(safety: Safety, participant: UUID, kind_: str) -> int:
    return len((await safety.get(f"/participants/{participant}/{kind_}")).json()["items"])


async def test_all_parts_of_a_visit_are_recorded(safety: Safety) -> None:
    participant = await safety.participant()
    body = visit()
    answer = await record(safety, participant, body)
    receipt = answer.json()
    assert (answer.status_code, receipt["write"]) == (201, "created")
    assert [(one["pointer"], one["write"], one["version"]) for one in receipt["parts"]] == [
        ("/laboratory_results/0", "created", 1),
        ("/adverse_events/0", "created", 1),
        ("/adverse_events/1", "created", 1),
    ]
    assert receipt["parts"][1]["derived"]["classification"] == "ADR"
    path = f"/participants/{participant}/adverse-events/{receipt['parts'][1]['id']}"
    shown = (await safety.get(path)).json()
    assert shown["visit"] == "SCR"
    assert shown["visit_source"]["source_ref"] == body["source_ref"]


async def test_a_visit_again_writes_nothing_twice(safety: Safety) -> None:
    participant = await safety.participant()
    body = visit()
    first = (await record(safety, participant, body)).json()
    answer = await record(safety, participant, body)
    again = answer.json()
    assert (answer.status_code, again["write"]) == (200, "unchanged")
    assert [one["id"] for one in again["parts"]] == [one["id"] for one in first["parts"]]
    assert {one["write"] for one in again["parts"]} == {"unchanged"}
    assert await count(safety, participant, "adverse-events") == 2


async def test_changed_parts_need_a_reason_and_are_new_versions(safety: Safety) -> None:
    participant = await safety.participant()
    body = visit()
    await record(safety, participant, body)
    events = [adverse_event(onset="2021-09-09", ctcae_grade=2), adverse_event(term="rash")]
    results = [{"test": "ast", "value": 23, "unit": "U/L", "uln": 40}]
    changed = {
        **body,
        "adverse_events": events,
        "laboratory_results": [{**LABORATORY, "results": results}],
    }
    assert kind(await record(safety, participant, changed)) == (422, "change-reason-required")
    answer = await record(safety, participant, {**changed, "change_reason": "query 12"})
    assert answer.json()["write"] == "updated"
    assert [(one["write"], one["version"]) for one in answer.json()["parts"]] == [
        ("updated", 2),
        ("updated", 2),
        ("unchanged", 1),
    ]
    path = f"/participants/{participant}/laboratory-results/{answer.json()['parts'][0]['id']}"
    corrected = (await safety.get(path)).json()
    assert corrected["visit_source"]["source_ref"] == body["source_ref"]
    followed = f"/participants/{participant}/adverse-events/{answer.json()['parts'][1]['id']}"
    assert (await safety.get(followed)).json()["visit_source"] == corrected["visit_source"]


async def test_a_part_is_known_by_its_own_reference(safety: Safety) -> None:
    participant = await safety.participant()
    own = {"source_system": "edc", "source_ref": uuid4().hex}
    body = visit(adverse_events=[adverse_event(**own)], laboratory_results=[])
    first = (await record(safety, participant, body)).json()
    moved = visit(
        adverse_events=[adverse_event(**own, term="high fever")],
        laboratory_results=[],
        change_reason="reworded",
    )
    answer = (await record(safety, participant, moved)).json()
    assert (answer["parts"][0]["id"], answer["parts"][0]["version"]) == (
        first["parts"][0]["id"],
        2,
    )
    elsewhere = await record(safety, await safety.participant(), body)
    assert kind(elsewhere) == (409, "source-already-used")
    twice = visit(adverse_events=[adverse_event(**own), adverse_event(**own, term="x")])
    answer = await record(safety, participant, twice)
    assert faults(answer) == {("/adverse_events/1/source_ref", "repeated")}


async def test_parts_of_a_visit_without_reference_are_known_by_kind_and_time(
    safety: Safety,
) -> None:
    participant = await safety.participant()
    body = {**visit(), "source_system": None, "source_ref": None}
    await record(safety, participant, body)
    assert (await record(safety, participant, body)).json()["write"] == "unchanged"


async def test_without_reference_and_onset_a_report_is_always_new(safety: Safety) -> None:
    participant = await safety.participant()
    body = visit(adverse_events=[adverse_event(onset=None)], laboratory_results=[])
    body |= {"source_system": None, "source_ref": None}
    await record(safety, participant, body)
    assert (await record(safety, participant, body)).json()["write"] == "created"
    assert await count(safety, participant, "adverse-events") == 2


async def test_two_like_parts_are_two_records(safety: Safety) -> None:
    participant = await safety.participant()
    body = visit(adverse_events=[adverse_event(), adverse_event()], laboratory_results=[])
    first = (await record(safety, participant, body)).json()
    again = (await record(safety, participant, body)).json()
    assert len({one["id"] for one in first["parts"]}) == 2
    codes = [[one["code"] for one in part["warnings"]] for part in first["parts"]]
    assert codes == [[], ["possible_duplicate"]]
    assert [one["id"] for one in again["parts"]] == [one["id"] for one in first["parts"]]


async def test_every_fault_of_every_part_is_named_and_nothing_written(safety: Safety) -> None:
    participant = await safety.participant()
    body = visit(
        visit={"code": "W99", "date": "2021-09-10"},
        laboratory_results=[{**LABORATORY, "results": [{"test": "ast", "value": -1}]}],
        adverse_events=[adverse_event(onset="2199")],
    )
    answer = await record(safety, participant, body)
    assert faults(answer) == {
        ("/visit/code", "unknown_visit"),
        ("/laboratory_results/0/results/0/value", "RANGE"),
        ("/adverse_events/0/onset", "in_the_future"),
    }
    assert await count(safety, participant, "adverse-events") == 0


async def test_a_part_has_no_visit_of_its_own(safety: Safety) -> None:
    body = visit(adverse_events=[adverse_event(visit="W0")])
    answer = await record(safety, await safety.participant(), body)
    assert faults(answer) == {("/adverse_events/0/visit", "unknown_member")}


async def test_a_rehearsal_writes_nothing(safety: Safety) -> None:
    participant = await safety.participant()
    answer = await record(safety, participant, visit(), "?validate_only=true")
    assert answer.json()["write"] == "created"
    assert await count(safety, participant, "adverse-events") == 0


async def test_a_visit_refused_by_state_still_has_its_adverse_events(safety: Safety) -> None:
    participant = await safety.participant(signed_at=None)
    body = visit()
    assert kind(await record(safety, participant, body)) == (409, "no-consent-in-force")
    assert await count(safety, participant, "adverse-events") == 0
    answer = await record(safety, participant, body, "?only=adverse_events")
    assert answer.status_code == 201
    assert [one["pointer"] for one in answer.json()["parts"]] == [
        "/adverse_events/0",
        "/adverse_events/1",
    ]
    unknown = await record(safety, uuid4(), visit(laboratory_results=[]), sites=["GDTCM"])
    assert unknown.status_code == 201


async def test_an_empty_visit_is_unchanged(safety: Safety) -> None:
    body = visit(laboratory_results=[], adverse_events=[])
    answer = await record(safety, await safety.participant(), body)
    assert (answer.status_code, answer.json()["write"]) == (200, "unchanged")
    assert answer.json()["parts"] == []
