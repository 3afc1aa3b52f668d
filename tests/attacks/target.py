"""The system under attack: real processes, as `./run` starts them, and what they wrote."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import httpx

from launcher.issuer import mint_token
from tests.attacks.bodies import consent, registration

STUDY: Final = "NCT03745417"
SITE: Final = "GDTCM"
OTHER_SITE: Final = "ELSEWHERE"
"""A site that the token covers, and that has none of the records."""
SERVICES: Final = ("enrolment", "scoring", "safety")
MARK: Final = "MARKqz7"
"""Stands in what is refused, and nowhere else."""
_MEMBERS: Final = {"type", "title", "status", "detail", "request_id"}
_TELLTALES: Final = re.compile(
    r"traceback|uvicorn|starlette|fastapi|pydantic|asyncpg|aiohttp|httptools|joserfc|python|"
    r"postgres|\bselect\b.*\bfrom\b|site-packages|\.py\b",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Target:
    """Where the system is, who attacks it, and what it wrote down."""

    url: str
    data: Path
    client: httpx.AsyncClient
    connections: Mapping[str, "asyncpg.Connection[asyncpg.Record]"]
    read_up_to: dict[str, int] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, role: str, **claims: Any) -> str:
        """Return a token of the development issuer, the same one to the same claims."""
        stated = {"roles": [role], "studies": [STUDY], **claims}
        token = self._tokens.get(repr(stated))
        if token is None:
            token = self._tokens[repr(stated)] = mint_token(self.data, **stated)
        return token

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str | None = "investigator",
        claims: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Send a request; `S` and `P` paths begin after the study, others with `/`-less `v1`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None and "Authorization" not in given:
            given["Authorization"] = f"Bearer {self.token(role, **(claims or {}))}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        url = (
            path
            if path.startswith(("/v1", "/health", "/metrics"))
            else f"/v1/studies/{STUDY}{path}"
        )
        return await self.client.request(
            method, url, content=None if body is None else content, headers=given
        )

    async def get(self, path: str, **said: Any) -> httpx.Response:
        """Send a GET."""
        return await self.send("GET", path, **said)

    async def post(self, path: str, body: Any, **said: Any) -> httpx.Response:
        """Send a POST."""
        return await self.send("POST", path, body, **said)

    async def made(self, path: str, body: Any, **said: Any) -> dict[str, Any]:
        """Return what a POST made."""
        answer = await self.post(path, body, **said)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def registered(self, **stated: Any) -> str:
        """Return the path of a participant just registered, without consent."""
        made = await self.made("/participants", registration(SITE, **stated))
        return f"/participants/{made['id']}"

    async def consented(self) -> str:
        """Return the path of a participant who consented to everything."""
        path = await self.registered()
        await self.made(f"{path}/consents", consent())
        return path

    async def raw(self, sent: bytes, *, pause: float = 0, patience: float = 5) -> bytes:
        """Send bytes over a connection of one's own; return what comes until it ends."""
        place = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        received = b""
        try:
            writer.write(sent)
            await asyncio.sleep(pause)
            async with asyncio.timeout(patience):
                while part := await reader.read(65536):
                    received += part
        except (ConnectionError, TimeoutError):
            pass
        finally:
            writer.transport.abort()
        return received

    async def written(self) -> dict[str, tuple[int, int]]:
        """Return how many events and kept answers each service has."""
        found = {}
        for service, connection in self.connections.items():
            row = await connection.fetchrow(
                f"SELECT (SELECT count(*) FROM {service}.event), "
                f"(SELECT count(*) FROM {service}.idempotency)"
            )
            assert row is not None
            found[service] = (row[0], row[1])
        return found

    @asynccontextmanager
    async def writing_nothing(self) -> AsyncIterator[None]:
        """Check that what happens within writes nothing, in no service."""
        before = await self.written()
        yield
        assert await self.written() == before

    async def refuses(self, *statuses: int, **said: Any) -> httpx.Response:
        """Send a request of which nothing may be left but its refusal."""
        async with self.writing_nothing():
            answer = await self.send(**said)
        check_refusal(answer, *statuses)
        return answer

    def new_lines(self) -> list[tuple[str, str]]:
        """Return what was logged since the last call, by all processes, and in which log."""
        lines = []
        for log in sorted((self.data / "logs").glob("*.log")):
            with log.open("rb") as file:
                file.seek(self.read_up_to.get(log.name, 0))
                text = file.read()
            # The last line may still be on its way.
            text = text[: text.rfind(b"\n") + 1]
            self.read_up_to[log.name] = self.read_up_to.get(log.name, 0) + len(text)
            lines += [(log.name, line) for line in text.decode().splitlines()]
        return lines


def check_refusal(answer: httpx.Response, *statuses: int) -> None:
    """Check what holds for every refusal."""
    assert answer.status_code in statuses, (answer.status_code, answer.text)
    assert MARK.encode() not in answer.content
    assert MARK not in str(answer.headers)
    if answer.status_code < 400:
        return
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document.keys() >= _MEMBERS
    assert "instance" not in document
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["x-request-id"]
    assert not _TELLTALES.search(answer.text), answer.text
    assert "server" not in answer.headers
    if answer.status_code == 422:
        assert document["errors"]
        for fault in document["errors"]:
            assert {"code", "detail"} < fault.keys()
            assert fault.keys() & {"pointer", "parameter", "header"}
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    if answer.status_code == 405:
        assert answer.headers["allow"]
    if answer.status_code in {429, 503}:
        assert int(answer.headers["retry-after"]) > 0


def statuses_in(received: bytes) -> list[int]:
    """Return the statuses of all answers on a connection."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
