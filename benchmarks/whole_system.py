"""What a benchmark of several processes runs on: the system as `./run --empty` starts it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.stage import SITE, STUDY
from launcher.issuer import mint_token
from launcher.plan import APPLICATIONS, GATEWAY, ROOT
from launcher.ports import LOOPBACK, free_port

CONSENT = {
    "document_version": "1.2",
    "signed_at": "2021-09-01T09:00:00+08:00",
    "obtained_by": "dr-li",
    "scope": ["treatment", "data"],
}


@dataclass(frozen=True, slots=True)
class WholeSystem:
    """The port of each process, and the folder with the issuer's key."""

    ports: dict[str, int]
    data: Path

    def token(self, *roles: str, **claims: Any) -> str:
        """Return a token of these roles."""
        return mint_token(self.data, roles=roles, studies=[STUDY], **claims)

    def ask(
        self, role: str, method: str, path: str, content: Any, kind: str = ""
    ) -> httpx.Response:
        """Return the gateway's good answer to a request below the study's path."""
        headers = {"Authorization": f"Bearer {self.token(role)}"}
        headers["Content-Type"] = kind or "application/json"
        url = f"http://{LOOPBACK}:{self.ports[GATEWAY]}/v1/studies/{STUDY}{path}"
        body = {"content": content} if kind else {"json": content}
        return httpx.request(method, url, headers=headers, timeout=60, **body).raise_for_status()

    def participant(self) -> str:
        """Return the path of a participant just registered, who consented."""
        body = {"site": SITE, "external_id": "BENCH-1", "birth_date": "1985-04-12", "sex": "male"}
        registered = self.ask("coordinator", "POST", "/participants", body).json()
        path = f"/participants/{registered['id']}"
        self.ask("coordinator", "POST", f"{path}/consents", CONSENT)
        return path


@contextmanager
def whole_system() -> Iterator[WholeSystem]:
    """Start the system on a folder of its own, yield it, stop it."""
    with tempfile.TemporaryDirectory(prefix="trial-events-benchmark-") as name:
        Path(name).chmod(0o755)  # Postgres may run as another user
        data = Path(name) / "data"
        port = free_port()
        command = [sys.executable, "-P", "-m", "launcher", "--empty"]
        process = subprocess.Popen(  # noqa: S603 - our own
            [*command, "--data", str(data), "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            _wait_until_ready(process)
            yield WholeSystem(_ports(psutil.Process(process.pid)), data)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    said = []
    for line in process.stdout or ():
        if line.startswith("ready"):
            return
        said.append(line)
    raise SystemExit("".join(said))


def _ports(launcher: psutil.Process) -> dict[str, int]:
    commands = [child.cmdline() for child in launcher.children()]
    return {
        name: int(command[command.index("--port") + 1])
        for name, application in APPLICATIONS.items()
        for command in commands
        if application in command
    }
