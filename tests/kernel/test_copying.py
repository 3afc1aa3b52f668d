"""Rows come by COPY as they are, or not at all."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest

from services.scoring.scans.copying import (
    EPOCH_MICROSECONDS,
    INSTANT_FIELD,
    INTEGER_FIELD,
    SHORT_FIELD,
    UUID_FIELD,
    Rows,
    copy_rows,
)

PAIR: dict[str, np.dtype[Any]] = {"key": SHORT_FIELD, "value": INTEGER_FIELD}


@pytest.fixture
async def connection(postgres_dsn: str) -> AsyncIterator[Any]:
    opened = await asyncpg.connect(postgres_dsn)
    yield opened
    await opened.close()


async def copied(connection: Any, query: str, *parameters: Any, **fields: Any) -> list[Rows]:
    pieces: list[Rows] = []
    row: dict[str, np.dtype[Any]] = fields or PAIR
    await copy_rows(connection, query, *parameters, fields=row, take=pieces.append)
    return pieces


async def test_each_field_holds_what_its_column_did(connection: Any) -> None:
    identity = uuid4()
    query = "SELECT $1::uuid, timestamptz '2021-09-15T10:00:00.000001+08:00', (-3)::int2, 4"
    fields = {"id": UUID_FIELD, "at": INSTANT_FIELD, "short": SHORT_FIELD, "whole": INTEGER_FIELD}
    (rows,) = await copied(connection, query, identity, **fields)
    (row,) = rows
    assert UUID(int=(int(row["id"]["high"]) << 64) | int(row["id"]["low"])) == identity
    assert int(row["at"]) + EPOCH_MICROSECONDS == 1_631_671_200_000_001
    assert (row["short"], row["whole"]) == (-3, 4)


async def test_many_rows_come_in_pieces_and_in_order(connection: Any) -> None:
    query = "SELECT (n % 100)::int2, n FROM generate_series(1, 400000) AS n"
    pieces = await copied(connection, query)
    assert len(pieces) > 1
    values = np.concatenate([piece["value"] for piece in pieces])
    assert values.tolist() == list(range(1, 400_001))


async def test_no_row_is_no_piece_of_any_length(connection: Any) -> None:
    pieces = await copied(connection, "SELECT 1::int2, 2 WHERE false")
    assert sum(map(len, pieces)) == 0


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1::int2, 2::int8",
        "SELECT 1::int2, NULL::int4",
        "SELECT 1::int2",
        "SELECT 1::int2, n FROM (VALUES (1), (NULL), (2)) AS rows (n)",
    ],
)
async def test_what_does_not_fit_its_type_is_refused(connection: Any, query: str) -> None:
    with pytest.raises(ValueError, match="type says"):
        await copied(connection, query)
