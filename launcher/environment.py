"""Makes `.venv` from a hashed lock, with the standard library alone.

Any Python from 3.11 runs this file, before anything is installed. What was installed is
stamped last, so that an interrupted installation is seen and done anew.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""


class NotInstalled(Exception):  # noqa: N818 - states a fact
    """The environment could not be made."""


def is_current(root: Path, lock_name: str) -> bool:
    """Tell whether `.venv` holds what the lock names, for the Python that it was made with."""
    folder = root / ".venv"
    stamp = _stamp(folder, lock_name)
    return (
        os.access(folder / "bin" / "python", os.X_OK)
        and not _marker(folder).exists()
        and stamp.is_file()
        and stamp.read_text() == _fingerprint(root, lock_name)
    )


def prepare(root: Path, lock_name: str) -> None:
    """Make `.venv` current; of several starts at once one works and the others wait.

    Raises NotInstalled.
    """
    if is_current(root, lock_name):
        return
    with _alone(root):
        if not is_current(root, lock_name):
            _install(root, lock_name)


def _install(root: Path, lock_name: str) -> None:
    print(f"Preparing the environment from {lock_name} (once, about a minute) …", file=sys.stderr)
    folder = root / ".venv"
    python = folder / "bin" / "python"
    marker = _marker(folder)
    _stamp(folder, lock_name).unlink(missing_ok=True)
    if marker.exists() or not _works(python):
        # Files of a half-installed package look installed: nothing of them is kept.
        _empty(folder, marker)
        venv.create(folder, with_pip=True, symlinks=True)
    marker.touch()
    command = [str(python), "-m", "pip", "install", "-qq", "--no-input"]
    # The lock is complete. Left to resolve, an older pip takes the newest release of a package
    # that another asks for with an extra, and then misses its hash.
    command += ["--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["-r", str(root / lock_name)]
    # A user's own setting must not send the packages elsewhere.
    elsewhere = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON"}
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    if subprocess.run(command, env=environment, check=False).returncode != 0:  # noqa: S603
        raise NotInstalled(f"The packages of {lock_name} could not be installed.")
    _stamp(folder, lock_name).write_text(_fingerprint(root, lock_name))
    marker.unlink()


def _empty(folder: Path, marker: Path) -> None:
    folder.mkdir(exist_ok=True)
    marker.touch()
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != marker:
            entry.unlink()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    # The lock is on a folder of the checkout: it needs no file and dies with its holder.
    descriptor = os.open(root / "launcher", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _works(python: Path) -> bool:
    # The base interpreter may have been upgraded or removed since.
    try:
        found = subprocess.run(  # noqa: S603
            [python, "-c", "import pip"], check=False, capture_output=True
        )
    except OSError:
        return False
    return found.returncode == 0


def _fingerprint(root: Path, lock_name: str) -> str:
    digest = hashlib.sha256((root / lock_name).read_bytes()).hexdigest()
    return f"{digest} {(root / '.venv' / 'bin' / 'python').resolve()}\n"


def _stamp(folder: Path, lock_name: str) -> Path:
    return folder / f"installed-{lock_name}"


def _marker(folder: Path) -> Path:
    return folder / "installing"


def main(arguments: list[str]) -> int:
    """Prepare the environment, or with `--check` only tell whether it is current."""
    if arguments[0] == "--check":
        return 0 if is_current(ROOT, arguments[1]) else 1
    try:
        prepare(ROOT, arguments[0])
    except NotInstalled as fault:
        print(fault, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
