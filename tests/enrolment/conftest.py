"""Enrolment over ASGI, on a throwaway database; facts stand for the other services' feeds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from joserfc.jwk import ECKey
from pydantic import SecretStr

from services.enrolment.app import ENROLMENT
from services.kernel.application import build_app
from services.kernel.settings import Issuer, ProcessSettings
from services.kernel.storage import Database
from services.protocol.loading import Studies, load_studies
from services.protocol.study import Site
from tests.enrolment.enrolment_calls import (
    OTHER_STUDY,
    SITES,
    SMALL_STUDY,
    STUDY,
    STUDY_FILES,
    Enrolment,
    Tokens,
)
from tests.one_service import NOBODY, service_database, silent_feed
from tests.tokens import AUDIENCE, ISSUER


@pytest.fixture(scope="session")
async def enrolment_database(postgres_dsn: str) -> AsyncIterator[str]:
    async with service_database(postgres_dsn, "enrolment") as dsn:
        yield dsn


@pytest.fixture(scope="session")
async def neighbour() -> AsyncIterator[str]:
    """A service whose feed has no news."""
    async with silent_feed() as url:
        yield url


def _studies() -> Studies:
    """The study with room for all tests and many sites, a small one, and another plan's."""
    known = load_studies(STUDY_FILES)
    study = known[STUDY]
    sites = (
        *study.sites,
        *(Site(code=code, name=code, time_zone="Asia/Shanghai") for code in SITES),
    )
    large = replace(study, places=None, sites=sites)
    small = replace(large, number=SMALL_STUDY, places=5)
    return Studies({STUDY: large, SMALL_STUDY: small, OTHER_STUDY: known[OTHER_STUDY]})


@asynccontextmanager
async def _process(
    database: str, key: ECKey, key_set: str, neighbour: str
) -> AsyncIterator[Enrolment]:
    """One process of the service, with writers and connections of its own."""
    settings = ProcessSettings(
        database_url=database,
        issuers=[Issuer(issuer=ISSUER, audience=AUDIENCE, jwks=key_set)],
        scoring_url=neighbour,
        safety_url=neighbour,
        service_token=SecretStr("service"),
        log_level="CRITICAL",
    )
    app = build_app(ENROLMENT, _studies(), settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://enrolment.test") as client,
    ):
        yield Enrolment(client, Tokens(key), app.state.holdings[Database])


@pytest.fixture(scope="session")
async def enrolment(
    enrolment_database: str, issuer_key: ECKey, issuer_key_set: str, neighbour: str
) -> AsyncIterator[Enrolment]:
    """The service beside a scoring and a safety that have no news."""
    async with _process(enrolment_database, issuer_key, issuer_key_set, neighbour) as served:
        yield served


@pytest.fixture
async def twin(
    enrolment_database: str, issuer_key: ECKey, issuer_key_set: str, neighbour: str
) -> AsyncIterator[Enrolment]:
    """A second process of the same service on the same database."""
    async with _process(enrolment_database, issuer_key, issuer_key_set, neighbour) as served:
        yield served


@pytest.fixture
async def alone(
    enrolment_database: str, issuer_key: ECKey, issuer_key_set: str
) -> AsyncIterator[Enrolment]:
    """The service while scoring and safety are down."""
    async with _process(enrolment_database, issuer_key, issuer_key_set, NOBODY) as served:
        yield served
