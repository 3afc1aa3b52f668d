"""Safety over ASGI, on a throwaway database; facts stand for enrolment's feed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

import httpx
import pytest
from joserfc.jwk import ECKey
from pydantic import SecretStr

from services.kernel.settings import Issuer, ProcessSettings
from services.kernel.storage import Database
from services.protocol.loading import Studies, load_studies
from services.protocol.study import Site
from services.safety.app import build_safety
from services.safety.settings import WebhookSettings
from tests.one_service import NOBODY, run, service_database, silent_feed
from tests.safety.safety_calls import SITES, STUDY, Safety, Tokens
from tests.tokens import AUDIENCE, ISSUER
from tests.whole_system import system

__all__ = ["system"]

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
def tokens(issuer_key: ECKey) -> Tokens:
    return Tokens(issuer_key)


@asynccontextmanager
async def _database(postgres_dsn: str) -> AsyncIterator[str]:
    """A database of its own, as the service's role sees it."""
    await run(postgres_dsn, ROLE)
    async with service_database(postgres_dsn, "safety") as owner:
        yield f"postgresql://safety:safety@{owner.rpartition('@')[2]}"


@pytest.fixture(scope="session")
async def safety_database(postgres_dsn: str) -> AsyncIterator[str]:
    async with _database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="session")
async def desk_database(postgres_dsn: str) -> AsyncIterator[str]:
    """One in which only tests of webhooks write, so that their ticker holds the lock."""
    async with _database(postgres_dsn) as dsn:
        yield dsn


@asynccontextmanager
async def _serving(
    dsn: str,
    issuer_key_set: str,
    tokens: Tokens,
    enrolment_url: str,
    webhooks: WebhookSettings = WEBHOOKS,
) -> AsyncIterator[Safety]:
    settings = ProcessSettings(
        database_url=dsn,
        issuers=[Issuer(issuer=ISSUER, audience=AUDIENCE, jwks=issuer_key_set)],
        enrolment_url=enrolment_url,
        service_token=SecretStr("service"),
        log_level="CRITICAL",
    )
    study = load_studies()[STUDY]
    sites = [Site(code=code, name=code, time_zone="Asia/Shanghai") for code in SITES]
    studies = Studies({STUDY: replace(study, sites=(*study.sites, *sites))})
    app = build_safety(studies, settings, webhooks)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://safety.test") as client,
    ):
        yield Safety(client, tokens, app.state.holdings[Database])


@pytest.fixture(scope="session")
async def safety(
    safety_database: str, issuer_key_set: str, tokens: Tokens
) -> AsyncIterator[Safety]:
    """The service beside an enrolment that has no news."""
    async with (
        silent_feed() as url,
        _serving(safety_database, issuer_key_set, tokens, url) as running,
    ):
        yield running


@pytest.fixture(scope="session")
async def alone(safety_database: str, issuer_key_set: str, tokens: Tokens) -> AsyncIterator[Safety]:
    """The service while enrolment is down."""
    async with _serving(safety_database, issuer_key_set, tokens, NOBODY) as running:
        yield running


@pytest.fixture(scope="module")
async def desk(desk_database: str, issuer_key_set: str, tokens: Tokens) -> AsyncIterator[Safety]:
    """The service with receivers on this machine."""
    async with (
        silent_feed() as url,
        _serving(desk_database, issuer_key_set, tokens, url, LOCAL) as running,
    ):
        yield running


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make the desk give up within a second, until the patch is undone."""
    monkeypatch.setattr(LOCAL, "give_up_after_seconds", 0.6)
    monkeypatch.setattr(LOCAL, "timeout_seconds", 0.4)
    return monkeypatch


@pytest.fixture
async def second_desk(
    desk_database: str, issuer_key_set: str, tokens: Tokens
) -> AsyncIterator[Safety]:
    """Another replica of the same service."""
    async with (
        silent_feed() as url,
        _serving(desk_database, issuer_key_set, tokens, url, LOCAL) as running,
    ):
        yield running


@pytest.fixture(scope="module")
async def large_database(postgres_dsn: str) -> AsyncIterator[str]:
    async with _database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def large(large_database: str, issuer_key_set: str, tokens: Tokens) -> AsyncIterator[Safety]:
    """The service with room for a large study, which would slow other tests down."""
    async with (
        silent_feed() as url,
        _serving(large_database, issuer_key_set, tokens, url) as running,
    ):
        yield running
