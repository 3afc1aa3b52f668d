"""Every warning is an open query until it is answered or its cause is corrected."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest

from services.kernel.queries import routes as query_routes
from tests.whole_system import WholeSystem, pasi

ODD_FEVER = {"term": "fever", "onset": "2021-09-14", "ctcae_grade": 5}


async def _open(system: WholeSystem, **asked: Any) -> list[dict[str, Any]]:
    """Return all queries asked for, page after page."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = await system.read(f"/queries?{urlencode({**asked, **after})}")
        found += page["items"]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


async def _answered(system: WholeSystem, query: dict[str, Any], **said: Any) -> Any:
    path = f"/queries/{query['id']}/answer"
    return await system.call("POST", path, {"reason": "seen so"}, role="coordinator", **said)


async def _odd(system: WholeSystem) -> tuple[str, dict[str, Any]]:
    """Return a participant with an odd PASI, and the answer to it."""
    participant = await system.registered()
    return participant, await system.made(f"/participants/{participant}/assessments", pasi())


async def test_a_warning_is_an_open_query(system: WholeSystem) -> None:
    participant, made = await _odd(system)
    (query,) = await _open(system, participant=participant)
    assert (query["service"], query["status"], query["answer"]) == ("scoring", "open", None)
    assert query["record"] == {"record": "assessment", "id": made["id"], "version": 1}
    assert (query["pointer"], query["code"]) == ("/answers/regions/head", "AREA_WITHOUT_SEVERITY")
    assert (query["site"], query["visit"]) == ("GDTCM", "SCR")
    assert await system.read(f"/queries/{query['id']}") == query


async def test_a_write_says_which_queries_it_raises_and_closes(system: WholeSystem) -> None:
    participant, made = await _odd(system)
    (query,) = await _open(system, participant=participant)
    said = {name: query[name] for name in ("id", "pointer", "code", "detail")}
    assert made["queries"] == {"raised": [said], "closed": []}
    path = f"/participants/{participant}/assessments/{made['id']}"
    right = {**pasi(odd=False), "change_reason": "misread"}
    corrected = await system.call("PUT", path, right, If_Match='"1"')
    assert corrected.json()["queries"] == {"raised": [], "closed": [said]}
    assert await _open(system, participant=participant) == []
    assert (await system.get(f"/queries/{query['id']}")).status_code == 404
    assert (await _answered(system, query)).status_code == 404


async def test_a_retracted_record_asks_nothing(system: WholeSystem) -> None:
    participant, made = await _odd(system)
    path = f"/participants/{participant}/assessments/{made['id']}/retraction"
    gone = await system.call("POST", path, {"reason": "wrong patient"}, If_Match='"1"')
    assert [one["code"] for one in gone.json()["queries"]["closed"]] == ["AREA_WITHOUT_SEVERITY"]
    assert await _open(system, participant=participant) == []


async def test_the_query_stays_while_its_cause_does(system: WholeSystem) -> None:
    participant, made = await _odd(system)
    (before,) = await _open(system, participant=participant)
    path = f"/participants/{participant}/assessments/{made['id']}"
    again = {**pasi(assessor="dr-wu"), "change_reason": "other assessor"}
    corrected = await system.call("PUT", path, again, If_Match='"1"')
    assert corrected.json()["queries"] == {"raised": [], "closed": []}
    (after,) = await _open(system, participant=participant)
    assert (after["id"], after["record"]["version"]) == (before["id"], 2)


async def test_an_answer_closes_a_query_and_is_kept(system: WholeSystem) -> None:
    participant, _ = await _odd(system)
    (query,) = await _open(system, participant=participant)
    said = await _answered(system, query, Idempotency_Key=f"answer-{participant}")
    assert (said.status_code, said.json()["write"]) == (201, "created")
    assert said.json()["query"] == query["id"]
    replay = await _answered(system, query, Idempotency_Key=f"answer-{participant}")
    assert (replay.content, replay.headers["idempotency-replayed"]) == (said.content, "true")
    again = await _answered(system, query)
    assert (again.status_code, again.json()["write"]) == (200, "unchanged")
    assert await _open(system, participant=participant) == []
    (answered,) = await _open(system, participant=participant, status="answered")
    assert answered["answer"]["reason"] == "seen so"
    assert answered["answer"]["recorded_by"] == "coordinator-1"
    other = await system.call("POST", f"/queries/{query['id']}/answer", {"reason": "measured"})
    assert (other.json()["write"], other.json()["version"]) == ("updated", 2)
    trail = await system.read(f"/audit?participant={participant}&resource=query_answer")
    assert [row["reason"] for row in trail["items"]] == ["seen so", "measured"]


async def test_queries_of_all_services_come_in_one_list_of_pages(
    system: WholeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_routes, "_RECORDS_AT_ONCE", 2)
    participant, _ = await _odd(system)
    for _ in range(3):
        await system.reported(participant, **ODD_FEVER)
    whole = await _open(system, participant=participant)
    assert {one["service"] for one in whole} == {"scoring", "safety"}
    assert len(whole) > 4
    paged = await _open(system, participant=participant, limit=2)
    assert sorted(one["id"] for one in paged) == sorted({one["id"] for one in whole})


async def test_queries_are_filtered(system: WholeSystem) -> None:
    participant, made = await _odd(system)
    fever = await system.reported(participant, **ODD_FEVER)
    every = await _open(system, participant=participant)
    by_record = await _open(system, record=fever["id"])
    assert {one["record"]["id"] for one in by_record} == {fever["id"]}
    assert len(by_record) == len(every) - 1
    by_code = await _open(system, participant=participant, code="AREA_WITHOUT_SEVERITY")
    assert [one["record"]["id"] for one in by_code] == [made["id"]]
    assert await _open(system, participant=participant, site="GDTCM") == every
    assert await _open(system, participant=participant, site="OTHER") == []
    assert await _open(system, participant=str(uuid4())) == []
    wrong = await system.get("/queries?status=closed")
    assert wrong.status_code == 422


async def test_only_ones_own_sites_queries_are_shown(system: WholeSystem) -> None:
    participant, _ = await _odd(system)
    (query,) = await _open(system, participant=participant)
    other = {"sites": ["OTHER"]}
    listed = await system.get(f"/queries?participant={participant}", claims=other)
    assert listed.json()["items"] == []
    assert (await system.get("/queries?site=GDTCM", claims=other)).status_code == 403
    assert (await _answered(system, query, claims=other)).status_code == 404


async def test_roles_read_and_answer(system: WholeSystem) -> None:
    participant, _ = await _odd(system)
    (query,) = await _open(system, participant=participant)
    for role in ("statistician", "participant", "admin"):
        assert (await system.get("/queries", role=role)).status_code == 403
    for role in ("auditor", "safety_officer", "statistician"):
        path = f"/queries/{query['id']}/answer"
        assert (await system.call("POST", path, {"reason": "x"}, role=role)).status_code == 403
    assert (await system.get(f"/queries/{uuid4()}")).status_code == 404
    assert (await system.get("/queries/none")).status_code == 404


async def test_an_answer_needs_a_reason(system: WholeSystem) -> None:
    participant, _ = await _odd(system)
    (query,) = await _open(system, participant=participant)
    for body in ({}, {"reason": " "}, {"reason": "x", "more": 1}):
        answer = await system.call("POST", f"/queries/{query['id']}/answer", body)
        assert answer.status_code == 422


async def test_a_report_of_somebody_unknown_asks_the_safety_desk_alone(
    system: WholeSystem,
) -> None:
    unknown = str(uuid4())
    made = await system.reported(unknown)
    assert "participant_unverified" in {one["code"] for one in made["queries"]["raised"]}
    seen = await system.get(f"/queries?participant={unknown}", role="safety_officer")
    hidden = await system.get(f"/queries?participant={unknown}", role="investigator")
    assert {one["code"] for one in seen.json()["items"]} == {"participant_unverified"}
    assert hidden.json()["items"] == []


async def test_an_answer_finds_its_service_while_another_is_down(system: WholeSystem) -> None:
    participant, _ = await _odd(system)
    (query,) = await _open(system, participant=participant)
    async with system.without("safety"):
        listed = await system.get("/queries")
        unknown = await system.get(f"/queries/{UUID(int=7)}")
        done = await _answered(system, query)
    assert (listed.status_code, unknown.status_code, done.status_code) == (503, 503, 201)
