"""A lean HTTP client for load: raw asyncio, one request in flight a connection.

Run in processes of its own: `load` splits the connections among them.
"""

import asyncio
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

MakeRequest = Callable[[random.Random, str], bytes]
"""Returns one whole request; the text is unique to it."""


@dataclass(slots=True)
class Seen:
    """What one run saw: answers by status, and how long each took."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.statuses.total() / self.seconds

    def milliseconds(self, share: float) -> float:
        """The latency below which this share of the answers came, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1000


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete, until told to stop."""

    def __init__(self, make: MakeRequest, until: float, seen: Seen) -> None:
        self._make = make
        self._until = until
        self._seen = seen
        self._random = random.Random()  # noqa: S311 - no secret
        self._name = uuid4().hex
        self._sent = 0
        self._started = 0.0
        self._buffer = b""
        self._transport: Any = None
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent += 1
        request = self._make(self._random, f"{self._name}-{self._sent}")
        self._started = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        now = time.perf_counter()
        self._buffer = b""
        self._seen.latencies.append(now - self._started)
        self._seen.statuses[int(head[9:12])] += 1
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            if exc is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(exc)


def _content_length(head: bytes) -> int:
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return int(length or 0)  # a 304 has none


async def _drive(port: int, connections: int, seconds: float, make: MakeRequest) -> Seen:
    seen = Seen()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        (
            await loop.create_connection(
                lambda: _Connection(make, started + seconds, seen), "127.0.0.1", port
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for connection in opened))
    seen.seconds = time.perf_counter() - started
    return seen


def _process(port: int, connections: int, seconds: float, make: MakeRequest) -> Seen:
    return asyncio.run(_drive(port, connections, seconds, make))


def load(
    port: int, make: MakeRequest, *, connections: int, seconds: float, processes: int = 2
) -> Seen:
    """Load the service at a port for so long; return what all connections saw together."""
    processes = min(processes, connections)
    shares = [len(range(at, connections, processes)) for at in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        parts = pool.starmap(_process, [(port, share, seconds, make) for share in shares])
    return _together(parts)


def _together(parts: Sequence[Seen]) -> Seen:
    whole = Seen(seconds=max(part.seconds for part in parts))
    for part in parts:
        whole.statuses += part.statuses
        whole.latencies += part.latencies
    return whole
