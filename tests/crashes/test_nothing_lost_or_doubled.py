"""Any process may be killed while an EDC posts: nothing acknowledged is lost or doubled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final

import httpx
import psutil
import pytest

from launcher import trial_story as story
from tests.crashes.posting import Edc, Post, edc_client, until
from tests.journeys.callers import Callers
from tests.running_system import RunningSystem, running_system

VICTIMS: Final = (
    "services.scoring.app:create_app",
    "gateway.app:create_app",
    "services.enrolment.app:create_app",
    "-D",
    "services.safety.app:create_app",
)
CONNECTIONS: Final = 8
PARTICIPANTS: Final = 3
DAYS: Final = 12
PERSON: Final = story.people()[0]


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    with running_system("--empty", until="ready") as running:
        yield running


@pytest.fixture(scope="module")
def callers(system: RunningSystem) -> Iterator[Callers]:
    calling = Callers(system)
    yield calling
    calling.client.close()


@pytest.fixture
async def client(system: RunningSystem) -> AsyncIterator[httpx.AsyncClient]:
    async with edc_client(system) as opened:
        yield opened


def registered(callers: Callers, name: str) -> str:
    """Register a participant who consents; return where its record is."""
    body = {"site": story.SITE, "external_id": name, "birth_date": "1985-04-12", "sex": "female"}
    path = f"/participants/{callers.ask('coordinator', 'POST', '/participants', body)['id']}"
    callers.ask("coordinator", "POST", f"{path}/consents", story.consent(PERSON))
    return path


def posts_of(path: str, name: str) -> list[Post]:
    """Return a visit and an assessment a day; every other post has no key, only its reference."""
    posts = []
    for at in range(DAYS):
        day = PERSON.consented_on + timedelta(days=1 + at)
        for kind, body in (("visits", visit(day)), ("assessments", itch(day))):
            reference = f"{name}-{kind}-{at}"
            sourced = {**body, "source_system": "edc", "source_ref": reference}
            posts.append(Post(f"{path}/{kind}", sourced, reference if at % 2 else None))
    return posts


def visit(day: date) -> dict[str, Any]:
    """Return a visit that concerns all three services."""
    body = story.visit(PERSON, "SCR")
    at = {"assessed_at": f"{day}T09:40:00+08:00"}
    return {
        "visit": {"code": "unscheduled", "date": f"{day}", "started_at": f"{day}T09:30:00+08:00"},
        "assessments": [{**assessment, **at} for assessment in body["assessments"][:2]],
        "vital_signs": body["vital_signs"],
        "adverse_events": [{"term": "itching", "onset": f"{day}"}],
    }


def itch(day: date) -> dict[str, Any]:
    """Return a single assessment."""
    return {
        "instrument": "vas",
        "visit": "unscheduled",
        "assessed_at": f"{day}T10:00:00+08:00",
        "answers": {"value": 41, "unit": "mm"},
    }


async def kill_one_after_the_other(system: RunningSystem, edc: Edc) -> list[int]:
    """Kill each process while posts are acknowledged; return how many were at each kill."""
    killed = []
    for at, victim in enumerate(VICTIMS, start=1):
        share = at * len(edc.posts) // (len(VICTIMS) + 1)
        await until(lambda due=share: edc.acknowledged >= due)  # type: ignore[misc]
        process = system.process(victim)
        process.kill()
        killed.append(edc.acknowledged)
        await until(lambda name=victim, old=process: replaced(system, name, old))  # type: ignore[misc]
    return killed


def replaced(system: RunningSystem, victim: str, old: psutil.Process) -> bool:
    """Tell whether another process has taken the killed one's place."""
    try:
        return system.process(victim).pid != old.pid
    except (ValueError, psutil.Error):
        return False


async def test_killing_any_process_loses_and_doubles_nothing(
    system: RunningSystem, callers: Callers, client: httpx.AsyncClient
) -> None:
    paths = [registered(callers, f"CRASH-{number}") for number in range(PARTICIPANTS)]
    posts = [post for each in zip(*map(posts_of, paths, "ABC"), strict=True) for post in each]
    edc = Edc(client, posts)
    killed, _ = await asyncio.gather(
        kill_one_after_the_other(system, edc), edc.post_all(CONNECTIONS)
    )
    assert max(killed) < len(posts)
    assert edc.failures.total() > 0
    for post in posts:
        await assert_answered_alike(edc, post)
    for path in paths:
        assert_stored_once(callers, path, [post for post in posts if post.path.startswith(path)])
    found = callers.ask("auditor", "GET", "/audit/verification")
    assert (found["verified"], found["first_broken"]) == (True, None)


async def assert_answered_alike(edc: Edc, post: Post) -> None:
    """The same post again: byte for byte by its key, or unchanged by its reference."""
    first, again = post.answer, await edc.send(post)
    assert first is not None
    assert again is not None
    if post.key:
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"
        return
    assert (again.status_code, again.json()["write"]) == (200, "unchanged")
    post.answer = again
    assert len(set(post.ids)) == len(post.ids)


def assert_stored_once(callers: Callers, path: str, posts: Sequence[Post]) -> None:
    """Every record that was acknowledged is there, once, and nothing beside it."""
    stored = [
        item["id"]
        for kind in ("assessments", "adverse-events")
        for item in callers.ask("auditor", "GET", f"{path}/{kind}?limit=500")["items"]
    ]
    visits = callers.ask("auditor", "GET", f"{path}/visits?limit=500")["items"]
    held = [item["id"] for item in visits if "version" in item]
    assert len(held) == DAYS
    acknowledged = {identity for post in posts for identity in post.ids}
    assert Counter(stored) == Counter(acknowledged - set(held))


async def test_clients_that_go_away_harm_nobody(
    callers: Callers, client: httpx.AsyncClient
) -> None:
    path = registered(callers, "CRASH-GONE")
    posts = [Post(f"{path}/assessments", itch_at(at), f"gone-{at}") for at in range(60)]
    for _ in range(2):
        left = asyncio.gather(
            *(leave(client, post, 0.005 + 0.001 * at) for at, post in enumerate(posts)),
            *(leave(client, post, 0.005, cut=40) for post in posts[:10]),
        )
        others = await asyncio.gather(*(client.get(f"{path}/assessments") for _ in range(10)))
        assert {answer.status_code for answer in others} == {200}
        assert max(answer.elapsed.total_seconds() for answer in others) < 3
        await left
    edc = Edc(client, posts)
    await edc.post_all(CONNECTIONS)
    assert edc.failures == {}
    items = callers.ask("auditor", "GET", f"{path}/assessments?limit=500")["items"]
    assert Counter(item["id"] for item in items) == Counter(i for post in posts for i in post.ids)
    assert callers.ask("auditor", "GET", "/audit/verification")["verified"]


def itch_at(at: int) -> dict[str, Any]:
    """Return an assessment of its own minute."""
    return {**itch(PERSON.consented_on), "assessed_at": f"2021-09-01T10:{at:02}:00+08:00"}


async def leave(client: httpx.AsyncClient, post: Post, seconds: float, *, cut: int = 0) -> None:
    """Send a post, perhaps without its last bytes, and close the connection without reading."""
    headers = {"Idempotency-Key": str(post.key)}
    request = client.build_request("POST", post.path, json=post.body, headers=headers)
    head = f"POST {request.url.path} HTTP/1.1\r\n".encode()
    head += b"".join(name + b": " + value + b"\r\n" for name, value in request.headers.raw)
    _, writer = await asyncio.open_connection(request.url.host, request.url.port)
    content = head + b"\r\n" + request.content
    writer.write(content[: len(content) - cut])
    await writer.drain()
    await asyncio.sleep(seconds)
    writer.transport.abort()


async def test_twenty_twins_of_a_visit_are_one(callers: Callers, client: httpx.AsyncClient) -> None:
    path = registered(callers, "CRASH-TWINS")
    edc = Edc(client, [])
    keyed = Post(f"{path}/visits", visit(PERSON.consented_on + timedelta(days=1)), "twin")
    sourced = visit(PERSON.consented_on + timedelta(days=2))
    plain = Post(f"{path}/visits", {**sourced, "source_system": "edc", "source_ref": "twin"}, None)
    for post in (keyed, plain):
        answers = await asyncio.gather(*(edc.send(post) for _ in range(20)))
        seen = [(answer.status_code, answer.content) for answer in answers if answer]
        assert len(seen) == 20
        created = {answer for answer in seen if answer[0] == 201}
        assert len(created) == 1
        assert {status for status, _ in seen} <= {200, 201, 409}
    items = callers.ask("auditor", "GET", f"{path}/assessments")["items"]
    assert len(items) == 2 * len(sourced["assessments"])
    assert len(callers.ask("auditor", "GET", f"{path}/adverse-events")["items"]) == 2
