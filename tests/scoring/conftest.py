"""Scoring over ASGI, on a throwaway database; facts stand for what enrolment's feed told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from joserfc.jwk import ECKey
from pydantic import SecretStr

from services.kernel.application import build_app
from services.kernel.exact_json import canonical_json
from services.kernel.migrating import migrate
from services.kernel.settings import Issuer, ProcessSettings
from services.protocol.loading import load_studies
from services.protocol.study import Site, Study
from services.scoring.app import SCORING
from tests.scoring.scoring_calls import (
    AUDIENCE,
    ISSUER,
    OTHER_SITE,
    STUDIES,
    STUDY,
    Scoring,
    Tokens,
    next_study,
)


async def _run(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture(scope="session")
def scoring_database(postgres_dsn: str) -> Iterator[str]:
    """A migrated database of its own, dropped at the end."""
    name = f"scoring_{uuid4().hex[:12]}"
    asyncio.run(_run(postgres_dsn, f"CREATE DATABASE {name}"))
    dsn = f"{postgres_dsn.rpartition('/')[0]}/{name}"
    asyncio.run(_run(dsn, "CREATE SCHEMA scoring"))
    migrate("scoring", dsn)
    yield dsn
    asyncio.run(_run(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
async def silent_enrolment() -> AsyncIterator[str]:
    """Enrolment's feed as it is when nothing is new: every page is empty."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"wait=0" not in head:
            await reader.read()  # a long poll: held until the caller goes
        body = b'{"items":[]}'
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture(scope="session")
def key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "test", "use": "sig", "alg": "ES256"})


@pytest.fixture(scope="session")
def key_set(key: ECKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_bytes(canonical_json({"keys": [key.as_dict(private=False)]}))
    return path


def _studies() -> dict[str, Study]:
    """The registered study with a second site, and others like it."""
    study = load_studies()[STUDY]
    second = Site(code=OTHER_SITE, name=OTHER_SITE, time_zone="Asia/Shanghai")
    study = replace(study, sites=(*study.sites, second))
    return {STUDY: study, **{number: replace(study, number=number) for number in STUDIES}}


@pytest.fixture(scope="session")
async def service(
    scoring_database: str, key: ECKey, key_set: Path, silent_enrolment: str
) -> AsyncIterator[Scoring]:
    settings = ProcessSettings(
        database_url=scoring_database,
        issuers=[Issuer(issuer=ISSUER, audience=AUDIENCE, jwks=str(key_set))],
        enrolment_url=silent_enrolment,
        service_token=SecretStr("service"),
        log_level="CRITICAL",
    )
    app = build_app(SCORING, _studies(), settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://scoring.test") as client,
    ):
        yield Scoring(client, Tokens(key), app.state.database)


@pytest.fixture(scope="module")
def scoring(service: Scoring) -> Scoring:
    """The service, by the registered study."""
    return service


@pytest.fixture
def study_alone(service: Scoring) -> Scoring:
    """The service, by a study that no other test of this module uses."""
    return replace(service, study=next_study())
