import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from launcher.data_folder import Held
from launcher.embedded_postgres import EmbeddedPostgres, servers_on

OWNER = """
import sys, time
from pathlib import Path
from launcher.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print("started", flush=True)
time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "a place"


@pytest.fixture
def server(place: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(place)
    made.start()
    yield made
    made.stop()


def ask(dsn: str, statement: str) -> Any:
    async def connected() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(connected())


def wait_until_ready(server: EmbeddedPostgres) -> None:
    deadline = time.monotonic() + 30
    while not server.is_ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_server_comes_back_with_what_was_committed(server: EmbeddedPostgres) -> None:
    dsn = server.dsn("postgres")
    ask(dsn, "CREATE TABLE kept AS SELECT 42 AS number")
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    server.launch()
    wait_until_ready(server)
    assert ask(dsn, "SELECT number FROM kept") == 42


def test_server_is_durable_private_and_speaks_utf8(server: EmbeddedPostgres, place: Path) -> None:
    dsn = server.dsn("postgres")
    assert ask(dsn, "SELECT current_setting('fsync') || current_setting('jit')") == "onoff"
    assert ask(dsn, "SELECT datlocale FROM pg_database LIMIT 1") == "C.UTF-8"
    assert (place / "postgres.password").stat().st_mode & 0o077 == 0
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(server.dsn("postgres", user_password="guess"), "SELECT 1")


def test_second_start_of_a_folder_is_refused(server: EmbeddedPostgres, place: Path) -> None:
    with pytest.raises(Held, match=str(os.getpid())):
        EmbeddedPostgres(place).start()
    assert ask(server.dsn("postgres"), "SELECT 1") == 1


def test_two_folders_run_side_by_side(server: EmbeddedPostgres, tmp_path: Path) -> None:
    other = EmbeddedPostgres(tmp_path / "other", durable=False)
    other.start()
    try:
        ask(other.dsn("postgres"), "CREATE TABLE here AS SELECT 1")
        assert ask(server.dsn("postgres"), "SELECT to_regclass('here')") is None
    finally:
        other.stop()


def test_orphan_of_a_killed_owner_is_stopped_by_the_next_start(place: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, place], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with closing(owner.stdout):
        assert owner.stdout.readline() == b"started\n"
        orphans = servers_on(place / "data")
        orphans[0].suspend()  # so that it cannot leave with its owner
        owner.kill()
        owner.wait()
    orphans[0].resume()
    server = EmbeddedPostgres(place)
    server.start()
    try:
        assert server.process is not None
        assert orphans[0] not in servers_on(place / "data")
        assert ask(server.dsn("postgres"), "SELECT 1") == 1
    finally:
        server.stop()
    assert servers_on(place / "data") == []


def test_stranger_with_the_number_of_a_dead_server_is_left_alone(place: Path) -> None:
    first = EmbeddedPostgres(place, durable=False)
    first.start()
    first.stop()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        claim = f"{stranger.pid}\n{place / 'data'}\n0\n5432\n\n127.0.0.1\n0\nready\n"
        (place / "data" / "postmaster.pid").write_text(claim)
        again = EmbeddedPostgres(place, durable=False)
        again.start()
        assert ask(again.dsn("postgres"), "SELECT 1") == 1
        again.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("claim", [None, "", "{pid}\n", "{pid}\nstarting\n", "1\nready\n"])
def test_server_that_has_not_said_so_is_not_ready(place: Path, claim: str | None) -> None:
    server = EmbeddedPostgres(place)
    with subprocess.Popen(["sleep", "60"]) as starting:
        server.process = starting
        if claim is not None:
            (place / "data").mkdir(parents=True)
            written = claim.format(pid=starting.pid)
            (place / "data" / "postmaster.pid").write_text(written)
        assert not server.is_ready()
        starting.kill()


def test_cluster_of_a_killed_initdb_is_made_anew(place: Path) -> None:
    half = place / "draft" / "data"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(place, durable=False)
    server.start()
    assert ask(server.dsn("postgres"), "SELECT 1") == 1
    server.stop()
    assert not (place / "draft").exists()


def test_server_stops_when_its_owner_is_killed(place: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, place], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with closing(owner.stdout):
        owner.stdout.readline()
        servers = servers_on(place / "data")
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    if sys.platform == "linux":
        assert psutil.wait_procs(servers, timeout=10)[1] == []


@pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root's server needs another user"
)
def test_root_may_keep_the_data_where_others_may_not_pass(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "postgres", durable=False)
    server.start()
    try:
        assert server.process is not None
        assert psutil.Process(server.process.pid).uids().effective != 0
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        [held] = [line.split()[1] for line in status.splitlines() if line.startswith("CapPrm")]
        assert int(held, 16).bit_count() <= 1
        assert ask(server.dsn("postgres"), "SELECT 1") == 1
    finally:
        server.stop()
