"""What one request submits to the write path, and what it is answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from services.kernel.exact_json import canonical_json, parse_json
from services.kernel.http import Key
from services.kernel.records import Attribution, Decision, Recorded
from services.kernel.refusals import Refusal
from services.kernel.storage import Connection


class Command(Protocol):
    """An order to change the record of one participant."""

    @property
    def participant(self) -> UUID:
        """Whose record it changes."""

    @property
    def streams(self) -> tuple[UUID, ...]:
        """The streams that it reads and locks: as a rule its participant's."""


class Dossier(Protocol):
    """What a decision knows of a participant; it learns what earlier commands added."""

    def absorb(self, recorded: Recorded) -> None:
        """Take in a change of the same batch, as if it had been loaded."""


CommandT = TypeVar("CommandT", bound=Command)
DossierT = TypeVar("DossierT", bound=Dossier)
Load = Callable[[Connection, str, Sequence[CommandT]], Awaitable[Mapping[UUID, DossierT]]]


Decide = Callable[[DossierT, CommandT, datetime], Decision]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one command ended: with what was recorded, or with a refusal."""

    decision: Decision | None
    recorded: tuple[Recorded, ...] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer, as it is kept under the idempotency key."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    is_replay: bool = False
    position: int = 0


Render = Callable[[Sequence[Outcome]], Answer]


@dataclass(slots=True, eq=False)
class Unit:
    """What one request submits: one or more commands that are answered together.

    `is_atomic`: all commands or none. `is_rehearsal`: decide, and write nothing.
    """

    study: str
    commands: Sequence[Any]
    load: Load[Any, Any]
    decide: Decide[Any, Any]
    by: Attribution
    render: Render
    key: Key | None = None
    is_atomic: bool = True
    is_rehearsal: bool = False
    streams: set[UUID] = field(init=False)
    """All streams that the unit's commands read and lock."""
    done: asyncio.Future[Answer] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def __post_init__(self) -> None:
        """Gather the commands' streams."""
        self.streams = {stream for command in self.commands for stream in command.streams}


def answer_record(
    outcome: Outcome,
    collection: str,
    location: str | None = None,
    *,
    more: Mapping[str, Any] | None = None,
) -> Answer:
    """Return the answer to a write of one record: the record, and what was done.

    `collection` is the path below which the record stands, `location` its own, if it is
    another. `more` are members of the answer that are not the record's.
    """
    decision = outcome.decision
    if decision is None:
        raise LookupError
    if outcome.recorded:
        body, version = outcome.recorded[0].body, outcome.recorded[0].change.version
        identity = outcome.recorded[0].document["id"]
    else:
        body = str(decision.standing).encode()
        version, identity = _identity(body)
    extra = canonical_json({**decision.derived, "write": decision.write, **(more or {})})
    headers = {"ETag": f'"{version}"'}
    if decision.write == "created":
        headers["Location"] = location or f"{collection}/{identity}"
    status = 201 if decision.write == "created" else 200
    return Answer(status, extra[:-1] + b"," + body[1:], headers)


def _identity(body: bytes) -> tuple[int, str]:
    document = parse_json(body)
    return document["version"], document["id"]
