"""Many rows at once, by COPY in its binary format, as numpy arrays: no object a row.

Only columns of a fixed width that are never null can be read so; the row's type says which.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.storage import Connection

Rows = NDArray[np.void]
"""Rows as they came: the fields of the row's type, in network order."""

UUID_FIELD: Final = np.dtype([("high", ">u8"), ("low", ">u8")])
INSTANT_FIELD: Final = np.dtype(">i8")
"""Microseconds from the start of 2000, in UTC."""
SHORT_FIELD: Final = np.dtype(">i2")
INTEGER_FIELD: Final = np.dtype(">i4")
EPOCH_MICROSECONDS: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
"""What an instant of Postgres lacks to count from 1970."""

_HEADER: Final = 19
_TRAILER: Final = b"\xff\xff"
_PIECE: Final = 1 << 22


async def copy_rows(
    connection: Connection,
    query: str,
    *parameters: Any,
    fields: Mapping[str, np.dtype[Any]],
    take: Callable[[Rows], None],
) -> None:
    """Hand the query's rows to `take`, piece by piece, in a thread while the next are read.

    Raises ValueError for a column of another width than its field, or with a null.
    """
    reader = _Reader(fields, take)
    try:
        await connection.copy_from_query(query, *parameters, output=reader, format="binary")
        await reader.end()
    finally:
        await reader.rest()


class _Reader:
    """Cuts the stream into rows."""

    def __init__(self, fields: Mapping[str, np.dtype[Any]], take: Callable[[Rows], None]) -> None:
        lengths = [(f"{name} length", np.dtype(">i4")) for name in fields]
        columns = [pair for parts in zip(lengths, fields.items(), strict=True) for pair in parts]
        self._row = np.dtype([("columns", np.dtype(">i2")), *columns])
        self._fields = fields
        self._take = take
        self._held = bytearray()
        self._skipped = _HEADER
        self._taking: asyncio.Future[None] | None = None

    async def __call__(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > _PIECE:
            await self._hand_on()

    async def end(self) -> None:
        """Hand on what is left; raises ValueError where the stream does not end as it must."""
        await self._hand_on()
        await self._taken()
        if bytes(self._held) != _TRAILER:
            raise ValueError("The rows are not of the width that their type says.")

    async def rest(self) -> None:
        """Wait until nothing is being taken any more, however it ends."""
        if self._taking is not None:
            await asyncio.gather(self._taking, return_exceptions=True)

    async def _taken(self) -> None:
        """Wait for the piece before: they are taken in order."""
        if self._taking is not None:
            taking, self._taking = self._taking, None
            await taking

    async def _hand_on(self) -> None:
        start, self._skipped = self._skipped, 0
        size = self._row.itemsize
        so_many = (len(self._held) - start) // size
        end = start + so_many * size
        rows = np.frombuffer(bytes(self._held[start:end]), self._row)
        del self._held[:end]
        await self._taken()
        self._taking = asyncio.ensure_future(asyncio.to_thread(self._check_and_take, rows))

    def _check_and_take(self, rows: Rows) -> None:
        is_right = rows["columns"] == len(self._fields)
        for name, field in self._fields.items():
            is_right &= rows[f"{name} length"] == field.itemsize
        if not is_right.all():
            raise ValueError("A column has another width than its type says, or a null.")
        self._take(rows)
