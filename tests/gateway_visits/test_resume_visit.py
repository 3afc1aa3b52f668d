"""Visits while services stop, in between too: nothing is lost and nothing is written twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.gateway_visits.visit_calls import faults, kind, post, unscheduled, written
from tests.whole_system import WholeSystem


@asynccontextmanager
async def _writes_held(system: WholeSystem, service: str) -> AsyncIterator[None]:
    """Let the service decide, but not write, until the end."""
    connection = await asyncpg.connect(system.dsns[service])
    try:
        await connection.execute(f"BEGIN; LOCK TABLE {service}.event IN SHARE MODE")
        yield
        await connection.execute("COMMIT")
    finally:
        await connection.close()


async def _until_held(system: WholeSystem, service: str) -> None:
    waiting = (
        "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND relation = 'event'::regclass"
    )
    while not (await system.run(service, waiting))[0]["n"]:  # noqa: ASYNC110 - no one tells
        await asyncio.sleep(0.02)


async def _interrupted(
    system: WholeSystem, participant: str, body: Any, stopped: str, **said: str
) -> Any:
    """Post a visit and stop a service after enrolment began to write; return the answer."""
    async with _writes_held(system, "enrolment"):
        posting = asyncio.create_task(post(system, participant, body, **said))
        await _until_held(system, "enrolment")
        await system.processes[stopped].stop()
    answer = await posting
    await system.processes[stopped].start()
    return answer


@pytest.mark.parametrize("with_key", [False, True])
async def test_a_visit_is_resumed_after_a_service_stopped_midway(
    system: WholeSystem, *, with_key: bool
) -> None:
    participant, body = await system.registered(), unscheduled()
    said = {"Idempotency_Key": f"visit-{participant}"} if with_key else {}
    answer = await _interrupted(system, participant, body, "scoring", **said)
    assert kind(answer) == (503, "visit-interrupted")
    assert answer.headers["retry-after"] == "1"
    receipt = answer.json()["receipt"]
    assert receipt["visit"]["code"] == "unscheduled"
    assert [one["pointer"] for one in receipt["parts"]] == ["/vital_signs", "/adverse_events/0"]
    assert {one["service"] for one in receipt["events"]} == {"enrolment", "safety"}
    assert (await written(system, participant))["scoring"] == 0

    again = await post(system, participant, body, **said)
    assert again.is_success
    done = {one["pointer"]: one for one in again.json()["parts"]}
    assert done["/assessments/0"]["write"] == "created"
    assert done["/vital_signs"]["id"] == receipt["parts"][0]["id"]
    assert done["/adverse_events/0"]["id"] == receipt["parts"][1]["id"]
    counts = await written(system, participant)
    assert (counts["scoring"], counts["safety"]) == (1, 1)
    last = await post(system, participant, body, **said)
    assert last.is_success
    assert await written(system, participant) == counts
    if with_key:
        assert last.content == again.content


async def test_adverse_events_are_taken_while_the_others_are_down(system: WholeSystem) -> None:
    participant, body = await system.registered(), unscheduled()
    async with system.without("enrolment", "scoring"):
        answer = await post(system, participant, body, Idempotency_Key=f"visit-{participant}")
        wrong = {**body, "assessments": [{**body["assessments"][0], "answers": {"value": "x"}}]}
        tried = await post(system, participant, wrong, "?validate_only=true")
    assert kind(answer) == (503, "visit-interrupted")
    assert [one["pointer"] for one in answer.json()["parts"]] == ["/adverse_events/0"]
    assert (kind(tried), tried.json()["parts"]) == ((503, "visit-interrupted"), [])
    again = await post(system, participant, body, Idempotency_Key=f"visit-{participant}")
    assert again.json()["parts"][-1]["write"] == "unchanged"
    assert (await written(system, participant))["safety"] == 1


async def test_impossible_values_are_refused_also_while_a_service_is_down(
    system: WholeSystem,
) -> None:
    participant, body = await system.registered(), unscheduled()
    body["assessments"][0]["answers"]["value"] = 101
    async with system.without("enrolment"):
        refused = await post(system, participant, body)
    assert faults(refused) == {("/assessments/0/answers/value", "value:RANGE")}
    assert (await written(system, participant))["safety"] == 0


async def test_a_visit_without_a_services_parts_does_not_need_it(system: WholeSystem) -> None:
    participant, body = await system.registered(), unscheduled()
    del body["assessments"]
    async with system.without("scoring"):
        answer = await post(system, participant, body)
    assert (answer.status_code, answer.json()["write"]) == (201, "created")


async def test_a_receipt_that_could_not_be_kept_is_told(system: WholeSystem) -> None:
    participant, body = await system.registered(), unscheduled()
    said = {"Idempotency_Key": f"visit-{participant}"}
    async with _writes_held(system, "scoring"):
        posting = asyncio.create_task(post(system, participant, body, **said))
        await _until_held(system, "scoring")
        await system.processes["enrolment"].stop()
    answer = await posting
    await system.processes["enrolment"].start()
    assert kind(answer) == (503, "visit-interrupted")
    assert len(answer.json()["receipt"]["parts"]) == 3
    again = await post(system, participant, body, **said)
    assert (again.status_code, again.json()["write"]) == (201, "created")
    assert again.json()["parts"] == answer.json()["receipt"]["parts"]
