"""Each container's command, with its environment, as processes on this machine."""

import asyncio
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest
from joserfc.jwk import ECKey

from launcher.embedded_postgres import EmbeddedPostgres
from launcher.ports import free_port
from services.kernel.exact_json import canonical_json
from tests.deployment.compose_file import ROOT, example_variables, read_compose

SERVICES: Final = ("enrolment", "scoring", "safety")
PASSWORD: Final = "word"
START_SECONDS: Final = 60


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    # A server of its own: the roles have the names of the services, and roles are server-wide.
    # Not below the runner's folder: Postgres runs as another user, who may not pass it.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        running = EmbeddedPostgres(Path(folder) / "postgres", durable=False)
        running.start()
        yield running
        running.stop()


@pytest.fixture(scope="module")
async def compose(server: EmbeddedPostgres, tmp_path_factory: Any) -> dict[str, Any]:
    """The file, its host names and passwords replaced by what exists here."""
    connection = await asyncpg.connect(server.dsn("postgres"))
    await connection.execute("CREATE DATABASE trial")
    await connection.close()
    keys = tmp_path_factory.mktemp("keys") / "jwks.json"
    keys.write_bytes(canonical_json({"keys": [ECKey.generate_key().as_dict(private=False)]}))
    issuer = {"issuer": "https://issuer.test", "audience": "trial-events", "jwks": str(keys)}
    stated = {
        **dict.fromkeys(example_variables(), PASSWORD),
        "TRIAL_ISSUERS": canonical_json([issuer]).decode(),
        "GATEWAY_PORT": "8080",
    }
    return read_compose(stated)


def _here(value: str, server: EmbeddedPostgres) -> str:
    local = value.replace("@postgres:5432/", f"@127.0.0.1:{server.port}/")
    if "//postgres:" in local:
        local = server.dsn("trial")
    for name in SERVICES:
        local = local.replace(f"http://{name}:", "http://127.0.0.1:")
    return local


@asynccontextmanager
async def running(
    described: Mapping[str, Any], server: EmbeddedPostgres, port: int = 0
) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [str(port) if word.isdigit() else word for word in described["command"]]
    command = [word.replace("0.0.0.0", "127.0.0.1") for word in command]
    environment = {name: _here(value, server) for name, value in described["environment"].items()}
    scripts = sysconfig.get_path("scripts")
    path = f"{scripts}{os.pathsep}{Path(sys.executable).parent}"
    program = shutil.which(command[0], path=path)
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        cwd=ROOT,
        env={"PATH": path, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture(scope="module")
async def prepared(compose: dict[str, Any], server: EmbeddedPostgres) -> None:
    async with running(compose["services"]["prepare"], server) as process:
        assert await process.wait() == 0


async def _answer(port: int, path: str, process: asyncio.subprocess.Process) -> httpx.Response:
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as client:
        while True:
            assert process.returncode is None
            try:
                answer = await client.get(f"http://127.0.0.1:{port}{path}")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                if answer.status_code == 200:
                    return answer
                await asyncio.sleep(0.1)


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_becomes_ready_and_stops_when_told(
    compose: dict[str, Any], server: EmbeddedPostgres, name: str
) -> None:
    port = free_port()
    async with running(compose["services"][name], server, port) as process:
        answer = await _answer(port, "/health/ready", process)
        assert answer.json() == {"service": name, "status": "ready", "faults": []}
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)
        assert process.returncode in {0, -signal.SIGTERM}


@pytest.mark.usefixtures("prepared")
async def test_preparing_again_changes_nothing(
    compose: dict[str, Any], server: EmbeddedPostgres
) -> None:
    async with running(compose["services"]["prepare"], server) as process:
        assert await process.wait() == 0


@pytest.mark.usefixtures("prepared")
async def test_a_role_reads_no_other_services_schema(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.dsn("trial", "scoring", PASSWORD))
    try:
        assert await connection.fetchval("SELECT count(*) FROM scoring.event") == 0
        for forbidden in (
            "SELECT * FROM enrolment.event",
            "UPDATE scoring.event SET body = ''",
            "DELETE FROM scoring.event",
            "CREATE TABLE scoring.mine ()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(forbidden)
    finally:
        await connection.close()


async def test_the_preparation_says_which_variable_is_missing(
    compose: dict[str, Any], server: EmbeddedPostgres
) -> None:
    described = compose["services"]["prepare"]
    async with running({**described, "environment": {}}, server) as process:
        assert await process.wait() == 2
