import asyncio
import json
from typing import Any

import httpx
import pytest

from services.kernel.exact_json import canonical_json
from tests.scoring.scoring_calls import (
    OTHER_SITE,
    Scoring,
    identity,
    kind,
    pasi,
    region,
    source,
    valid,
)

BULK = "/assessments/bulk"
NDJSON = "application/x-ndjson"


def row(path: str, **stated: Any) -> dict[str, Any]:
    """Return a PASI of a participant as a row."""
    return {"participant": str(identity(path)), **pasi(), **stated}


async def lines(scoring: Scoring, *rows: bytes, query: str = "", **caller: Any) -> httpx.Response:
    content = b"\n".join(rows)
    return await scoring.call("POST", BULK + query, content=content, Content_Type=NDJSON, **caller)


async def stored(scoring: Scoring, path: str) -> int:
    return len((await scoring.get(f"{path}/assessments?limit=500")).json()["items"])


@pytest.fixture
async def path(scoring: Scoring) -> str:
    return await scoring.consented()


async def test_rows_are_answered_in_order(scoring: Scoring, path: str) -> None:
    other = await scoring.consented()
    answer = await scoring.post(BULK, [row(path), row(other, **valid("vas")), row(path)])
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    first, second, third = answer.json()
    assert [one["index"] for one in (first, second, third)] == [0, 1, 2]
    assert set(first) == {"index", "write", "id", "version"}
    assert {one["write"] for one in (first, second, third)} == {"created"}
    read = await scoring.get(f"{other}/assessments/{second['id']}")
    assert read.json()["derived"]["vas_mm"] == 41
    assert await stored(scoring, path) == 2


async def test_a_row_is_stored_like_a_single_write(scoring: Scoring, path: str) -> None:
    (bulk,) = (await scoring.post(BULK, [row(path, **source())])).json()
    single = await scoring.assessed(path, pasi())
    one = (await scoring.get(f"{path}/assessments/{bulk['id']}")).json()
    own = {"id", "recorded_at", "write", "queries", "source_system", "source_ref"}
    assert {k: v for k, v in one.items() if k not in own} == {
        k: v for k, v in single.items() if k not in own
    }
    found = await scoring.get("/audit/verification", role="auditor")
    assert found.json()["verified"] is True


async def test_lines_are_answered_as_lines(scoring: Scoring, path: str) -> None:
    good = canonical_json(row(path))
    answer = await lines(scoring, good, b"{", b'{"participant":1e999}', b"", good, b"")
    assert answer.headers["Content-Type"].startswith(NDJSON)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [one.get("write") for one in rows] == ["created", None, None, "created"]
    assert [rows[n]["problem"]["status"] for n in (1, 2)] == [400, 400]


async def test_every_fault_of_a_row_is_named_in_the_row(scoring: Scoring, path: str) -> None:
    rows = [
        row(path),
        row(path, visit="W99", instrument="pain"),
        row(path, assessed_at="today", x=1),
        row(await scoring.known()),
        row("/participants/00000000-0000-4000-8000-000000000000"),
        {**row(path), "participant": "nobody"},
        {**row(path), "participant": "external:nobody"},
        "row",
        row(path, answers={"regions": {"head": region(7)}}),
    ]
    answer = (await scoring.post(BULK, rows)).json()
    problems = [one["problem"] for one in answer[1:]]
    assert [one["status"] for one in problems] == [422, 422, 409, 404, 404, 404, 422, 422]
    assert [[fault["pointer"] for fault in one.get("errors", [])] for one in problems] == [
        ["/visit", "/instrument"],
        ["/assessed_at", "/x"],
        [],
        [],
        [],
        [],
        [""],
        ["/answers/regions/head/erythema"],
    ]
    assert problems[2]["type"] == "/problems/no-consent-in-force"
    assert all(one["request_id"] for one in problems)
    assert await stored(scoring, path) == 1


async def test_a_row_with_warnings_shows_them(scoring: Scoring, path: str) -> None:
    alarming = valid("sds")
    alarming["answers"]["answers"][18] = 4
    (one,) = (await scoring.post(BULK, [row(path, **alarming)])).json()
    assert [warning["code"] for warning in one["warnings"]] == ["SDS_ITEM_19"]


async def test_the_same_source_twice_is_one_record(scoring: Scoring, path: str) -> None:
    of = source()
    same, other = row(path, **of), row(path, **pasi(1, 1), **of)
    first, second, third = (await scoring.post(BULK, [same, same, other])).json()
    assert (first["write"], second["write"]) == ("created", "unchanged")
    assert (second["id"], second["version"]) == (first["id"], 1)
    assert third["problem"]["type"] == "/problems/source-already-used"
    (again,) = (await scoring.post(BULK, [same])).json()
    assert (again["write"], again["id"]) == ("unchanged", first["id"])


async def test_atomic_writes_all(scoring: Scoring, path: str) -> None:
    answer = await scoring.post(f"{BULK}?atomic=true", [row(path), row(path)])
    assert [one["write"] for one in answer.json()] == ["created", "created"]
    assert await stored(scoring, path) == 2


@pytest.mark.parametrize("is_by_state", [True, False])
async def test_atomic_writes_nothing_when_one_row_is_refused(
    scoring: Scoring, path: str, *, is_by_state: bool
) -> None:
    wrong = row(await scoring.known()) if is_by_state else row(path, x=1)
    rows = [row(path), wrong, row(await scoring.known())]
    by_list = await scoring.post(f"{BULK}?atomic=true", rows)
    by_lines = await lines(scoring, *map(canonical_json, rows), query="?atomic=true")
    for answer in (by_list, by_lines):
        assert kind(answer) == (409, "rows-refused")
        assert answer.headers["Content-Type"] == "application/problem+json"
        first, second, third = answer.json()["rows"]
        assert first == {"index": 0, "write": None}
        assert second["problem"]["status"] == (409 if is_by_state else 422)
        assert third["problem"]["status"] == 409
    assert await stored(scoring, path) == 0


async def test_a_key_gives_the_first_answer_again(scoring: Scoring, path: str) -> None:
    rows = [row(path) for _ in range(501)]
    first = await scoring.post(BULK, rows, Idempotency_Key="bulk-1")
    again = await scoring.post(BULK, rows, Idempotency_Key="bulk-1")
    other = await scoring.post(BULK, rows[:1], Idempotency_Key="bulk-1")
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert kind(other) == (422, "key-reused")
    assert [one["index"] for one in first.json()] == list(range(501))


async def test_one_key_at_once_writes_once(scoring: Scoring, path: str) -> None:
    rows = [row(path) for _ in range(3)]
    answers = await asyncio.gather(
        *(scoring.post(BULK, rows, Idempotency_Key="bulk-2") for _ in range(4))
    )
    assert len({answer.content for answer in answers}) == 1
    assert await stored(scoring, path) == 3


async def test_more_bulk_requests_than_may_wait_are_put_off(scoring: Scoring, path: str) -> None:
    answers = await asyncio.gather(*(scoring.post(BULK, [row(path)]) for _ in range(12)))
    written = sum(answer.status_code == 200 for answer in answers)
    refused = [kind(answer) for answer in answers if answer.status_code != 200]
    assert set(refused) <= {(503, "unavailable")}
    assert await stored(scoring, path) == written > 0


async def test_single_writes_go_on_beside_a_bulk_request(scoring: Scoring, path: str) -> None:
    other = await scoring.consented()
    rows = [row(path) for _ in range(2000)]
    bulk = asyncio.create_task(scoring.post(BULK, rows))
    singles = 0
    while not bulk.done():
        await scoring.assessed(other, pasi())
        singles += 1
    assert len((await bulk).json()) == 2000
    assert singles > 5


async def test_external_ids_name_participants(scoring: Scoring) -> None:
    path = await scoring.consented(external_id="EDC-bulk")
    rows = [{**row(path), "participant": "external:EDC-bulk"}]
    (one,) = (await scoring.post(BULK, rows)).json()
    assert (await scoring.get(f"{path}/assessments/{one['id']}")).status_code == 200


async def test_another_sites_participant_is_unknown_in_its_row(scoring: Scoring, path: str) -> None:
    (one,) = (await scoring.post(BULK, [row(path)], sites=[OTHER_SITE])).json()
    assert one["problem"]["type"] == "/problems/not-found"


@pytest.mark.parametrize("body", [{}, "rows", 3])
async def test_what_is_no_list_is_refused(scoring: Scoring, body: Any) -> None:
    assert (await scoring.post(BULK, body)).status_code == 422


async def test_the_request_itself_can_be_refused(scoring: Scoring, path: str) -> None:
    assert kind(await scoring.post(BULK, [row(path)], role="auditor")) == (403, "not-permitted")
    assert kind(
        await scoring.call("POST", BULK, content=b"[", Content_Type="application/json")
    ) == (
        400,
        "not-json",
    )
    text = await scoring.call("POST", BULK, content=b"[]", Content_Type="text/csv")
    assert kind(text) == (415, "unsupported-media-type")
    many = await lines(scoring, *[b"{}"] * 10_001)
    assert kind(many) == (422, "too-many-rows")
    large = await lines(scoring, b" " * (16 * 1024 * 1024 + 1))
    assert kind(large) == (413, "too-large")
    assert (await scoring.post(f"{BULK}?atomic=perhaps", [])).status_code == 422


async def test_no_rows_are_no_answers(scoring: Scoring) -> None:
    assert (await scoring.post(BULK, [])).json() == []
    assert (await lines(scoring)).content == b""


async def test_ten_thousand_rows_keep_their_order(scoring: Scoring) -> None:
    paths = [await scoring.consented() for _ in range(20)]
    rows = [row(paths[n % 20]) for n in range(10_000)]
    answer = (await lines(scoring, *map(canonical_json, rows))).text.splitlines()
    assert [json.loads(one)["index"] for one in answer] == list(range(10_000))
    counts = [await stored(scoring, one) for one in paths]
    assert counts == [500] * 20
