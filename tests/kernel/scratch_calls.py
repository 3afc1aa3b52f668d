"""The scratch service on a throwaway database, and calls to it as its callers make them."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI
from joserfc.jwk import ECKey
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.kernel.application import build_app
from services.kernel.definition import Service
from services.kernel.exact_json import canonical_json
from services.kernel.migrating import grant
from services.kernel.settings import Issuer, ProcessSettings
from services.kernel.storage import KERNEL_TABLES, Database
from tests.kernel.scratch import TABLES, notes
from tests.one_service import run
from tests.tokens import AUDIENCE, ISSUER, signed

STUDY: Final = "STUDY-1"


@dataclass(frozen=True, slots=True)
class Throwaway:
    """A database with the scratch service's schema, its role, and the superuser's address."""

    name: str
    superuser_dsn: str
    dsn: str


@asynccontextmanager
async def throwaway(admin_dsn: str) -> AsyncIterator[Throwaway]:
    """Make the database, the schema and the role, all of one fresh name; drop them after."""
    name = f"scratch_{uuid4().hex[:12]}"
    server = admin_dsn.rpartition("/")[0]
    superuser_dsn = f"{server}/{name}"
    address = server.rpartition("@")[2]
    await run(admin_dsn, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'", f"CREATE DATABASE {name}")
    try:
        await _make_schema(superuser_dsn, name)
        yield Throwaway(name, superuser_dsn, f"postgresql://{name}:{name}@{address}/{name}")
    finally:
        await run(admin_dsn, f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {name}")


async def _make_schema(dsn: str, name: str) -> None:
    engine = create_async_engine(
        dsn.replace("postgresql://", "postgresql+asyncpg://", 1),
        poolclass=NullPool,
        connect_args={"server_settings": {"search_path": name}},
    )
    await run(dsn, f"CREATE SCHEMA {name}")
    async with engine.begin() as connection:
        await connection.run_sync(KERNEL_TABLES.create_all)
        await connection.run_sync(TABLES.create_all)
        await connection.run_sync(lambda synchronous: grant(name, synchronous, TABLES))
    await engine.dispose()


@dataclass(slots=True)
class Callers:
    """The service's callers, and where its database is."""

    client: httpx.AsyncClient
    key: ECKey
    place: Throwaway

    def token(self, role: str = "edc", **claims: Any) -> str:
        """Return a token as the issuer signs it."""
        return signed(self.key, role, [STUDY, "STUDY-2"], **claims)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "edc",
        claims: Mapping[str, Any] = MappingProxyType({}),
        **headers: Any,
    ) -> httpx.Response:
        """Send a request; a header's name is given with underscores."""
        given = {"Authorization": f"Bearer {self.token(role, **claims)}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if body is None or isinstance(body, bytes) else canonical_json(body)
        if content is not None:
            given.setdefault("Content-Type", "application/json")
        return await self.client.request(
            method, f"/v1/studies/{STUDY}{path}", content=content, headers=given
        )

    async def write(self, participant: UUID, text: str = "a note", **headers: Any) -> Any:
        """Send one note and return the answer."""
        path = f"/participants/{participant}/notes"
        return await self.call("POST", path, {"text": text}, **headers)

    async def verification(self) -> dict[str, Any]:
        """Return what the audit says of the chains."""
        answer = await self.call("GET", "/audit/verification", role="auditor")
        found: dict[str, Any] = answer.json()
        return found

    async def feed(self, after: int = 0, *, wait: int = 0, limit: int = 500) -> list[Any]:
        """Return a page of the feed."""
        query = f"/events?after={after}&wait={wait}&limit={limit}"
        answer = await self.call("GET", query, role="service")
        assert answer.status_code == 200, answer.text
        items: list[Any] = answer.json()["items"]
        return items


@dataclass(slots=True)
class Scratch(Callers):
    """One process of the service as its callers see it, and its database."""

    app: FastAPI

    @property
    def database(self) -> Database:
        """The application's own database, under its own role."""
        database: Database = self.app.state.holdings[Database]
        return database

    async def events(self, participant: UUID) -> list[Any]:
        """Return the participant's event rows in the order of its chain."""
        async with self.database.pooled() as connection:
            return await connection.fetch(
                "SELECT * FROM event WHERE participant = $1 ORDER BY stream_version", participant
            )


def scratch_service(name: str) -> Service:
    """Describe the service; its schema and its role have its name."""
    return Service(name=name, title="Scratch", summary="Notes.", tables=TABLES, routers=(notes,))


def create_app() -> FastAPI:
    """Return the service for an operating system's process, configured by the environment."""
    return build_app(scratch_service(os.environ["SCRATCH_NAME"]), {STUDY: None}, ProcessSettings())


@asynccontextmanager
async def serving(place: Throwaway, key: ECKey, key_set: str) -> AsyncIterator[Scratch]:
    """Run one process's worth of the service."""
    settings = ProcessSettings(
        database_url=place.dsn,
        issuers=[Issuer(issuer=ISSUER, audience=AUDIENCE, jwks=key_set)],
        log_level="CRITICAL",
    )
    app = build_app(scratch_service(place.name), {STUDY: None}, settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://scratch.test") as client,
    ):
        yield Scratch(client, key, place, app)
