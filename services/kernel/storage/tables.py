"""The tables that every service has in its own schema.

`event` is audit trail, outbox and feed in one: each row is one version of one resource, with
its state afterwards. A service's own tables hold the typed columns its rules need.
Only `stream` and the counters and positions are updated in place.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Index, LargeBinary, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

STUDY_STREAM: Final = UUID(int=0)
"""The stream of what belongs to a study and to no participant, such as its sites."""

UPDATED_IN_PLACE: Final = ("stream", "feed_counter", "followed", "read_counter")

WARNED: Final = """body LIKE '%"warnings":[{%'"""
"""Tells of an event whose record warns of something; bodies are canonical JSON."""
MARK_UPDATED_IN_PLACE: Final = "updated_in_place"
"""In a table's `info`: a service's own small table that its role may update."""

FEED_CHANNEL: Final = "trial_feed"
"""Where the database tells of a study's new events."""

KERNEL_TABLES: Final = MetaData()


class KernelTable(SQLModel):
    """What declares its table among the kernel's."""

    metadata = KERNEL_TABLES


class Event(KernelTable, table=True):
    """One version of one resource: who, what, when, why, and the state afterwards."""

    study: str = Field(primary_key=True)
    participant: UUID = Field(primary_key=True)
    stream_version: int = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)
    resource: str
    resource_id: UUID
    resource_version: int
    action: str
    site: str | None = None
    visit: str | None = None
    actor: str
    role: str
    reason: str | None = Field(default=None, sa_type=Text)
    source_system: str | None = None
    source_ref: str | None = None
    request_id: str
    release: str
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))
    body: str = Field(sa_type=Text)
    prev_hash: bytes = Field(sa_type=LargeBinary)
    hash: bytes = Field(sa_type=LargeBinary)

    __table_args__ = (
        Index("event_position", "study", "position", unique=True),
        Index(
            "event_version",
            "study",
            "participant",
            "resource",
            "resource_id",
            "resource_version",
            unique=True,
        ),
        Index(
            "event_first_version",
            "study",
            "resource",
            "position",
            postgresql_where=text("resource_version = 1"),
        ),
        Index(
            "event_source",
            "study",
            "resource",
            "source_system",
            "source_ref",
            unique=True,
            postgresql_where=text("resource_version = 1 AND source_ref IS NOT NULL"),
        ),
        Index("event_warned", "study", "position", postgresql_where=text(WARNED)),
    )


class Stream(KernelTable, table=True):
    """The head of a participant's chain: the lock of its writers."""

    study: str = Field(primary_key=True)
    participant: UUID = Field(primary_key=True)
    version: int
    hash: bytes = Field(sa_type=LargeBinary)

    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)


class FeedCounter(KernelTable, table=True):
    """How many events a study has; its row lock makes position order commit order."""

    __tablename__ = "feed_counter"

    study: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)

    __table_args__ = ({"postgresql_with": {"fillfactor": "10"}},)


class Idempotency(KernelTable, table=True):
    """The answer given under a caller's key, to be given again byte for byte."""

    study: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    status: int
    headers: dict[str, str] = Field(sa_type=JSONB)
    body: bytes = Field(sa_type=LargeBinary)
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))


class Fact(KernelTable, table=True):
    """A version of another service's resource, as its feed told it."""

    study: str = Field(primary_key=True)
    participant: UUID = Field(primary_key=True)
    source: str = Field(primary_key=True)
    resource: str = Field(primary_key=True)
    resource_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    site: str | None = None
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))
    body: dict[str, Any] = Field(sa_type=JSONB)

    __table_args__ = (
        Index(
            "fact_external_id",
            "study",
            text("(body ->> 'external_id')"),
            postgresql_where=text("resource = 'participant'"),
        ),
        Index("fact_resource", "study", "resource", "participant"),
    )


class Followed(KernelTable, table=True):
    """How far this service has read another's feed of a study."""

    study: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)
    applied_at: datetime = Field(sa_type=DateTime(timezone=True))


class ReadAccess(KernelTable, table=True):
    """One read of personal data by a person: who, what, when; apart from the chain."""

    __tablename__ = "read_access"

    study: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger, primary_key=True)
    read_at: datetime = Field(sa_type=DateTime(timezone=True))
    actor: str
    role: str
    operation: str
    participant: UUID | None = None
    site: str | None = None
    request_id: str

    __table_args__ = (Index("read_access_participant", "study", "participant", "position"),)


class ReadCounter(KernelTable, table=True):
    """How many reads were recorded; its row lock makes position order commit order."""

    __tablename__ = "read_counter"

    study: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)


class VersionRow(SQLModel):
    """What every version table begins with; a subclass adds its typed columns.

    The version's document stands in the event with the same `stream_version`.
    """

    study: str = Field(primary_key=True)
    participant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    stream_version: int
    is_retracted: bool = False
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))
