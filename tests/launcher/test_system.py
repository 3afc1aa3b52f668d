"""The launcher with stub applications: what dies is started again, nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
import pytest

from launcher.ports import free_port, is_free
from launcher.processes import end_left_behind, note_living

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Running:
    data: Path
    port: int
    process: subprocess.Popen[str]

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def answer(self) -> str:
        """Return what the gateway answers: its process number, or nothing while it is away."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        with closing(connection), suppress(OSError, HTTPException):
            connection.request("GET", "/")
            with connection.getresponse() as response:
                return response.read().decode()
        return ""

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)


def begin(data: Path, port: int, *more: str) -> Running:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.launcher.stub_system", data, str(port), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return Running(data, port, process)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def first_line(running: Running) -> str:
    assert running.process.stdout is not None
    return running.process.stdout.readline()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    system = begin(tmp_path / "the data", free_port())
    assert first_line(system) == f"ready http://127.0.0.1:{system.port}\n"
    yield system
    if system.process.poll() is None:
        system.end()
    assert system.process.stdout is not None
    system.process.stdout.close()


def test_system_heals_and_stops_in_order(running: Running) -> None:
    gateway = running.answer()
    os.kill(int(gateway), signal.SIGKILL)
    wait_for(lambda: running.answer() not in {"", gateway})

    [postgres] = [one for one in running.processes() if "-D" in one.cmdline()]
    postgres.kill()
    claim = running.data / "postgres" / "data" / "postmaster.pid"
    wait_for(lambda: _is_claimed_anew(claim, postgres.pid))

    processes = running.processes()
    assert running.end() == 0
    assert psutil.wait_procs(processes, timeout=5)[1] == []


def test_killed_launcher_blocks_no_second_start(running: Running) -> None:
    processes = running.processes()
    running.process.kill()
    running.process.wait()
    again = begin(running.data, running.port)
    assert again.process.stdout is not None
    with again.process.stdout:
        assert first_line(again).startswith("ready ")
        assert psutil.wait_procs(processes, timeout=5)[1] == []
        assert again.answer()
        assert again.end() == 0


def test_data_in_use_and_a_taken_port_are_said(running: Running, tmp_path: Path) -> None:
    second = begin(running.data, free_port())
    said, _ = second.process.communicate(timeout=20)
    assert second.process.returncode == 4
    assert f"in use by process {running.process.pid}" in said

    third = begin(tmp_path / "other", running.port)
    said, _ = third.process.communicate(timeout=20)
    assert third.process.returncode == 5
    assert "--port" in said


def test_application_that_cannot_start_ends_the_start(tmp_path: Path) -> None:
    broken = begin(tmp_path / "data", free_port(), "create_broken")
    said, _ = broken.process.communicate(timeout=30)
    assert broken.process.returncode == 1
    assert "a broken application" in said
    assert "did not become ready" in said


def test_process_of_another_program_is_never_ended(tmp_path: Path) -> None:
    register = tmp_path / "processes.json"
    note_living(register, [os.getpid()])
    noted = register.read_text().replace(f"[[{os.getpid()}, ", f"[[{os.getpid()}, 1")
    register.write_text(noted)
    end_left_behind(register)  # the same number, another start: not one of ours
    assert not register.exists()


def test_port_that_is_listened_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not is_free(listener.getsockname()[1])


def _is_claimed_anew(claim: Path, former: int) -> bool:
    try:
        said = claim.read_text()
    except FileNotFoundError:  # between two servers there is none
        return False
    return said.endswith("ready   \n") and not said.startswith(f"{former}\n")
