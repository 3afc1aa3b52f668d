"""Runs Postgres as an ordinary user where the launcher itself is root.

Postgres refuses to run as root, so it runs as `nobody` then. Where that user may not pass
the folders above the checkout (a root user's home has mode 0700), it is lent the one
capability to pass them, so that the data stay where they were asked to be.
"""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECUREBITS: Final = 28
_NO_SETUID_FIXUP: Final = 1 << 2
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522
_DAC_OVERRIDE: Final = 1
_DAC_READ_SEARCH: Final = 2

_IS_LINUX: Final = sys.platform == "linux"
_LIBC: Final = ctypes.CDLL(None, use_errno=True)  # loaded now: not between fork and exec


class Unreachable(Exception):  # noqa: N818 - states a fact
    """The ordinary user cannot reach the folders, and cannot be allowed to."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that a process is to run as; `capability` is what it is lent, if anything."""

    uid: int
    gid: int
    capability: int | None = None


def identity_for(program: Path, files: Iterable[Path], folder: Path) -> Identity | None:
    """Return who can run the program, read the files and pass the folder; None is oneself.

    Raises Unreachable.
    """
    if os.geteuid() != 0:
        return None
    nobody = _nobody()
    for capability in (None, _DAC_READ_SEARCH, _DAC_OVERRIDE):
        identity = Identity(nobody.uid, nobody.gid, capability)
        if _can_use(identity, program, files, folder):
            return identity
    raise Unreachable(
        "Started as root, Postgres runs as the user nobody, who may not pass the folders above "
        f"{program.parent} or {folder}. Start as an ordinary user, or let others pass them "
        "(chmod o+x), or choose another place with --data."
    )


def becoming(identity: Identity | None, death_signal: signal.Signals) -> Callable[[], None]:
    """Return what a child does between fork and exec: take the identity, and die with us."""
    launcher = os.getpid()

    def prepare() -> None:
        if identity is not None:
            _take(identity)
        if _IS_LINUX:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != launcher:
                os._exit(1)

    return prepare


def _nobody() -> Identity:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Identity(65534, 65534)
    return Identity(entry.pw_uid, entry.pw_gid)


def _can_use(identity: Identity, program: Path, files: Iterable[Path], folder: Path) -> bool:
    child = os.fork()
    if child == 0:
        try:
            _take(identity)
            if not os.access(program, os.X_OK):  # initdb asks in the same way
                os._exit(1)
            os.stat(os.path.join(folder, "."))  # noqa: PTH116, PTH118 - pathlib drops the dot
            for file in files:
                os.close(os.open(file, os.O_RDONLY))
            silence = os.open(os.devnull, os.O_RDWR)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            os.execv(program, [str(program), "--version"])  # noqa: S606
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _take(identity: Identity) -> None:
    if identity.capability is not None:
        if not _IS_LINUX:
            raise OSError("capabilities exist on Linux only")
        # Keeps capabilities when the user changes, also where a program asks access(2) first.
        _checked(_LIBC.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setgid(identity.gid)
    os.setuid(identity.uid)
    if identity.capability is not None:
        _keep_only(identity.capability)


def _keep_only(capability: int) -> None:
    bit = 1 << capability
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable
    _checked(_LIBC.capset(header, sets))
    _checked(_LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
