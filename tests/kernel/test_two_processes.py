"""Two processes of the operating system, one database: real servers, real concurrency."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from joserfc.jwk import ECKey

from launcher.plan import ROOT, SERVICE_OPTIONS
from launcher.ports import free_port
from launcher.processes import WebProcess, wait_until_ready
from services.kernel.exact_json import canonical_json
from tests.kernel.scratch_calls import Callers, Throwaway
from tests.tokens import AUDIENCE, ISSUER

APPLICATION: Final = "tests.kernel.scratch_calls:create_app"
WRITES: Final = 400
PARTICIPANTS: Final = 6
AT_ONCE: Final = 24


@pytest.fixture
async def processes(
    place: Throwaway, issuer_key: ECKey, issuer_key_set: str, tmp_path: Path
) -> AsyncIterator[Sequence[Callers]]:
    issuer = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": issuer_key_set}
    environment = {
        "PYTHONPATH": str(ROOT),
        "SCRATCH_NAME": place.name,
        "TRIAL_DATABASE_URL": place.dsn,
        "TRIAL_ISSUERS": canonical_json([issuer]).decode(),
        "TRIAL_LOG_LEVEL": "WARNING",
    }
    webs = [
        WebProcess(
            f"{at}",
            APPLICATION,
            free_port(),
            environment,
            ROOT,
            tmp_path / f"{at}",
            SERVICE_OPTIONS,
        )
        for at in range(2)
    ]
    for web in webs:
        web.launch()
    try:
        await wait_until_ready(webs)
        async with _client(webs[0]) as one, _client(webs[1]) as other:
            yield [Callers(client, issuer_key, place) for client in (one, other)]
    finally:
        await asyncio.gather(*(web.stop() for web in webs))


@asynccontextmanager
async def _client(web: WebProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port}", timeout=60) as client:
        yield client


async def stored(place: Throwaway, columns: str) -> list[Any]:
    """Return columns of all events, in the order of the feed."""
    connection = await asyncpg.connect(place.superuser_dsn)
    rows = await connection.fetch(f"SELECT {columns} FROM {place.name}.event ORDER BY position")
    await connection.close()
    return list(rows)


async def read_along(process: Callers, page: int, stop: asyncio.Event) -> list[tuple[int, str]]:
    """Follow the feed in small pages as a consumer does, to its end once writing has stopped."""
    met: list[tuple[int, str]] = []
    while True:
        has_stopped = stop.is_set()
        items = await process.feed(met[-1][0] if met else 0, wait=int(not has_stopped), limit=page)
        met += [(item["position"], item["resource_id"]) for item in items]
        if has_stopped and not items:
            return met


async def test_many_writers_lose_and_double_nothing(processes: Sequence[Callers]) -> None:
    place = processes[0].place
    participants = [uuid4() for _ in range(PARTICIPANTS)]
    choice = random.Random(4711)  # noqa: S311 - which writer goes where, the same every time
    sent = [(choice.choice(participants), f"key-{at}", choice.choice("01")) for at in range(WRITES)]
    turn, stop = asyncio.Semaphore(AT_ONCE), asyncio.Event()

    async def write(at: int) -> httpx.Response:
        participant, key, which = sent[at]
        async with turn:
            # Every fourth goes to both processes at the same moment, as an impatient EDC does.
            both = [processes[int(which)], *([processes[1 - int(which)]] if at % 4 == 0 else [])]
            answers: list[httpx.Response] = await asyncio.gather(
                *(each.write(participant, key, Idempotency_Key=key) for each in both)
            )
        assert len({(answer.status_code, answer.content) for answer in answers}) == 1
        return answers[0]

    readers = [
        asyncio.create_task(read_along(process, page, stop))
        for process, page in zip(processes, (7, 50), strict=True)
    ]
    answers = await asyncio.gather(*map(write, range(WRITES)))
    stop.set()
    feeds = await asyncio.gather(*readers)

    assert {answer.status_code for answer in answers} == {201}
    ids = [answer.json()["id"] for answer in answers]
    rows = await stored(place, "position, resource_id::text")
    assert sorted(row["resource_id"] for row in rows) == sorted(ids)
    expected = [(at, row["resource_id"]) for at, row in enumerate(rows, start=1)]
    assert feeds == [expected, expected]
    await assert_chained(place, participants)
    for process in processes:
        found = await process.verification()
        assert (found["verified"], found["events"]) == (True, WRITES)
    await assert_replayed(processes, sent, answers)


async def assert_chained(place: Throwaway, participants: Sequence[UUID]) -> None:
    """Every chain counts from 1, each link is the hash before, the feed keeps its order."""
    rows = await stored(place, "participant, stream_version, prev_hash, hash, body")
    for participant in participants:
        chain = [row for row in rows if row["participant"] == participant]
        assert [row["stream_version"] for row in chain] == list(range(1, len(chain) + 1))
        assert all(after["prev_hash"] == before["hash"] for before, after in pairwise(chain))
        assert chain[0]["prev_hash"] == b"\0" * 32


async def assert_replayed(
    processes: Sequence[Callers],
    sent: Sequence[tuple[UUID, str, str]],
    answers: Sequence[httpx.Response],
) -> None:
    """The other process gives every tenth answer again, byte for byte, and says so."""
    for (participant, key, which), first in list(zip(sent, answers, strict=True))[::10]:
        again = await processes[1 - int(which)].write(participant, key, Idempotency_Key=f'"{key}"')
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["ETag"] == first.headers["ETag"]


async def test_twenty_at_once_are_one(processes: Sequence[Callers]) -> None:
    participant = uuid4()
    path = f"/participants/{participant}/notes"
    body = {"text": "a", "source_system": "edc", "source_ref": "form-1"}
    told = await asyncio.gather(
        *(processes[at % 2].call("POST", path, body) for at in range(20)),
    )
    assert Counter(answer.status_code for answer in told) == {201: 1, 200: 19}
    assert {answer.json()["id"] for answer in told} == {told[0].json()["id"]}

    keyed = await asyncio.gather(
        *(processes[at % 2].write(participant, Idempotency_Key="one") for at in range(20))
    )
    assert {answer.status_code for answer in keyed} == {201}
    assert len({answer.content for answer in keyed}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in keyed) == 1

    changes = await asyncio.gather(
        *(
            processes[at % 2].call(
                "PUT",
                f"{path}/{told[0].json()['id']}",
                {"text": f"version {at}", "change_reason": "typo"},
                If_Match='"1"',
            )
            for at in range(20)
        )
    )
    assert Counter(answer.status_code for answer in changes) == {200: 1, 412: 19}
    rows = await stored(processes[0].place, "participant, action")
    assert [row["action"] for row in rows] == ["created", "created", "corrected"]
    assert (await processes[0].verification())["verified"]


async def test_a_twin_of_a_correction_is_never_told_that_it_is_stale(
    processes: Sequence[Callers],
) -> None:
    for at in range(10):
        participant = uuid4()
        note = (await processes[0].write(participant)).json()["id"]
        path = f"/participants/{participant}/notes/{note}"
        body = {"text": "corrected", "change_reason": "typo"}
        twins = await asyncio.gather(
            *(
                processes[each % 2].call(
                    "PUT", path, body, If_Match='"1"', Idempotency_Key=f"twin-{at}"
                )
                for each in range(6)
            )
        )
        assert {(twin.status_code, twin.content) for twin in twins} == {(200, twins[0].content)}
        assert sum("Idempotency-Replayed" not in twin.headers for twin in twins) == 1
