"""Commands of the documentation are run as they stand, against a system of their own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from tests.documentation.pages import holds, steps
from tests.running_system import ROOT, RunningSystem, running_system

README: Final = ROOT / "README.md"
END_OF_STEP: Final = "\n=== end of step ===\n"
PORT: Final = "http://127.0.0.1:8080"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    with running_system(until="Audit trail:") as running:
        yield running


def run_in_bash(commands: list[str], system: RunningSystem) -> list[str]:
    """Return what each block of commands printed; all run in one shell that stops at a fault."""
    bash = shutil.which("bash")
    assert bash is not None
    script = "".join(f"{one}\nprintf %s '{END_OF_STEP}'\n" for one in commands)
    # `./run` would prepare an environment of its own beside the tests'.
    token = f"'{sys.executable}' -P -m launcher --data '{system.data}' token"
    script = script.replace("./run token", token).replace(PORT, system.url)
    assert "./run" not in script
    assert "8080" not in script
    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split(END_OF_STEP)[:-1]


@pytest.mark.parametrize("page", ["README.md", "docs/integrating.md", "docs/auditing.md"])
def test_commands_answer_what_the_page_shows(system: RunningSystem, page: str) -> None:
    names, *tour = steps(README)
    followed = tour if page == "README.md" else list(steps(ROOT / page))
    _, *printed = run_in_bash([commands for commands, _ in (names, *followed)], system)
    assert len(printed) == len(followed)
    assert any(shown is not None for _, shown in followed)
    for answer, (commands, shown) in zip(printed, followed, strict=True):
        if shown is not None:
            assert holds(json.loads(answer), json.loads(shown)), (commands, answer)


def test_registering_again_is_said_to_change_nothing(system: RunningSystem) -> None:
    tour = list(steps(README))
    names, register = tour[0][0], tour[1][0].replace("TOUR-1", "TOUR-2")
    *_, again = run_in_bash([names, register, register], system)
    assert json.loads(again)["write"] == "unchanged"
