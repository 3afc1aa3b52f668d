"""Enrolment's own tables: the typed columns of each version that its rules search by."""

from datetime import date, datetime
from typing import Final

from sqlalchemy import DateTime, Index, MetaData, text
from sqlmodel import Field

from services.kernel.storage import VersionRow

TABLES: Final = MetaData()


class ParticipantVersion(VersionRow, table=True):
    """One version of a participant's own record."""

    __tablename__ = "participant_version"
    metadata = TABLES

    site: str
    external_id: str | None = None

    __table_args__ = (
        Index(
            "participant_external_id",
            "study",
            "external_id",
            unique=True,
            postgresql_where=text("version = 1 AND external_id IS NOT NULL"),
        ),
    )


class StatusVersion(VersionRow, table=True):
    """One status of a participant; places and screenings are counted here."""

    __tablename__ = "status_version"
    metadata = TABLES

    status: str
    since: date
    site: str

    __table_args__ = (Index("status_count", "study", "status", "site"),)


class ConsentVersion(VersionRow, table=True):
    """One version of a consent."""

    __tablename__ = "consent_version"
    metadata = TABLES

    signed_at: datetime = Field(sa_type=DateTime(timezone=True))


class VisitVersion(VersionRow, table=True):
    """One version of a visit that was held."""

    __tablename__ = "visit_version"
    metadata = TABLES

    code: str
    held_on: date


class InfusionVersion(VersionRow, table=True):
    """One version of an infusion that was given."""

    __tablename__ = "infusion_version"
    metadata = TABLES

    visit: str
    started_at: datetime = Field(sa_type=DateTime(timezone=True))


class ScheduleAddressVersion(VersionRow, table=True):
    """One version of the secret address of a phone's calendar; without a digest it is ended."""

    __tablename__ = "schedule_address_version"
    metadata = TABLES

    digest: str | None = None

    __table_args__ = (Index("schedule_address_digest", "digest"),)
