"""The database: one schema a service, with an owner for migrations and a role for service.

The service's role may do only what migrations grant it: it can add, and not rewrite.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from launcher.data_folder import password
from launcher.embedded_postgres import EmbeddedPostgres

DATABASE: Final = "trial"
SERVICES: Final = ("enrolment", "scoring", "safety")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where one service's schema is: as its owner, who migrates, and as the service's role."""

    owner: str
    service: str


def addresses(
    postgres: EmbeddedPostgres, passwords: Path, database: str = DATABASE
) -> dict[str, Addresses]:
    """Return each service's addresses in a database of the embedded server."""
    return {
        service: Addresses(
            *(
                postgres.dsn(database, role, password(passwords, role))
                for role in (_owner(service), service)
            )
        )
        for service in SERVICES
    }


async def prepare_embedded(
    postgres: EmbeddedPostgres, passwords: Path, database: str = DATABASE
) -> dict[str, Addresses]:
    """Make roles, database and schemas where they are missing, and return the addresses."""
    roles = {
        role: password(passwords, role)
        for service in SERVICES
        for role in (_owner(service), service)
    }
    await _make_database(postgres.dsn("postgres"), database, roles)
    await _make_schemas(postgres.dsn(database), roles)
    return addresses(postgres, passwords, database)


async def prepare_given(given: Mapping[str, Addresses]) -> None:
    """Make the schemas of services whose database was given by its address."""
    for service, address in given.items():
        connection = await asyncpg.connect(address.owner)
        try:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {service}")
        finally:
            await connection.close()


async def is_empty(address: Addresses, service: str) -> bool:
    """Tell whether the service has never recorded anything."""
    connection = await asyncpg.connect(address.service)
    try:
        return not await connection.fetchval(f"SELECT EXISTS (SELECT FROM {service}.event)")
    finally:
        await connection.close()


def _owner(service: str) -> str:
    return f"{service}_owner"


async def _make_database(dsn: str, database: str, roles: Mapping[str, str]) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        known = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for role, secret in roles.items():
            verb = "ALTER" if role in known else "CREATE"
            # The password is hexadecimal; DDL takes no parameters.
            await connection.execute(f"{verb} ROLE {role} LOGIN PASSWORD '{secret}'")
        if not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database
        ):
            await connection.execute(f"CREATE DATABASE {database}")
        await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {_listed(roles)}")
    finally:
        await connection.close()


async def _make_schemas(dsn: str, roles: Iterable[str]) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for service in SERVICES:
            owner = _owner(service)
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {service} AUTHORIZATION {owner}")
            await connection.execute(f"GRANT USAGE ON SCHEMA {service} TO {service}")
        await connection.execute(f"REVOKE ALL ON SCHEMA public FROM PUBLIC, {_listed(roles)}")
    finally:
        await connection.close()


def _listed(roles: Iterable[str]) -> str:
    return ", ".join(roles)
