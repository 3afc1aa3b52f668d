"""One running system for all attacks of a worker; after each, the logs are read."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import asyncpg
import httpx
import pytest

from launcher.databases import DATABASE
from tests.attacks.target import MARK, SERVICES, Target
from tests.running_system import ROOT, RunningSystem, running_system

_PERSONAL: Final = re.compile(
    MARK + r"|eyJ[\w-]+\.|/participants/[0-9a-f]|EDC-[0-9a-f]{12}|%[0-9A-Fa-f]{2}|\?"
)


def _templates() -> Iterator[str]:
    """Yield every path of every contract, and what stands for the others."""
    for document in (*SERVICES, "gateway"):
        described = json.loads((ROOT / "openapi" / f"{document}.json").read_text())
        yield from described["paths"]
    yield from ("unmatched", "/openapi.json", "/docs", "/docs/{file}", "/problems/{code}")


TEMPLATES: Final = frozenset(_templates())


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSystem]:
    with running_system("--empty", until="ready") as system:
        yield system


@pytest.fixture(scope="session")
async def target(running: RunningSystem) -> AsyncIterator[Target]:
    async with AsyncExitStack() as open_things:
        client = await open_things.enter_async_context(
            httpx.AsyncClient(base_url=running.url, timeout=60)
        )
        connections = {}
        for service in SERVICES:
            connections[service] = await asyncpg.connect(_dsn(running.data, service))
            open_things.push_async_callback(connections[service].close)
        yield Target(running.url, running.data, client, connections)


def _dsn(data: Path, service: str) -> str:
    port = (data / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[3]
    password = (data / "passwords" / f"{service}.password").read_text()
    return f"postgresql://{service}:{password}@127.0.0.1:{port}/{DATABASE}"


@pytest.fixture(autouse=True)
def _logs_tell_nothing(target: Target) -> Iterator[None]:
    """Whatever a test sends, the logs name templates and ids of requests only."""
    yield
    for log, line in target.new_lines():
        assert not _PERSONAL.search(line), line
        if log != "postgres.log":
            said = json.loads(line)
            assert said["event"] not in {"crash", "lane", "decide"}, line
            assert said.get("status") != 500, line
            assert said["event"] != "request" or said["route"] in TEMPLATES, line


@pytest.fixture(scope="session")
async def person(target: Target) -> str:
    """The path of a participant who consented; tests of refusals leave it as it is."""
    return await target.consented()
