"""One throwaway Postgres for the whole run, shared by all of its workers."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launcher.embedded_postgres import EmbeddedPostgres

_SERVER = pytest.StashKey[tuple[EmbeddedPostgres, Path]]()


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Start the server in the controlling process only."""
    if _is_worker(config) or config.option.collectonly:
        return
    folder = Path(tempfile.mkdtemp(prefix="trial-events-tests-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "postgres", durable=False)
    server.start()
    config.stash[_SERVER] = (server, folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server and remove all that it wrote."""
    if _SERVER in config.stash:
        server, folder = config.stash[_SERVER]
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the server is."""
    server, _ = node.config.stash[_SERVER]
    node.workerinput["postgres_dsn"] = server.dsn("postgres")


@pytest.fixture(scope="session")
def postgres_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """The superuser's address of the run's Postgres."""
    config = request.config
    if _is_worker(config):
        yield config.workerinput["postgres_dsn"]  # type: ignore[attr-defined]
    else:
        yield config.stash[_SERVER][0].dsn("postgres")
