"""Safety over ASGI, on a throwaway database; facts stand for enrolment's feed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Final
from uuid import uuid4

import asyncpg
import httpx
import pytest
from joserfc.jwk import ECKey
from pydantic import SecretStr

from services.kernel.exact_json import canonical_json
from services.kernel.migrating import migrate
from services.kernel.settings import Issuer, ProcessSettings
from services.protocol.loading import load_studies
from services.protocol.study import Site
from services.safety.app import build_safety
from services.safety.settings import WebhookSettings
from tests.safety.safety_calls import AUDIENCE, ISSUER, NOBODY, SITES, STUDY, Safety, Tokens
from tests.whole_system import issuer_key, issuer_key_set, system

__all__ = ["issuer_key", "issuer_key_set", "system"]

ROLE: Final = """
DO $$ BEGIN CREATE ROLE safety LOGIN PASSWORD 'safety';
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""
"""The service's own role, which the whole run's server shares."""
WEBHOOKS: Final = WebhookSettings()
LOCAL: Final = WebhookSettings(
    allowed_networks=(ip_network("127.0.0.1/32"),),
    timeout_seconds=20,
    first_retry_seconds=0.1,
    longest_retry_seconds=0.4,
    give_up_after_seconds=120,
)
"""Sends to this machine, and has the patience that a slow one needs."""


@pytest.fixture(scope="session")
def tokens() -> Tokens:
    return Tokens(ECKey.generate_key("P-256", {"kid": "test", "use": "sig", "alg": "ES256"}))


@pytest.fixture(scope="session")
def key_set(tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_bytes(canonical_json({"keys": [tokens.key.as_dict(private=False)]}))
    return path


async def _run(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()


@contextmanager
def _database(postgres_dsn: str) -> Iterator[str]:
    """A migrated database of its own, as the service's role sees it; dropped at the end."""
    name = f"safety_{uuid4().hex[:12]}"
    asyncio.run(_run(postgres_dsn, ROLE))
    asyncio.run(_run(postgres_dsn, f"CREATE DATABASE {name}"))
    owner = f"{postgres_dsn.rpartition('/')[0]}/{name}"
    asyncio.run(_run(owner, "CREATE SCHEMA safety"))
    migrate("safety", owner)
    yield f"postgresql://safety:safety@{owner.rpartition('@')[2]}"
    asyncio.run(_run(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def safety_database(postgres_dsn: str) -> Iterator[str]:
    with _database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def desk_database(postgres_dsn: str) -> Iterator[str]:
    """One in which only tests of webhooks write, so that their ticker holds the lock."""
    with _database(postgres_dsn) as dsn:
        yield dsn


@asynccontextmanager
async def _empty_feed() -> AsyncIterator[str]:
    """A service whose feed has no news: it answers at once, or holds a long poll."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"wait=0" not in head:
                    await reader.read()  # a long poll: held until the caller goes
                    return
                body = b'{"items":[]}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.close()


@asynccontextmanager
async def _serving(
    dsn: str,
    key_set: Path,
    tokens: Tokens,
    enrolment_url: str,
    webhooks: WebhookSettings = WEBHOOKS,
) -> AsyncIterator[Safety]:
    settings = ProcessSettings(
        database_url=dsn,
        issuers=[Issuer(issuer=ISSUER, audience=AUDIENCE, jwks=str(key_set))],
        enrolment_url=enrolment_url,
        service_token=SecretStr("service"),
        log_level="CRITICAL",
    )
    study = load_studies()[STUDY]
    sites = [Site(code=code, name=code, time_zone="Asia/Shanghai") for code in SITES]
    studies = {STUDY: replace(study, sites=(*study.sites, *sites))}
    app = build_safety(studies, settings, webhooks)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://safety.test") as client,
    ):
        yield Safety(client, tokens, app.state.database)


@pytest.fixture(scope="session")
async def safety(safety_database: str, key_set: Path, tokens: Tokens) -> AsyncIterator[Safety]:
    """The service beside an enrolment that has no news."""
    async with _empty_feed() as url, _serving(safety_database, key_set, tokens, url) as running:
        yield running


@pytest.fixture(scope="session")
async def alone(safety_database: str, key_set: Path, tokens: Tokens) -> AsyncIterator[Safety]:
    """The service while enrolment is down."""
    async with _serving(safety_database, key_set, tokens, NOBODY) as running:
        yield running


@pytest.fixture(scope="module")
async def desk(desk_database: str, key_set: Path, tokens: Tokens) -> AsyncIterator[Safety]:
    """The service with receivers on this machine."""
    async with (
        _empty_feed() as url,
        _serving(desk_database, key_set, tokens, url, LOCAL) as running,
    ):
        yield running


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make the desk give up within a second, until the patch is undone."""
    monkeypatch.setattr(LOCAL, "give_up_after_seconds", 0.6)
    monkeypatch.setattr(LOCAL, "timeout_seconds", 0.4)
    return monkeypatch


@pytest.fixture
async def second_desk(desk_database: str, key_set: Path, tokens: Tokens) -> AsyncIterator[Safety]:
    """Another replica of the same service."""
    async with (
        _empty_feed() as url,
        _serving(desk_database, key_set, tokens, url, LOCAL) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def large_database(postgres_dsn: str) -> Iterator[str]:
    with _database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def large(large_database: str, key_set: Path, tokens: Tokens) -> AsyncIterator[Safety]:
    """The service with room for a large study, which would slow other tests down."""
    async with _empty_feed() as url, _serving(large_database, key_set, tokens, url) as running:
        yield running
