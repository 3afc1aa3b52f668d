"""Compares migrations with the declared tables, and writes new ones, on a throwaway server.

`python -m launcher.migrations check` names what differs;
`python -m launcher.migrations write SERVICE MESSAGE` writes a revision from it.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launcher.databases import SERVICES, Addresses, prepare_embedded
from launcher.embedded_postgres import EmbeddedPostgres
from services.kernel.migrating import differences, migrate, write_revision


@contextmanager
def migrated(services: tuple[str, ...] = SERVICES) -> Iterator[dict[str, Addresses]]:
    """Lend the addresses of freshly migrated schemas."""
    with tempfile.TemporaryDirectory(prefix="trial-events-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        postgres = EmbeddedPostgres(folder / "postgres", durable=False)
        try:
            postgres.start()
            places = asyncio.run(prepare_embedded(postgres, folder / "passwords"))
            for service in services:
                migrate(service, places[service].owner)
            yield places
        finally:
            postgres.stop()


def check() -> int:
    """Print what the migrations lack, or have too much; return the exit code."""
    with migrated() as places:
        found = {
            service: differences(service, address.owner) for service, address in places.items()
        }
    for service, differing in found.items():
        for entry in differing:
            print(f"{service}: {entry}")
    if any(found.values()):
        print("Write them with: python -m launcher.migrations write SERVICE MESSAGE")
        return 1
    print("Migrations are up to date.")
    return 0


def write(service: str, message: str) -> int:
    """Write a revision of the service from what its tables and its migrations differ in."""
    with migrated((service,)) as places:
        write_revision(service, places[service].owner, message)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m launcher.migrations")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="compare with the declared tables")
    writing = commands.add_parser("write", help="write a revision from the differences")
    writing.add_argument("service", choices=SERVICES)
    writing.add_argument("message")
    chosen = parser.parse_args(arguments)
    return check() if chosen.command == "check" else write(chosen.service, chosen.message)


if __name__ == "__main__":
    sys.exit(main())
