"""The database of one service: its pools, its codecs, and connections that come back.

Everything runs as the service's own role with the service's schema first on the search
path, so that no statement names a schema.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.kernel.exact_json import canonical_json, parse_json
from services.kernel.problems import Unavailable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.CannotConnectNowError,
)
"""What asyncpg raises when the server goes away or comes back."""

_PATIENCE_SECONDS: Final = 5.0
_COMMAND_SECONDS: Final = 30.0


class Database:
    """A service's database: a pool for reading, dedicated connections for writing."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self.schema = schema
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Prepare the pool; it connects when first used, so that the order of starts is free."""
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=8,
            timeout=_PATIENCE_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            max_inactive_connection_lifetime=60,
            init=_prepare,
            reset=_leave_as_is,
            server_settings=self._server_settings(),
        )

    async def close(self) -> None:
        """Close the pool, at once if readers do not end."""
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), _PATIENCE_SECONDS)
            except TimeoutError:
                self._pool.terminate()

    @asynccontextmanager
    async def pooled(self) -> AsyncIterator[Connection]:
        """Lend a connection of the pool, for reading and for small writes beside the write path.

        Raises Unavailable while the server cannot be reached.
        """
        if self._pool is None:
            raise Unavailable("The database is not open.")
        try:
            async with self._pool.acquire(timeout=_PATIENCE_SECONDS) as connection:
                yield connection
        except LOST:
            raise Unavailable("The database cannot be reached.") from None

    async def connect(self) -> Connection:
        """Open a connection of one's own."""
        connection: Connection = await asyncpg.connect(
            self._dsn,
            timeout=_PATIENCE_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            server_settings=self._server_settings(),
        )
        await _prepare(connection)
        return connection

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator[Connection]:
        """Open a connection of one's own, and end it however its use ends."""
        connection = await self.connect()
        try:
            yield connection
        finally:
            connection.terminate()

    def _server_settings(self) -> dict[str, str]:
        return {
            "application_name": f"trial-{self.schema}",
            "search_path": self.schema,
            "idle_in_transaction_session_timeout": "10s",
            "lock_timeout": "5s",
            "statement_timeout": f"{_COMMAND_SECONDS:.0f}s",
            "jit": "off",
            "timezone": "UTC",
        }


class Line:
    """One dedicated connection that is opened again when it is lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None

    async def connection(self) -> Connection:
        """Return the open connection, waiting a few seconds for the server if need be.

        Raises Unavailable when it does not come back in time.
        """
        patience = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while self._connection is None or self._connection.is_closed():
            try:
                self._connection = await self._database.connect()
            except (*LOST, asyncpg.PostgresError):
                if asyncio.get_running_loop().time() > patience:
                    raise Unavailable("The database cannot be reached.") from None
                await asyncio.sleep(0.1)
        return self._connection

    def drop(self) -> None:
        """Forget the connection, whatever state it is in."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def _prepare(connection: Connection) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode, decoder=_decode, format="text"
    )
    await connection.set_type_codec(
        "uuid", schema="pg_catalog", encoder=_uuid_bytes, decoder=_uuid, format="binary"
    )


async def _leave_as_is(_connection: Connection) -> None:
    """Skip the pool's reset: readers change no session state, and it costs a round trip."""


def _encode(value: Any) -> str:
    return str(canonical_json(value), "utf-8")


def _decode(text: str) -> Any:
    return parse_json(text.encode())


def _uuid_bytes(value: UUID) -> bytes:
    return value.bytes


def _uuid(raw: bytes) -> UUID:
    return UUID(bytes=bytes(raw))
