"""The scratch service, in one process and in two, on a database of its own."""

from collections.abc import AsyncIterator

import pytest
from joserfc.jwk import ECKey

from tests.kernel.scratch_calls import Scratch, Throwaway, serving, throwaway


@pytest.fixture
async def place(postgres_dsn: str) -> AsyncIterator[Throwaway]:
    async with throwaway(postgres_dsn) as made:
        yield made


@pytest.fixture
async def scratch(
    place: Throwaway, issuer_key: ECKey, issuer_key_set: str
) -> AsyncIterator[Scratch]:
    async with serving(place, issuer_key, issuer_key_set) as running:
        yield running


@pytest.fixture
async def second(
    place: Throwaway, issuer_key: ECKey, issuer_key_set: str
) -> AsyncIterator[Scratch]:
    """Another process of the service on the same database."""
    async with serving(place, issuer_key, issuer_key_set) as running:
        yield running
