"""One throwaway Postgres for the whole run, shared by all of its workers; an issuer in each."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from joserfc.jwk import ECKey
from xdist.scheduler import LoadScopeScheduling

from launcher.embedded_postgres import EmbeddedPostgres
from services.kernel.exact_json import canonical_json

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: item.path.parent.name != "contract")


class _Shared(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Gives one worker all tests of a file, or of a folder where they share a whole system."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder in _SHARING else file


_SHARING: Final = frozenset(
    f"tests/{name}" for name in ("access", "attacks", "audit", "contract", "gateway_visits")
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Share the tests out."""
    return _Shared(config, log)


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


@pytest.fixture(scope="session")
def issuer_key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "test", "use": "sig", "alg": "ES256"})


@pytest.fixture(scope="session")
def issuer_key_set(issuer_key: ECKey, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the issuer's key set."""
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_bytes(canonical_json({"keys": [issuer_key.as_dict(private=False)]}))
    return str(path)
