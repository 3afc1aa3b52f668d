"""The hop to a service: pooled connections, time limits, only the headers that matter.

A service's answers to writes carry the position of its feed. The gateway remembers the
highest one seen and sends it along, so that a service that follows that feed catches up
first: who was told that something is written finds it everywhere. The memory is a hint; a
gateway that starts anew has lost nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import orjson
from starlette.requests import Request
from starlette.responses import Response
from yarl import URL

from services.kernel.exact_json import parse_json
from services.kernel.observing import parent_headers
from services.kernel.problems import Unavailable, request_id_of

SERVICES: Final = ("enrolment", "scoring", "safety")
_PASSED_ON: Final = (
    "authorization",
    "content-type",
    "content-encoding",
    "accept",
    "idempotency-key",
    "if-match",
    "if-none-match",
)
_PASSED_BACK: Final = frozenset(
    {
        "allow",
        "cache-control",
        "content-disposition",
        "content-type",
        "etag",
        "idempotency-replayed",
        "last-modified",
        "link",
        "location",
        "retry-after",
        "www-authenticate",
    }
)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=2)
_STREAM_TIMEOUT: Final = aiohttp.ClientTimeout(sock_connect=2, sock_read=60)
_READ_AT_ONCE: Final = 64 * 1024
_POOLED: Final = 100
_MOST_UNDER_WAY: Final = 512
_KEPT_SECONDS: Final = 20
_BROKEN: Final = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service answered."""

    service: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, object]:
        """The body's members."""
        document: dict[str, object] = parse_json(self.body)
        return document

    @property
    def is_good(self) -> bool:
        """Tell whether the service did what was asked."""
        return self.status < 300  # noqa: PLR2004 - 2xx

    @property
    def position(self) -> int | None:
        """The feed position of what was written, if anything was."""
        text = self.headers.get("x-feed-position", "").partition("=")[2]
        return int(text) if text.isdigit() else None

    @property
    def passed_headers(self) -> dict[str, str]:
        """The headers that the caller gets to see."""
        return {name: value for name, value in self.headers.items() if name in _PASSED_BACK}

    def response(self) -> Response:
        """Return the answer for the caller."""
        return Response(self.body, self.status, headers=self.passed_headers)


@dataclass(frozen=True, slots=True)
class Stream:
    """A long answer on its way, or a refusal that is whole."""

    answer: aiohttp.ClientResponse
    refused: Reply | None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they come; a stream that breaks off raises."""
        async for chunk in self.answer.content.iter_chunked(_READ_AT_ONCE):
            yield chunk


class ServiceDown(Unavailable):
    """A service cannot be reached now; the same request may be sent again.

    Wait as long as `Retry-After` says, and send the same request with the same key.
    """


class Forwarder:
    """Sends requests on to the services, as the caller who sent them."""

    def __init__(self, url_by_service: Mapping[str, str]) -> None:
        self._urls = dict(url_by_service)
        self._session: aiohttp.ClientSession | None = None
        self._seen: dict[str, dict[str, int]] = {}
        self._under_way = dict.fromkeys(SERVICES, 0)

    async def open(self) -> None:
        """Prepare the pool of connections."""
        self._session = aiohttp.ClientSession(
            # No limit over all: one service that hangs must not use up the others' share.
            connector=aiohttp.TCPConnector(
                limit=0, limit_per_host=_POOLED, keepalive_timeout=_KEPT_SECONDS, use_dns_cache=True
            ),
            timeout=_TIMEOUT,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def forward(
        self,
        request: Request,
        service: str,
        path: str,
        *,
        study: str | None,
        body: bytes = b"",
        method: str | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return the service's answer; raises ServiceDown."""
        sent = self._sent(headers_of(request) if headers is None else headers, study)
        verb = method or request.method
        reply = await self._in_turn(service, verb, self._url(service, path, query), sent, body)
        if study is not None and reply.position is not None:
            seen = self._seen.setdefault(study, {})
            seen[service] = max(reply.position, seen.get(service, 0))
        return reply

    async def _in_turn(
        self, service: str, verb: str, url: URL, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        # A service that hangs may hold so many requests and no more: the rest is for the others.
        if self._under_way[service] >= _MOST_UNDER_WAY:
            raise ServiceDown(f"The service {service} has too much to do now.")
        self._under_way[service] += 1
        try:
            return await self._exchange(service, verb, url, headers, body)
        finally:
            self._under_way[service] -= 1

    def _sent(self, headers: Mapping[str, str], study: str | None) -> dict[str, str]:
        known = self._known(study)
        facts = {"X-Facts-At-Least": known} if known else {}
        return {**headers, **parent_headers(), **facts}

    def _url(self, service: str, path: str, query: str) -> URL:
        return URL(f"{self._urls[service]}{path}{'?' if query else ''}{query}", encoded=True)

    @asynccontextmanager
    async def stream(
        self, request: Request, service: str, path: str, *, study: str, query: str
    ) -> AsyncIterator[Stream]:
        """Lend a service's answer to a GET while it is still coming; raises ServiceDown."""
        if self._session is None:
            raise ServiceDown
        url = self._url(service, path, query)
        sent = self._sent({**headers_of(request), "accept": "*/*"}, study)
        try:
            answer = await self._session.get(url, headers=sent, timeout=_STREAM_TIMEOUT)
        except _BROKEN:
            raise ServiceDown(f"The service {service} cannot be reached now.") from None
        async with answer:
            is_good = answer.status == 200  # noqa: PLR2004 - the stream follows
            yield Stream(answer, None if is_good else await self._reply(service, answer))

    async def _reply(self, service: str, answer: aiohttp.ClientResponse) -> Reply:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(service, answer.status, headers, await answer.read())

    async def _exchange(
        self, service: str, verb: str, url: URL, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        if self._session is None:
            raise ServiceDown
        # A kept connection may have been closed from the other side just now: what only
        # reads is asked again, what writes is left to the caller, who has the key.
        for is_last in (verb not in {"GET", "HEAD"}, True):
            try:
                async with self._session.request(
                    verb, url, headers=headers, data=body or None, allow_redirects=False
                ) as answer:
                    return await self._reply(service, answer)
            except _BROKEN:
                if is_last:
                    break
        raise ServiceDown(f"The service {service} cannot be reached now.")

    def _known(self, study: str | None) -> str:
        seen = self._seen.get(study or "", {})
        return ",".join(f"{service}={position}" for service, position in seen.items())

    async def ask_all(self, request: Request, path: str, *, study: str) -> list[Reply]:
        """Return all services' answers to a GET; raises ServiceDown if one cannot be reached."""
        return list(
            await asyncio.gather(
                *(self.forward(request, service, path, study=study) for service in SERVICES)
            )
        )


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers that are passed on, with the id of this request."""
    passed = {
        name: value for name in _PASSED_ON if (value := request.headers.get(name)) is not None
    }
    return {**passed, "X-Request-Id": request_id_of(request)}


def json_bytes(value: object) -> bytes:
    """Return JSON in which every decimal stands as it was read."""
    return orjson.dumps(value, default=_exactly)


def _exactly(value: object) -> orjson.Fragment:
    return orjson.Fragment(str(value))
