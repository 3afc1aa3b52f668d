"""Child processes: each is started again when it dies, and none outlives the launcher."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import psutil

from launcher.data_folder import write_json
from launcher.ports import LOOPBACK
from launcher.unprivileged import becoming

START_SECONDS: Final = 90.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_STEADY_SECONDS: Final = 20.0
_GRACE_SECONDS: Final = 8.0
_POLL_SECONDS: Final = 0.05
_LOGGED_LINES: Final = 12


SERVER_OPTIONS: Final = (
    *("--http", "services.kernel.http.server:HttpConnection"),
    *("--no-access-log", "--no-server-header", "--no-proxy-headers"),
    *("--log-level", "warning"),
)
"""Of every process, here and in `compose.yaml`."""


class ProcessFailed(Exception):  # noqa: N818 - states a fact
    """A process did not become ready; says what it wrote last."""


class Supervised(Protocol):
    """What can be kept running."""

    name: str

    def launch(self) -> None:
        """Start the process."""

    def has_ended(self) -> bool:
        """Tell whether the process has ended."""

    async def is_ready(self) -> bool:
        """Tell whether the process can do its work."""

    def last_words(self) -> str:
        """Return the end of what the process wrote."""


@dataclass
class WebProcess:
    """One uvicorn process on a loopback port."""

    name: str
    application: str
    port: int
    environment: Mapping[str, str]
    folder: Path
    log: Path
    options: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def launch(self) -> None:
        """Start the process; what it writes is added to its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                web_command(self.application, self.port, self.options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                cwd=self.folder,
                # Out of reach of the terminal's Ctrl-C: the launcher stops its processes in order.
                start_new_session=True,
                # SIGKILL, because a port that is let go slowly would block the next start.
                preexec_fn=becoming(None, signal.SIGKILL),  # noqa: PLW1509 - only the loop's thread forks
            )

    def has_ended(self) -> bool:
        """Tell whether the process has ended."""
        return self.process is None or self.process.poll() is not None

    async def is_ready(self) -> bool:
        """Tell whether the process says that it can serve."""
        return await answers(self.port, "/health/ready")

    def last_words(self) -> str:
        """Return the end of the log."""
        return end_of(self.log)

    async def stop(self) -> None:
        """Ask the process to end, and end it if it does not in time."""
        if self.process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if not self.has_ended():
                self.process.send_signal(sign)
            deadline = asyncio.get_running_loop().time() + _GRACE_SECONDS
            while not self.has_ended() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - a Popen tells nobody
                await asyncio.sleep(_POLL_SECONDS)


def web_command(application: str, port: int, options: Sequence[str]) -> list[str]:
    """Return the command that serves an application factory on a loopback port."""
    return [
        *(sys.executable, "-P", "-m", "uvicorn", application, "--factory"),
        *("--host", LOOPBACK, "--port", str(port)),
        *SERVER_OPTIONS,
        *options,
    ]


async def answers(port: int, path: str) -> bool:
    """Tell whether a GET of the path is answered with 200, within two seconds."""
    request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(request.encode())
                status = await reader.readline()
            finally:
                writer.close()
    except OSError:  # a timeout is one
        return False
    return status.split(b" ")[1:2] == [b"200"]


async def keep_running(child: Supervised, started: Callable[[], None]) -> None:
    """Start the process again whenever it ends, until cancelled; `started` is told each time.

    The pause grows while it does not live long.
    """
    loop = asyncio.get_running_loop()
    pause, since = _FIRST_PAUSE_SECONDS, loop.time()
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        if not child.has_ended():
            continue
        if loop.time() - since > _STEADY_SECONDS:
            pause = _FIRST_PAUSE_SECONDS
        print(f"{child.name} has ended; it is started again.", flush=True)
        await asyncio.sleep(pause)
        pause, since = min(2 * pause, _LONGEST_PAUSE_SECONDS), loop.time()
        try:
            child.launch()
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is tried again
            print(f"{child.name}: {fault}", flush=True)
        started()


async def wait_until_ready(children: Sequence[Supervised]) -> None:
    """Return when all can do their work; raises ProcessFailed if one ends or takes too long."""
    await asyncio.gather(*(_wait_for(child) for child in children))


async def _wait_for(child: Supervised) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_SECONDS
    while not await child.is_ready():
        if child.has_ended() or loop.time() > deadline:
            raise ProcessFailed(f"{child.name} did not become ready.\n{child.last_words()}")
        await asyncio.sleep(_POLL_SECONDS)


async def stop_all(groups: Sequence[Sequence[Callable[[], Awaitable[None]]]]) -> None:
    """Stop one group after the other, the members of a group side by side."""
    for group in groups:
        await asyncio.gather(*(stop() for stop in group))


def note_living(register: Path, pids: Sequence[int]) -> None:
    """Write down which processes are ours, for the next start to recognise."""
    noted = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            noted.append([pid, psutil.Process(pid).create_time()])
    write_json(register, noted)


def end_left_behind(register: Path) -> None:
    """End what a killed launcher left behind, on systems that did not do so themselves.

    A process is ours only if its number and its time of start are the ones noted.
    """
    try:
        noted = json.loads(register.read_text())
    except (OSError, ValueError):
        return
    left = []
    for pid, created in noted:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.create_time() == created:
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=5)
    register.unlink()


def end_of(log: Path) -> str:
    """Return the log's last lines, after its name."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-_LOGGED_LINES:]
    except OSError:
        lines = []
    return "\n".join([f"The end of {log}:", *lines])


def rotate(log: Path) -> None:
    """Keep the log of the run before beside the new one."""
    if log.exists():
        os.replace(log, log.with_name(f"{log.name}.1"))  # noqa: PTH105
