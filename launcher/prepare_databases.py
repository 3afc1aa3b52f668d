"""Makes a Postgres server ready for the services: a role and a schema each, migrated.

For servers that the launcher did not start, such as a container's:
`python -m launcher.prepare_databases`. What is there already is left as it is.

- `TRIAL_OWNER_URL`: the database, as the one who will own the schemas.
- `TRIAL_ENROLMENT_PASSWORD` and so on: the password of each service's role.
"""

import asyncio
import os
import sys
from typing import Final

import asyncpg

from services.kernel.migrating import SERVICES, migrate

_PATIENCE_SECONDS: Final = 60.0


class Missing(Exception):  # noqa: N818 - states a fact
    """A variable is not set."""


async def make_place(owner_url: str, service: str, password: str) -> None:
    """Make the service's role, with this password from now on, and its schema."""
    connection = await asyncpg.connect(owner_url)
    try:
        exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", service)
        verb = "ALTER" if exists else "CREATE"
        # The server quotes: these statements take no parameters.
        statement = await connection.fetchval(
            "SELECT format($1 || ' ROLE %I LOGIN PASSWORD %L', $2::text, $3::text)",
            verb,
            service,
            password,
        )
        await connection.execute(statement)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {service}")
        await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    finally:
        await connection.close()


async def wait_for_server(owner_url: str) -> None:
    """Return when the server accepts connections; raises OSError or its refusal in the end."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while True:
        try:
            connection = await asyncpg.connect(owner_url, timeout=5)
        except (OSError, asyncpg.CannotConnectNowError):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.5)
        else:
            await connection.close()
            return


def main() -> int:
    """Prepare every service's place; safe to run again."""
    try:
        owner_url = _variable("TRIAL_OWNER_URL")
        passwords = {
            service: _variable(f"TRIAL_{service.upper()}_PASSWORD") for service in SERVICES
        }
    except Missing as fault:
        print(fault, file=sys.stderr)
        return 2
    asyncio.run(wait_for_server(owner_url))
    for service, password in passwords.items():
        asyncio.run(make_place(owner_url, service, password))
        migrate(service, owner_url)
        print(f"{service}: ready")
    return 0


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise Missing(f"{name} is not set.")
    return value


if __name__ == "__main__":
    sys.exit(main())
