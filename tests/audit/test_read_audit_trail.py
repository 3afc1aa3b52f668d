"""The trail of all services as one: pages, streams and filters say the same."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from services.kernel.audit import trail as audit
from tests.whole_system import SERVICES, WholeSystem, pasi

MEMBERS = {
    "seq",
    "service",
    "recorded_at",
    "actor",
    "role",
    "action",
    "resource",
    "resource_id",
    "version",
    "participant",
    "site",
    "visit",
    "changes",
    "reason",
    "source_system",
    "source_ref",
    "request_id",
    "release",
    "prev_hash",
    "hash",
}


async def _history(system: WholeSystem) -> str:
    """Return a participant with events in all services, one a correction."""
    participant = await system.registered()
    path = f"/participants/{participant}/assessments"
    odd = await system.made(path, pasi(), X_Request_Id="request-of-pasi")
    correction = {**pasi(odd=False), "change_reason": "=misread"}
    answer = await system.call("PUT", f"{path}/{odd['id']}", correction, If_Match='"1"')
    assert answer.status_code == 200, answer.text
    await system.reported(participant)
    return participant


async def _rows(system: WholeSystem, **asked: Any) -> list[dict[str, Any]]:
    """Return all rows, page after page."""
    rows: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = await system.read(f"/audit?{urlencode({**asked, **after})}")
        rows += page["items"]
        if page["next"] is None:
            return rows
        after = {"after": page["next"]}


async def _stream(system: WholeSystem, kind: str, **asked: Any) -> str:
    answer = await system.get(f"/audit?{urlencode(asked)}", Accept=kind)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(kind)
    return answer.text


async def test_a_row_says_who_what_when_and_why(system: WholeSystem) -> None:
    participant = await _history(system)
    rows = await _rows(system, participant=participant)
    assert all(row.keys() >= MEMBERS for row in rows)
    assert {row["service"] for row in rows} == set(SERVICES)
    made, corrected = [row for row in rows if row["resource"] == "assessment"]
    assert (made["actor"], made["role"], made["action"]) == (
        "investigator-1",
        "investigator",
        "created",
    )
    assert (made["request_id"], made["visit"], made["site"]) == ("request-of-pasi", "SCR", "GDTCM")
    assert (corrected["action"], corrected["version"], corrected["reason"]) == (
        "corrected",
        2,
        "=misread",
    )
    assert corrected["prev_hash"] == made["hash"]


async def test_old_and_new_values_stand_by_pointer(system: WholeSystem) -> None:
    participant = await _history(system)
    rows = await _rows(system, participant=participant, resource="assessment")
    made, corrected = [{one["pointer"]: one for one in row["changes"]} for row in rows]
    assert made["/instrument"] == {"pointer": "/instrument", "old": None, "new": "pasi"}
    head = corrected["/answers/regions/head/erythema"]
    assert (head["old"], head["new"]) == (0, 1)
    assert "/answers/regions/trunk/erythema" not in corrected


async def test_pages_of_any_size_and_streams_hold_the_same_rows(
    system: WholeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _history(system)
    monkeypatch.setattr(audit, "_SLICE", 3)
    monkeypatch.setattr(audit, "_TOLD_AT_ONCE", 2)
    paged = await _rows(system, limit=7)
    streamed = [
        json.loads(line) for line in (await _stream(system, "application/x-ndjson")).splitlines()
    ]
    assert streamed == sorted(streamed, key=lambda row: str(row["recorded_at"]))
    for service in SERVICES:
        own = [row for row in paged if row["service"] == service]
        assert [row["seq"] for row in own] == list(range(1, len(own) + 1))
        assert own == [row for row in streamed if row["service"] == service]
    table = list(csv.DictReader(io.StringIO(await _stream(system, "text/csv"))))
    assert [(row["service"], row["seq"]) for row in table] == [
        (row["service"], str(row["seq"])) for row in streamed
    ]
    assert set(table[0]) == MEMBERS


async def test_no_cell_of_the_table_is_a_formula(system: WholeSystem) -> None:
    participant = await _history(system)
    text = await _stream(system, "text/csv", participant=participant)
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert "'=misread" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


async def test_rows_are_filtered(system: WholeSystem) -> None:
    participant = await _history(system)
    every = await _rows(system, participant=participant)
    middle = every[len(every) // 2]["recorded_at"]
    filters: list[tuple[dict[str, str], Callable[[dict[str, Any]], bool]]] = [
        ({"resource": "assessment"}, lambda row: row["resource"] == "assessment"),
        ({"action": "corrected"}, lambda row: row["action"] == "corrected"),
        ({"visit": "SCR"}, lambda row: row["visit"] == "SCR"),
        ({"actor": "investigator-1"}, lambda row: row["actor"] == "investigator-1"),
        ({"actor": "nobody"}, lambda _row: False),
        ({"recorded_from": middle}, lambda row: row["recorded_at"] >= middle),
        ({"recorded_to": middle}, lambda row: row["recorded_at"] < middle),
    ]
    for asked, holds in filters:
        found = await _rows(system, participant=participant, **asked)
        assert found == [row for row in every if holds(row)], asked
        lines = await _stream(system, "application/x-ndjson", participant=participant, **asked)
        assert [json.loads(line)["hash"] for line in lines.splitlines()] == [
            row["hash"] for row in found
        ]


async def test_the_state_stands_beside_where_asked_for(system: WholeSystem) -> None:
    participant = await _history(system)
    row = (await _rows(system, participant=participant, state="true"))[-1]
    assert json.loads(row["state"])["participant"] == participant
    assert "state" not in (await _rows(system, participant=participant))[-1]


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("after=bm90aGluZw", "after"),
        ("participant=x", "participant"),
        ("recorded_from=2021-09-01", "recorded_from"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    system: WholeSystem, asked: str, parameter: str
) -> None:
    answer = await system.get(f"/audit?{asked}")
    assert answer.status_code == 422
    assert [one["parameter"] for one in answer.json()["errors"]] == [parameter]


async def test_an_auditor_of_another_site_sees_none_of_it(system: WholeSystem) -> None:
    participant = await _history(system)
    other = {"sites": ["OTHER"]}
    answer = await system.get(f"/audit?participant={participant}", claims=other)
    assert answer.json()["items"] == []
    answer = await system.get("/audit", claims=other, Accept="application/x-ndjson")
    assert answer.text == ""


async def test_only_an_auditor_reads_the_trail(system: WholeSystem) -> None:
    for role in ("edc", "coordinator", "investigator", "statistician", "admin"):
        for path in ("/audit", "/audit/checkpoint", "/audit/proof?service=scoring&seq=1"):
            assert (await system.get(path, role=role)).status_code == 403


async def test_a_trail_without_one_service_is_no_trail(system: WholeSystem) -> None:
    async with system.without("safety"):
        page = await system.get("/audit")
        stream = await system.get("/audit", Accept="application/x-ndjson")
    assert (page.status_code, stream.status_code) == (503, 503)
