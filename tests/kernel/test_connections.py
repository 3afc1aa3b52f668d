"""Clients that are slow, endless, or do not speak HTTP, at a server of its own."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from services.kernel.http import LARGEST_BODY
from services.kernel.http import server as connections
from services.kernel.http.server import HttpConnection
from services.kernel.problems import MEDIA_TYPE

LARGE_ANSWER: Final = b"x" * 8_000_000


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/refused":
        body = b"no"
    elif scope["path"] == "/large":
        body = LARGE_ANSWER
    else:
        body = (await receive())["body"]
    length = str(len(body)).encode()
    headers = [(b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Served:
    """A server, and raw connections to it."""

    def __init__(self, server: uvicorn.Server) -> None:
        self.server = server
        self.port: int = server.servers[0].sockets[0].getsockname()[1]

    async def send(self, *parts: bytes, pause: float = 0, patience: float = 20) -> bytes:
        """Send parts with pauses between; return what comes until the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        try:
            async with asyncio.timeout(patience):
                for part in parts:
                    if writer.transport.is_closing() or reader.at_eof():
                        break
                    writer.write(part)
                    await asyncio.sleep(pause)
                while part := await reader.read(65536):
                    received += part
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
        return received


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "TAKING_SECONDS", 0.3)
    config = uvicorn.Config(
        _app, port=0, log_config=None, lifespan="off", http=HttpConnection, server_header=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.01)
    yield Served(server)
    server.should_exit = True
    await serving


def problem_in(received: bytes, status: int) -> dict[str, object]:
    """Return the problem that a raw answer holds."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    document: dict[str, object] = json.loads(body)
    assert lines[0].startswith(f"http/1.1 {status} ")
    assert headers["content-type"] == MEDIA_TYPE
    assert headers["x-request-id"] == document["request_id"]
    assert headers["connection"] == "close"
    assert "server" not in headers
    assert document["status"] == status
    return document


async def test_who_sends_nothing_is_not_waited_for(served: Served) -> None:
    assert await served.send() == b""


async def test_who_drips_a_head_is_not_waited_for(served: Served) -> None:
    begun = time.monotonic()
    dripped = [bytes([byte]) for byte in b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 1000]
    assert await served.send(*dripped, pause=0.05) == b""
    assert time.monotonic() - begun < 10


async def test_empty_lines_are_no_head(served: Served) -> None:
    assert await served.send(*[b"\r\n"] * 200, pause=0.05) == b""


async def test_a_second_head_is_waited_for_as_long_as_the_first(served: Served) -> None:
    whole = b"GET /refused HTTP/1.1\r\nHost: x\r\n\r\n"
    received = await served.send(whole, whole, b"GET / HT", pause=0.05)
    assert received.count(b"200 OK") == 2


async def test_a_refused_body_is_not_waited_for(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    async with asyncio.timeout(20):
        while not writer.transport.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.05)


async def test_who_does_not_take_the_answer_is_left(served: Served) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1)
    writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(20):
        while not served.server.server_state.connections:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
        while served.server.server_state.connections:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)
    writer.transport.abort()


async def test_who_takes_it_slowly_gets_all_of_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "TAKING_SECONDS", 10)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    received = 0
    while part := await reader.read(400_000):
        received += len(part)
        await asyncio.sleep(0.01)
    writer.close()
    assert received > len(LARGE_ANSWER)


async def test_a_head_without_end_is_cut_off(served: Served) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: "
    received = await served.send(head + b"a" * (connections.LARGEST_HEAD + 1))
    assert problem_in(received, 431)["type"] == "/problems/headers-too-large"


async def test_a_large_body_is_no_large_head(served: Served) -> None:
    body = b"x" * LARGEST_BODY
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    received = await served.send(head.encode() + body)
    assert received.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02", b"nonsense\r\n\r\n", b"GET / HTTP/9\r\n\r\n"]
)
async def test_what_is_not_http_is_a_problem_too(served: Served, sent: bytes) -> None:
    assert problem_in(await served.send(sent), 400)["type"] == "/problems/bad-request"


async def test_there_are_only_so_many_connections(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 2)
    held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(2)]
    received = await served.send()
    assert problem_in(received, 503)["type"] == "/problems/unavailable"
    assert b"retry-after: 1\r\n" in received.lower()
    for _, writer in held:
        writer.transport.abort()
