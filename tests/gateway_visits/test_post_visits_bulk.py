"""Many visits in one request: row results in order, safe to send again, nobody held up."""

import asyncio
import json
import time
from typing import Any
from uuid import uuid4

import httpx

from tests.gateway_visits.visit_calls import kind, laboratory, sent, unscheduled, w0, written
from tests.whole_system import STUDY, WholeSystem

NDJSON = "application/x-ndjson"


def _row(participant: str, **stated: Any) -> dict[str, Any]:
    return {"participant": participant, **unscheduled(), **stated}


async def _bulk(
    system: WholeSystem, rows: list[Any], query: str = "", **said: Any
) -> httpx.Response:
    """Post rows as NDJSON, again while some of them are answered 503."""
    content = "".join(json.dumps(row) + "\n" for row in rows)
    headers = {"Content-Type": NDJSON, **system.headers("edc")}
    headers |= {name.replace("_", "-"): value for name, value in said.items()}
    url = f"/v1/studies/{STUDY}/visits/bulk{query}"
    for _ in range(5):
        answer = await system.client.post(url, content=content, headers=headers)
        if '"status":503' not in answer.text:
            break
    return answer


def _rows(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(NDJSON)
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_rows_are_answered_in_order(system: WholeSystem) -> None:
    first, second = await system.registered(), await system.registered()
    external = (await system.read(f"/participants/{second}"))["external_id"]
    impossible = _row(first)
    impossible["assessments"][0]["answers"]["value"] = 101
    impossible["laboratory_results"] = [laboratory(results=[])]
    refused = {"participant": first, **w0()}
    rows = _rows(
        await _bulk(
            system,
            [_row(first), impossible, _row(f"external:{external}"), refused, _row(str(uuid4()))],
        )
    )
    assert [one["index"] for one in rows] == [0, 1, 2, 3, 4]
    for one, owner in ((rows[0], first), (rows[2], second)):
        assert (one["write"], one["version"]) == ("created", 1)
        assert one["id"] == one["receipt"]["visit"]["id"]
        assert len(one["receipt"]["parts"]) == 3
        assert len(await system.events("scoring", owner)) == 1
    assert {one["pointer"] for one in rows[1]["problem"]["errors"]} == {
        "/assessments/0/answers/value",
        "/laboratory_results/0/results",
    }
    assert rows[3]["problem"]["type"] == "/problems/not-enrolled"
    assert [one["pointer"] for one in rows[3]["problem"]["parts"]] == ["/adverse_events/0"]
    assert rows[4]["problem"]["status"] == 404


async def test_rows_that_cannot_be_read_cost_themselves_only(system: WholeSystem) -> None:
    participant = await system.registered()
    body = json.dumps(_row(participant)).encode()
    content = b"\n".join([b"{", b"[]", b'{"participant": 1}', b"", body])
    url = f"/v1/studies/{STUDY}/visits/bulk"
    headers = {"Content-Type": NDJSON, **system.headers("edc")}
    rows = _rows(await system.client.post(url, content=content, headers=headers))
    assert [one.get("problem", {}).get("status") for one in rows] == [400, 422, 422, None]
    pointers = {one["pointer"] for one in rows[2]["problem"]["errors"]}
    assert pointers >= {"/participant", "/visit"}


async def test_a_json_list_is_answered_by_a_json_list(system: WholeSystem) -> None:
    participant = await system.registered()
    answer = await system.call("POST", "/visits/bulk", [_row(participant)], role="edc")
    (row,) = answer.json()
    assert (answer.headers["content-type"], row["write"]) == ("application/json", "created")
    empty = await system.call("POST", "/visits/bulk", [], role="edc")
    assert (empty.status_code, empty.json()) == (200, [])


async def test_the_same_rows_again_change_nothing(system: WholeSystem) -> None:
    participants = [await system.registered() for _ in range(3)]
    rows = [_row(one) for one in participants]
    first = _rows(await _bulk(system, rows))
    before = [await written(system, one) for one in participants]
    again = _rows(await _bulk(system, rows))
    assert [one["write"] for one in again] == ["unchanged"] * 3
    assert [one["id"] for one in again] == [one["id"] for one in first]
    assert [await written(system, one) for one in participants] == before


async def test_under_a_key_the_same_bytes_come_again(system: WholeSystem) -> None:
    participant = await system.registered()
    rows = [
        _row(participant),
        _row(participant, visit={"code": "unscheduled", "date": "2021-09-03"}),
    ]
    key = f"bulk-{participant}"
    first = await _bulk(system, rows, Idempotency_Key=key)
    again = await _bulk(system, rows, Idempotency_Key=key)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = await _bulk(system, rows[:1], Idempotency_Key=key)
    assert kind(other) == (422, "key-reused")


async def test_rows_of_one_participant_keep_their_order(system: WholeSystem) -> None:
    participant = await system.registered()
    rows = [_row(participant, source_ref=f"{participant}-1") for _ in range(3)]
    for at, row in enumerate(rows):
        row |= {"vital_signs": {"weight_kg": 70 + at}, "change_reason": f"row {at}"}
        del row["assessments"], row["adverse_events"]
    done = _rows(await _bulk(system, rows))
    assert [(one["write"], one["version"]) for one in done] == [
        ("created", 1),
        ("updated", 2),
        ("updated", 3),
    ]


async def test_validation_of_rows_writes_nothing(system: WholeSystem) -> None:
    participant = await system.registered()
    before = await written(system, participant)
    rows = _rows(await _bulk(system, [_row(participant)], "?validate_only=true"))
    assert rows[0]["write"] == "created"
    assert await written(system, participant) == before


async def test_a_request_is_refused_as_a_whole(system: WholeSystem) -> None:
    participant = await system.registered()
    many = await system.call("POST", "/visits/bulk", [{}] * 1001, role="edc")
    none = await system.call("POST", "/visits/bulk", {"participant": participant}, role="edc")
    auditor = await system.call("POST", "/visits/bulk", [_row(participant)], role="auditor")
    assert kind(many) == (422, "too-many-rows")
    assert none.status_code == 422
    assert auditor.status_code == 403


async def test_rows_interrupted_are_completed_by_the_same_request(system: WholeSystem) -> None:
    participants = [await system.registered() for _ in range(2)]
    rows = [_row(one) for one in participants]
    key = f"bulk-{participants[0]}"
    headers = {"Content-Type": NDJSON, "Idempotency-Key": key, **system.headers("edc")}
    content = "".join(json.dumps(row) + "\n" for row in rows)
    url = f"/v1/studies/{STUDY}/visits/bulk"
    async with system.without("scoring"):
        stopped = _rows(await system.client.post(url, content=content, headers=headers))
    assert [one["problem"]["status"] for one in stopped] == [503, 503]
    assert [one["pointer"] for one in stopped[0]["problem"]["parts"]] == ["/adverse_events/0"]
    done = _rows(await _bulk(system, rows, Idempotency_Key=key))
    assert [one["write"] for one in done] == ["created", "created"]
    assert [len(await system.events("safety", one)) for one in participants] == [1, 1]


async def test_single_visits_are_not_held_up(system: WholeSystem) -> None:
    participants = [await system.registered() for _ in range(10)]
    rows = [
        _row(one, visit={"code": "unscheduled", "date": f"2021-09-{day:02}"})
        for one in participants
        for day in range(2, 8)
    ]
    for row in rows:
        del row["assessments"]
    other = await system.registered()
    bulk = asyncio.create_task(_bulk(system, rows))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    answer = await sent(system, other, unscheduled())
    single = time.monotonic() - began
    is_first = not bulk.done()
    done = _rows(await bulk)
    assert answer.status_code == 201
    assert {one.get("write") for one in done} == {"created"}
    assert is_first or single < 1
