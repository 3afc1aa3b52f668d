"""The data folder: what a run keeps between its starts, and who holds it now."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_OWNER_ONLY = 0o600


class Held(Exception):  # noqa: N818 - states a fact
    """Another run holds the folder."""


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold the lock file; it is let go when the process ends, however it ends.

    Raises Held.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode().strip() or "unknown"
            raise Held(f"{lock.parent} is in use by process {holder}.") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def password(folder: Path, name: str) -> str:
    """Return the password kept for the name, made at the first call."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{name}.password"
    if not kept.exists():
        write_once(kept, secrets.token_hex(24))
    return kept.read_text()


def write_once(path: Path, text: str, mode: int = _OWNER_ONLY) -> None:
    """Write the file whole and durably, unless another process was first."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _write_durably(draft, text, mode)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def write_json(path: Path, value: Any) -> None:
    """Replace the file's content in one step."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _write_durably(draft, json.dumps(value), _OWNER_ONLY)
    draft.replace(path)


def _write_durably(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
