"""Enrolment over ASGI, on a throwaway database; facts stand for the other services' feeds."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from joserfc.jwk import ECKey

from services.enrolment.app import ENROLMENT
from services.kernel.application import build_app
from services.kernel.exact_json import canonical_json
from services.kernel.migrating import migrate
from services.kernel.settings import Issuer, ProcessSettings
from services.protocol.loading import load_studies
from services.protocol.study import Site, Study
from tests.enrolment.enrolment_calls import (
    AUDIENCE,
    ISSUER,
    NOBODY,
    OTHER_STUDY,
    SITES,
    SMALL_STUDY,
    STUDY,
    STUDY_FILES,
    Enrolment,
    Tokens,
)


async def _run(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture(scope="session")
def enrolment_database(postgres_dsn: str) -> Iterator[str]:
    """A migrated database of its own, dropped at the end."""
    name = f"enrolment_{uuid4().hex[:12]}"
    asyncio.run(_run(postgres_dsn, f"CREATE DATABASE {name}"))
    dsn = f"{postgres_dsn.rpartition('/')[0]}/{name}"
    asyncio.run(_run(dsn, "CREATE SCHEMA enrolment"))
    migrate("enrolment", dsn)
    yield dsn
    asyncio.run(_run(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "test", "use": "sig", "alg": "ES256"})


@pytest.fixture(scope="session")
def key_set(key: ECKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_bytes(canonical_json({"keys": [key.as_dict(private=False)]}))
    return path


def _studies() -> dict[str, Study]:
    """The study with room for all tests and many sites, a small one, and another plan's."""
    known = load_studies(STUDY_FILES)
    study = known[STUDY]
    sites = (
        *study.sites,
        *(Site(code=code, name=code, time_zone="Asia/Shanghai") for code in SITES),
    )
    large = replace(study, places=None, sites=sites)
    small = replace(large, number=SMALL_STUDY, places=5)
    return {STUDY: large, SMALL_STUDY: small, OTHER_STUDY: known[OTHER_STUDY]}


@asynccontextmanager
async def _process(database: str, key: ECKey, key_set: Path) -> AsyncIterator[Enrolment]:
    """One process of the service, with writers and connections of its own."""
    settings = ProcessSettings(
        database_url=database,
        issuers=[Issuer(issuer=ISSUER, audience=AUDIENCE, jwks=str(key_set))],
        scoring_url=NOBODY,
        safety_url=NOBODY,
        log_level="CRITICAL",
    )
    app = build_app(ENROLMENT, _studies(), settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://enrolment.test") as client,
    ):
        yield Enrolment(client, Tokens(key), app.state.database)


@pytest.fixture(scope="session")
async def enrolment(enrolment_database: str, key: ECKey, key_set: Path) -> AsyncIterator[Enrolment]:
    """The service while scoring and safety are down; it judges from the facts it has."""
    async with _process(enrolment_database, key, key_set) as served:
        yield served


@pytest.fixture
async def twin(enrolment_database: str, key: ECKey, key_set: Path) -> AsyncIterator[Enrolment]:
    """A second process of the same service on the same database."""
    async with _process(enrolment_database, key, key_set) as served:
        yield served
