"""Three services and the gateway in one event loop, each service on a database of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_network
from typing import Any, Final
from uuid import uuid4

import asyncpg
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from joserfc.jwk import ECKey
from pydantic import SecretStr

from gateway.app import create_app
from launcher.ports import free_port
from launcher.trial_story import people, screening, visit
from services.enrolment.app import ENROLMENT
from services.kernel.application import build_app
from services.kernel.definition import Service
from services.kernel.exact_json import canonical_json
from services.kernel.feeds import FeedNews, Followers
from services.kernel.settings import Issuer, ProcessSettings
from services.protocol.loading import Studies, load_studies
from services.protocol.study import Site
from services.safety.app import SAFETY, build_safety
from services.safety.settings import WebhookSettings
from services.scoring.app import SCORING
from tests.one_service import service_database
from tests.tokens import AUDIENCE, ISSUER, signed

STUDY: Final = "NCT03745417"
SITE: Final = "GDTCM"
SERVICES: Final[Mapping[str, Service]] = {
    "enrolment": ENROLMENT,
    "scoring": SCORING,
    "safety": SAFETY,
}
_WEBHOOKS: Final = WebhookSettings(allowed_networks=(ip_network("127.0.0.1/32"),))


def token(key: ECKey, role: str, **claims: Any) -> str:
    """Return a token as the issuer signs it."""
    return signed(key, role, [STUDY], **claims)


@dataclass(slots=True)
class Process:
    """An application on a port of its own, which can be stopped and started again."""

    make: Callable[[], FastAPI]
    app: FastAPI
    port: int = 0
    _server: uvicorn.Server | None = None
    _serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve a new application, on the same port as before."""
        if self._server is not None:
            self.app = self.make()
        # Named as TCP, else the loop leaves Nagle's algorithm on: 40 ms an answer.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self.app, log_config=None, timeout_graceful_shutdown=1, timeout_keep_alive=600
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop serving, as a process that is told to end."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        # Else it would wait for the long polls of the others.
        if FeedNews in self.app.state.holdings:
            self.app.state.holdings[FeedNews].next_event(STUDY).set()
        await self._serving


@dataclass(slots=True)
class WholeSystem:
    """The system as its callers see it, and each database as its superuser does."""

    url: str
    client: httpx.AsyncClient
    key: ECKey
    dsns: Mapping[str, str]
    processes: Mapping[str, Process]

    @property
    def apps(self) -> dict[str, FastAPI]:
        """The applications that serve now."""
        return {name: process.app for name, process in self.processes.items()}

    @asynccontextmanager
    async def without(self, *services: str) -> AsyncIterator[None]:
        """Stop services, and start them again afterwards."""
        await asyncio.gather(*(self.processes[name].stop() for name in services))
        try:
            yield
        finally:
            await asyncio.gather(*(self.processes[name].start() for name in services))

    def headers(self, role: str, **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {token(self.key, role, **claims)}"}

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "investigator",
        claims: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= self.headers(role, **(claims or {}))
        if body is not None:
            given["Content-Type"] = "application/json"
        content = None if body is None else canonical_json(body)
        url = path if path.startswith("/v1") else f"/v1/studies/{STUDY}{path}"
        return await self.client.request(method, url, content=content, headers=given)

    async def get(self, path: str, *, role: str = "auditor", **said: Any) -> httpx.Response:
        return await self.call("GET", path, role=role, **said)

    async def read(self, path: str, **said: Any) -> dict[str, Any]:
        """Return what a GET answers."""
        answer = await self.get(path, **said)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def made(self, path: str, body: Any, **said: Any) -> dict[str, Any]:
        """Return the answer to a POST that makes a record."""
        answer = await self.call("POST", path, body, **said)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def run(self, service: str, statement: str, *arguments: Any) -> list[Any]:
        """Run a statement in a service's database as the superuser."""
        connection = await asyncpg.connect(
            self.dsns[service], server_settings={"search_path": service}
        )
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()

    async def registered(self) -> str:
        """Return the id of a participant just registered, who consented to everything."""
        external = f"EDC-{uuid4().hex[:12]}"
        body = {"site": SITE, "external_id": external, "birth_date": "1985-04-12", "sex": "male"}
        one: str = (await self.made("/participants", body))["id"]
        consent = {
            "document_version": "1.2",
            "signed_at": "2021-08-31T09:00:00+08:00",
            "obtained_by": "dr-li",
            "scope": ["treatment", "data"],
        }
        await self.made(f"/participants/{one}/consents", consent)
        return one

    async def enrolled(self) -> str:
        """Return the id of an eligible participant who was enrolled."""
        one = await self.registered()
        await self.made(f"/participants/{one}/visits", screening_visit())
        person = people()[0]
        put = await self.call("PUT", f"/participants/{one}/screening", screening(person))
        assert put.status_code == 201, put.text
        decision = {"decision": "enrol", "decided_at": "2021-09-13T09:00:00+08:00"}
        await self.made(f"/participants/{one}/enrolment", {**decision, "signed_by": "dr-li"})
        return one

    async def assessed(self, participant: str, **stated: Any) -> dict[str, Any]:
        """Return an assessment just recorded."""
        return await self.made(f"/participants/{participant}/assessments", vas(**stated))

    async def reported(self, participant: str, **stated: Any) -> dict[str, Any]:
        """Return an adverse event just reported."""
        body = {"term": "fever", **stated}
        return await self.made(f"/participants/{participant}/adverse-events", body)

    async def events(self, service: str, participant: str) -> list[Any]:
        """Return a participant's event rows in the order of the chain."""
        return await self.run(
            service,
            "SELECT * FROM event WHERE participant = $1 ORDER BY stream_version",
            participant,
        )


def screening_visit() -> dict[str, Any]:
    """Return a screening visit with all that eligibility needs, under a reference of its own."""
    return {**visit(people()[0], "SCR"), "source_ref": f"SCR-{uuid4().hex[:12]}"}


def vas(value: int = 41, **stated: Any) -> dict[str, Any]:
    """Return an itch score of the screening visit."""
    answers = {"value": value, "unit": "mm"}
    at = {"visit": "SCR", "assessed_at": "2021-09-02T09:00:00+08:00"}
    return {"instrument": "vas", **at, "answers": answers, "assessor": "dr-li", **stated}


def pasi(*, odd: bool = True, **stated: Any) -> dict[str, Any]:
    """Return a PASI of the screening visit; an odd one has an area without signs."""
    sign = {"erythema": 1, "induration": 1, "desquamation": 1, "area_score": 1}
    regions = {name: dict(sign) for name in ("head", "upper_limbs", "trunk", "lower_limbs")}
    if odd:
        regions["head"] = {"erythema": 0, "induration": 0, "desquamation": 0, "area_score": 2}
    at = {"visit": "SCR", "assessed_at": "2021-09-02T10:00:00+08:00"}
    return {"instrument": "pasi", **at, "answers": {"regions": regions}, **stated}


@asynccontextmanager
async def _served(process: Process) -> AsyncIterator[None]:
    await process.start()
    yield
    await process.stop()


@asynccontextmanager
async def whole_system(
    admin_dsn: str,
    key: ECKey,
    key_set: str,
    environment: Mapping[str, str],
    *,
    sites: Sequence[str] = (),
) -> AsyncIterator[WholeSystem]:
    """Start everything, lend it, stop everything.

    `environment` is the gateway's own; the study has `sites` beside its own.
    """
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, jwks=key_set)
    ports = {name: free_port() for name in (*SERVICES, "gateway")}
    urls = {f"{name}_url": f"http://127.0.0.1:{ports[name]}" for name in SERVICES}
    service_token = SecretStr(token(key, "service"))
    # As many places as the tests take: each enrols participants of its own.
    study = load_studies()[STUDY]
    others = [Site(code=code, name=code, time_zone="Asia/Shanghai") for code in sites]
    studies = Studies({STUDY: replace(study, places=None, sites=(*study.sites, *others))})
    async with AsyncExitStack() as running:
        dsns, processes = {}, {}
        for name, service in SERVICES.items():
            dsns[name] = await running.enter_async_context(service_database(admin_dsn, name))
            settings = ProcessSettings(
                database_url=SecretStr(dsns[name]),
                issuers=[issuer],
                service_token=service_token,
                enrolment_url=urls["enrolment_url"],
                scoring_url=urls["scoring_url"],
                safety_url=urls["safety_url"],
                log_level="CRITICAL",
            )
            make = partial(build_app, service, studies, settings)
            if name == "safety":
                make = partial(build_safety, studies, settings, _WEBHOOKS)
            processes[name] = Process(make, make(), ports[name])
        make = partial(_gateway, issuer, urls, environment)
        processes["gateway"] = Process(make, make(), ports["gateway"])
        for process in processes.values():
            await running.enter_async_context(_served(process))
        url = f"http://127.0.0.1:{ports['gateway']}"
        client = await running.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))
        yield WholeSystem(url, client, key, dsns, processes)
        # Else each server would wait for the others' long polls.
        held = [processes[name].app.state.holdings for name in SERVICES]
        await asyncio.gather(*(holdings[Followers].close() for holdings in held))


def _gateway(issuer: Issuer, urls: Mapping[str, str], environment: Mapping[str, str]) -> FastAPI:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIAL_ISSUERS", f"[{issuer.model_dump_json()}]")
        patch.setenv("TRIAL_LOG_LEVEL", "CRITICAL")
        for name, value in {**urls, **environment}.items():
            patch.setenv(f"TRIAL_{name.upper()}", value)
        return create_app()


@pytest.fixture(scope="session")
async def system(
    postgres_dsn: str, issuer_key: ECKey, issuer_key_set: str
) -> AsyncIterator[WholeSystem]:
    signing = ECKey.generate_key("P-256", auto_kid=True)
    environment = {"checkpoint_key": canonical_json(signing.as_dict(private=True)).decode()}
    async with whole_system(postgres_dsn, issuer_key, issuer_key_set, environment) as running:
        yield running
