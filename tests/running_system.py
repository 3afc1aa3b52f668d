"""The whole system as `./run` starts it, on a data folder and a port of its own."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

from launcher.issuer import mint_token
from launcher.ports import free_port

ROOT: Final = Path(__file__).resolve().parents[1]
STUDY: Final = "NCT03745417"


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """Where the gateway is, where the development issuer's key is, and whose processes they are."""

    url: str
    data: Path
    launcher: psutil.Process

    def bearer(self, *roles: str) -> dict[str, str]:
        """Return the header that makes a request come from these roles."""
        token = mint_token(self.data, roles=roles, studies=[STUDY])
        return {"Authorization": f"Bearer {token}"}

    def process(self, of: str) -> psutil.Process:
        """Return the process whose command names this: an application, or `-D` for Postgres."""
        [found] = [one for one in self.launcher.children() if of in one.cmdline()]
        return found


@contextmanager
def running_system(*options: str, until: str) -> Iterator[RunningSystem]:
    """Start the system, wait for a line that begins so, lend it, and stop it."""
    # Not below the runner's folder: Postgres runs as another user, who may not pass it.
    with tempfile.TemporaryDirectory(prefix="trial-events-") as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "data"
        port = free_port()
        process = _started(["--data", str(data), "--port", str(port), *options])
        assert process.stdout is not None
        try:
            _wait_for(process.stdout, until)
            yield RunningSystem(f"http://127.0.0.1:{port}", data, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def _started(options: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "launcher", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_for(output: IO[str], beginning: str) -> None:
    said = []
    for line in output:
        if line.startswith(beginning):
            return
        said.append(line)
    raise AssertionError("".join(said))
