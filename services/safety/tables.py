"""Safety's own tables: the typed columns of each version."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    Uuid,
    text,
)
from sqlmodel import Field, SQLModel

from services.kernel.storage import MARK_UPDATED_IN_PLACE, VersionRow

TABLES: Final = MetaData()
UPDATED: Final = {MARK_UPDATED_IN_PLACE: True}
"""Marks what the ticker moves forward; everything else is only added to."""


class AdverseEventVersion(VersionRow, table=True):
    """One version of one adverse event; the highest version stands."""

    __tablename__ = "adverse_event_version"
    metadata = TABLES

    classification: str
    is_serious: bool | None = None  # unknown until all six criteria are judged
    is_suspected: bool
    ctcae_grade: int | None = None


class LaboratoryResultVersion(VersionRow, table=True):
    """One version of one laboratory report; the highest version stands."""

    __tablename__ = "laboratory_result_version"
    metadata = TABLES

    visit: str
    collected_at: datetime = Field(sa_type=DateTime(timezone=True))

    __table_args__ = (Index("laboratory_result_slot", "study", "participant", "collected_at"),)


class ClockClosureVersion(VersionRow, table=True):
    """One closure of one clock; it has the clock's id."""

    __tablename__ = "clock_closure_version"
    metadata = TABLES

    adverse_event: UUID
    clock: str


class WebhookVersion(VersionRow, table=True):
    """One version of one subscription; `secret` is null where it stays as it was."""

    __tablename__ = "webhook_version"
    metadata = TABLES

    secret: bytes | None = Field(default=None, sa_type=LargeBinary)


class NoticeRow(SQLModel, table=True):
    """One thing told to the sponsor's safety desk, byte for byte as it is sent.

    `number` counts a study's notices. `about` has the facts of a signal that were told.
    """

    __tablename__ = "notice"
    metadata = TABLES

    study: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_type=BigInteger)
    id: UUID
    type: str
    participant: UUID
    about: list[UUID] = Field(sa_type=ARRAY(Uuid))
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))
    body: bytes = Field(sa_type=LargeBinary)

    __table_args__ = (Index("notice_id", "study", "id", unique=True),)


class Delivery(SQLModel, table=True):
    """One notice for one subscription: whether it was taken, and when it is tried again."""

    metadata = TABLES

    study: str = Field(primary_key=True)
    webhook: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_type=BigInteger)
    id: UUID
    participant: UUID
    status: str
    attempts: int
    waiting_since: datetime = Field(sa_type=DateTime(timezone=True))
    next_attempt_at: datetime = Field(sa_type=DateTime(timezone=True))
    last_attempt_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    last_status: int | None = None
    last_fault: str | None = None

    __table_args__ = (
        Index("delivery_id", "study", "id", unique=True),
        Index(
            "delivery_pending",
            "study",
            "webhook",
            "participant",
            "number",
            postgresql_where=text("status = 'pending'"),
        ),
        {"info": UPDATED},
    )


class Deadline(SQLModel, table=True):
    """When a started clock runs out, and whether that was told a day before."""

    metadata = TABLES

    study: str = Field(primary_key=True)
    participant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    adverse_event: UUID
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))
    is_told: bool

    __table_args__ = (
        Index(
            "deadline_untold",
            "study",
            "expires_at",
            postgresql_where=text("NOT is_told"),
        ),
        {"info": UPDATED},
    )


class Noticed(SQLModel, table=True):
    """How far a study's own events have become notices."""

    metadata = TABLES

    study: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)

    __table_args__ = ({"info": UPDATED},)
