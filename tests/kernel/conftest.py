"""The scratch service, in one process and in two, on a database of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from services.kernel.exact_json import canonical_json
from tests.kernel.scratch_calls import Scratch, Throwaway, serving, throwaway


@pytest.fixture(scope="session")
def signing_key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "test", "use": "sig", "alg": "ES256"})


@pytest.fixture(scope="session")
def signing_key_set(signing_key: ECKey, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_bytes(canonical_json({"keys": [signing_key.as_dict(private=False)]}))
    return str(path)


@pytest.fixture
async def place(postgres_dsn: str) -> AsyncIterator[Throwaway]:
    async with throwaway(postgres_dsn) as made:
        yield made


@pytest.fixture
async def scratch(
    place: Throwaway, signing_key: ECKey, signing_key_set: str
) -> AsyncIterator[Scratch]:
    async with serving(place, signing_key, signing_key_set) as running:
        yield running


@pytest.fixture
async def second(
    place: Throwaway, signing_key: ECKey, signing_key_set: str
) -> AsyncIterator[Scratch]:
    """Another process of the service on the same database."""
    async with serving(place, signing_key, signing_key_set) as running:
        yield running
