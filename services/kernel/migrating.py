"""Migrations: one Alembic environment a service, its version table in the service's schema.

Migrations run as the schema's owner. The service's own role is then granted SELECT and
INSERT, and UPDATE only on the few small tables that are changed in place, so that even a
faulty service cannot rewrite the past.
"""

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.kernel.storage import KERNEL_TABLES, MARK_UPDATED_IN_PLACE, UPDATED_IN_PLACE

SERVICES: Final = ("enrolment", "scoring", "safety")


def migrate(service: str, dsn: str) -> None:
    """Bring the service's schema to the newest version, and its role's rights with it.

    `dsn` is the schema owner's.
    """
    asyncio.run(_with_connection(service, dsn, _upgrade))


def differences(service: str, dsn: str) -> list[Any]:
    """Return what the declared tables have and the migrated schema lacks, or the reverse."""
    found: list[Any] = []

    def compare(_service: str, connection: Connection) -> None:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found.extend(compare_metadata(context, _tables(service)))

    asyncio.run(_with_connection(service, dsn, compare))
    return [entry for entry in found if "alembic_version" not in str(entry)]


def write_revision(service: str, dsn: str, message: str) -> None:
    """Write a new revision from what the declared tables and the schema differ in."""

    def revise(_service: str, connection: Connection) -> None:
        config = _config(service)
        config.attributes["connection"] = connection
        so_far = len(list(ScriptDirectory.from_config(config).walk_revisions()))
        command.revision(config, message, autogenerate=True, rev_id=f"{so_far + 1:04}")

    asyncio.run(_with_connection(service, dsn, revise))


def run_environment(service: str, config: Config) -> None:
    """Run what Alembic asks for; called by each service's `migrations/env.py`."""
    from alembic import context  # noqa: PLC0415 - exists only while Alembic runs

    context.configure(
        connection=config.attributes["connection"],
        target_metadata=_tables(service),
        version_table_schema=None,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _with_connection(service: str, dsn: str, work: Any) -> None:
    address = dsn.replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(
        address,
        poolclass=NullPool,
        connect_args={"server_settings": {"search_path": service}},
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(lambda synchronous: work(service, synchronous))
    finally:
        await engine.dispose()


def _upgrade(service: str, connection: Connection) -> None:
    script = ScriptDirectory.from_config(_config(service))

    def steps(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001 - as Alembic's own commands do

    with EnvironmentContext(_config(service), script, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=_tables(service))
        environment.run_migrations()
    grant(service, connection, _tables(service))


def grant(service: str, connection: Connection, tables: MetaData) -> None:
    """Give the service's role, if there is one, its rights in the schema of its name."""
    role = connection.execute(
        text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": service}
    ).scalar()
    if role is None:
        return
    existing = inspect(connection).get_table_names(schema=service)
    for right in (
        f"GRANT USAGE ON SCHEMA {service} TO {service}",
        f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA {service} TO {service}",
        *(
            f"GRANT UPDATE ON {table} TO {service}"
            for table in _updated_in_place(tables)
            if table in existing  # a declared table may still wait for its revision
        ),
    ):
        connection.execute(text(right))


def _updated_in_place(tables: MetaData) -> list[str]:
    own = [table.name for table in tables.sorted_tables if table.info.get(MARK_UPDATED_IN_PLACE)]
    return [*UPDATED_IN_PLACE, *own]


def _tables(service: str) -> MetaData:
    own: MetaData = import_module(f"services.{service}.tables").TABLES
    together = MetaData()
    for table in (*KERNEL_TABLES.sorted_tables, *own.sorted_tables):
        table.to_metadata(together)
    return together


def _config(service: str) -> Config:
    config = Config()
    folder = Path(__file__).parents[1] / service / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config
