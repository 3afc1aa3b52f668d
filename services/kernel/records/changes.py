"""What a decision sees and what it returns: records as stored, and the changes it asks for.

Pure: every `domain/` may import it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from services.kernel.exact_json import parse_json

Write = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of record: its name, and the version table of its typed columns, if any."""

    name: str
    table: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One new version of one record, as a decision asks for it.

    `members` are the record's own; the writer adds ids, version, time and author.
    `columns` are the typed columns of the version table.
    A correction repeats the `source_*` of version 1, and names the body that it replaces.
    """

    resource: Resource
    id: UUID
    participant: UUID
    version: int = 1
    action: str = "created"
    site: str | None = None
    visit: str | None = None
    members: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    source_system: str | None = None
    source_ref: str | None = None
    is_retracted: bool = False
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change as it was written: its document and its place in the participant's chain."""

    change: Change
    stream_version: int
    document: Mapping[str, Any]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a decision adds.

    `standing` is the stored body that answers when nothing was added; `derived` are
    members of the answer that follow from the record but are not part of it.
    """

    write: Write
    changes: tuple[Change, ...] = ()
    standing: str | None = None
    derived: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one record, as it is stored.

    `position` is the feed position of the record's first version.
    """

    id: UUID
    participant: UUID
    version: int
    site: str | None
    is_retracted: bool
    body: str
    position: int

    @property
    def document(self) -> dict[str, Any]:
        """The record's members."""
        document: dict[str, Any] = parse_json(self.body.encode())
        return document

    @classmethod
    def of(cls, recorded: Recorded) -> "Stored":
        """Return what a change of the same batch will be stored as."""
        change = recorded.change
        body = str(recorded.body, "utf-8")
        return cls(
            change.id,
            change.participant,
            change.version,
            change.site,
            change.is_retracted,
            body,
            0,
        )

    @property
    def etag(self) -> str:
        """The strong entity tag of the version."""
        return f'"{self.version}"'
