import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import environment

LOCK = "requirements.lock"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose lock names nothing, in a folder with a blank in its name."""
    root = tmp_path / "a checkout"
    (root / "launcher").mkdir(parents=True)
    (root / LOCK).write_text("")
    for name in ("environment.py", "environment.sh"):
        shutil.copy(environment.ROOT / "launcher" / name, root / "launcher")
    return root


@pytest.fixture
def installed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Without pip, which takes seconds to unpack and would have nothing to install.
    made: list[Path] = []

    def make(folder: Path, **_options: object) -> None:
        made.append(folder)
        (folder / "bin").mkdir()
        (folder / "bin" / "python").symlink_to(sys.executable)

    monkeypatch.setattr("venv.create", make)
    environment.prepare(checkout, LOCK)
    assert made == [checkout / ".venv"]
    return checkout


def test_environment_is_current_until_its_lock_changes(installed: Path) -> None:
    assert environment.is_current(installed, LOCK)
    (installed / LOCK).write_text("# another\n")
    assert not environment.is_current(installed, LOCK)


def test_interrupted_installation_is_begun_anew(installed: Path) -> None:
    folder = installed / ".venv"
    (folder / "installing").touch()
    (folder / "half-unpacked").mkdir()
    assert not environment.is_current(installed, LOCK)
    environment.prepare(installed, LOCK)
    assert environment.is_current(installed, LOCK)
    assert not (folder / "half-unpacked").exists()


def test_environment_of_a_vanished_python_is_made_anew(installed: Path) -> None:
    python = installed / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(installed / "gone")
    assert not environment.is_current(installed, LOCK)
    environment.prepare(installed, LOCK)
    assert environment.is_current(installed, LOCK)


def test_failed_installation_is_said_and_not_stamped(installed: Path) -> None:
    (installed / LOCK).write_text("no hash here\n")
    with pytest.raises(environment.NotInstalled, match=LOCK):
        environment.prepare(installed, LOCK)
    assert not environment.is_current(installed, LOCK)


def test_commands_work_from_anywhere(installed: Path, tmp_path: Path) -> None:
    run = installed / "run"
    shutil.copy(environment.ROOT / "run", run)
    (installed / "launcher" / "__main__.py").write_text("import sys; print(sys.argv[1:])")
    (tmp_path / "launcher.py").write_text("raise SystemExit('the wrong launcher')")
    found = subprocess.run(
        [run, "--data", "a b"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == "['--data', 'a b']\n"
    assert found.stderr == ""


def test_machine_without_python_is_told_what_it_needs(checkout: Path) -> None:
    script = f'root="{checkout}"; . "$root/launcher/environment.sh"; prepare_environment {LOCK}'
    found = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 3
    assert "Python 3.11 or newer" in found.stderr
