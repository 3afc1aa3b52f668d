import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from launcher.databases import SERVICES, Addresses, is_empty, prepare_embedded
from launcher.embedded_postgres import EmbeddedPostgres
from services.kernel.migrating import migrate

Places = dict[str, Addresses]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("databases")
    server = EmbeddedPostgres(folder / "postgres", durable=False)
    server.start()
    try:
        yield prepared(server, folder)
    finally:
        server.stop()


def prepared(server: EmbeddedPostgres, folder: Path) -> Places:
    # Twice: what is there already does not disturb.
    for _ in range(2):
        places = asyncio.run(prepare_embedded(server, folder / "passwords"))
        for service in SERVICES:
            migrate(service, places[service].owner)
    return places


def ask(dsn: str, statement: str) -> Any:
    async def connected() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(connected())


@pytest.mark.parametrize("service", SERVICES)
def test_migrated_service_is_empty_at_first(places: Places, service: str) -> None:
    assert asyncio.run(is_empty(places[service], service))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE scoring.event SET body = ''",
        "DELETE FROM scoring.event",
        "TRUNCATE scoring.event",
        "DROP TABLE scoring.event",
        "CREATE TABLE scoring.own (id int)",
        "CREATE TABLE public.own (id int)",
        "CREATE TEMPORARY TABLE own (id int)",
        "SELECT * FROM safety.event",
        "SELECT pg_read_file('/etc/hostname')",
    ],
)
def test_service_can_neither_rewrite_nor_look_elsewhere(places: Places, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        ask(places["scoring"].service, statement)


def test_passwords_differ(places: Places) -> None:
    secrets = {
        dsn.split(":")[2] for place in places.values() for dsn in (place.owner, place.service)
    }
    assert len(secrets) == 6
