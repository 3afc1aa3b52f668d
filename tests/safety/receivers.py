"""A receiver of webhooks on this machine, and how it checks what it gets."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """Check the signature as the Standard Webhooks specification describes it."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        told = (self.headers["webhook-id"], self.headers["webhook-timestamp"])
        signed = f"{told[0]}.{told[1]}.".encode() + self.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return f"v1,{expected}" in self.headers["webhook-signature"].split(" ")


@dataclass(slots=True)
class Receiver:
    """Answers what `answer` says for the n-th request; keeps all that came."""

    answer: Callable[[int], str | None] = lambda _: "204 No Content"
    port: int = 0
    received: list[Received] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/desk"

    def about(self, subject: str) -> list[dict[str, Any]]:
        """Return the events about an adverse event or a participant, in the order received."""
        return [
            one.event
            for one in self.received
            if subject in (one.event["subject"], one.event["data"].get("participant"))
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            pairs = (line.partition(":") for line in head.splitlines()[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
            self.received.append(Received(headers, body))
            status = self.answer(len(self.received))
            if status is None:
                await reader.read()  # hangs until the sender goes
            else:
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[Receiver]:
    """Let a receiver listen, on the port that it had before if it had one."""
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", receiver.port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await asyncio.sleep(0.05)  # who connected just now is still heard, and closed
        closing = [writer.wait_closed() for writer in receiver.writers]
        for writer in receiver.writers:
            writer.close()
        await asyncio.gather(*closing, return_exceptions=True)
        receiver.writers.clear()


async def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    """Return what holds, as soon as it does; slow machines get their time."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if found:
                return found
            await asyncio.sleep(0.02)
