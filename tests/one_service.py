"""What the tests of one service stand on: a database of its own, and feeds without news."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Final
from uuid import uuid4

import asyncpg

from services.kernel.migrating import migrate

NOBODY: Final = "http://127.0.0.1:9"
"""Where no service listens."""


async def run(dsn: str, *statements: str) -> None:
    """Run statements one by one, as whom the address names."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def service_database(admin_dsn: str, service: str) -> AsyncIterator[str]:
    """Lend a migrated database of its own, as its owner sees it; drop it at the end."""
    name = f"{service}_{uuid4().hex[:12]}"
    await run(admin_dsn, f"CREATE DATABASE {name}")
    dsn = f"{admin_dsn.rpartition('/')[0]}/{name}"
    await run(dsn, f"CREATE SCHEMA {service}")
    await asyncio.to_thread(migrate, service, dsn)
    yield dsn
    await run(admin_dsn, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def silent_feed() -> AsyncIterator[str]:
    """Lend a service whose feed has no news: it answers at once, or holds a long poll."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"wait=0" not in head:
                    await reader.read()  # a long poll: held until the caller goes
                    return
                body = b'{"items":[]}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
