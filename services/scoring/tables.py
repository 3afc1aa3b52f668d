"""Scoring's own table: the typed columns of each assessment version."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import DateTime, Index, MetaData
from sqlmodel import Field

from services.kernel.storage import Connection, VersionRow

TABLES: Final = MetaData()


class AssessmentVersion(VersionRow, table=True):
    """One version of one assessment; the highest version stands."""

    __tablename__ = "assessment_version"
    metadata = TABLES

    instrument: str
    visit: str
    assessed_at: datetime = Field(sa_type=DateTime(timezone=True))
    score: int | None = None  # smallest unit: PASI and BSA tenths, VAS tenths of mm, points

    __table_args__ = (
        Index("assessment_slot", "study", "participant", "instrument", "assessed_at"),
    )


async def records_in_slots(
    connection: Connection, study: str, slots: Sequence[tuple[UUID, str, datetime]]
) -> list[tuple[UUID, UUID]]:
    """Return (participant, id) of assessments by participant, instrument and time."""
    rows = await connection.fetch(
        "SELECT DISTINCT a.participant, a.id "
        "FROM unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS k(participant, instrument, at) "
        "JOIN assessment_version a ON a.study = $1 AND a.participant = k.participant "
        "AND a.instrument = k.instrument AND a.assessed_at = k.at",
        study,
        *[list(column) for column in zip(*slots, strict=True)],
    )
    return [(row["participant"], row["id"]) for row in rows]


async def records_of_visits(
    connection: Connection, study: str, visits: Sequence[tuple[UUID, str, str, datetime]]
) -> list[tuple[UUID, UUID]]:
    """Return (participant, id) of assessments by participant, instrument, visit and about when.

    Found is what lies within a day of the time; what was corrected may have moved since.
    """
    rows = await connection.fetch(
        "SELECT DISTINCT a.participant, a.id "
        "FROM unnest($2::uuid[], $3::text[], $4::text[], $5::timestamptz[]) "
        "AS k(participant, instrument, visit, at) "
        "JOIN assessment_version a ON a.study = $1 AND a.participant = k.participant "
        "AND a.instrument = k.instrument AND a.visit = k.visit "
        "AND a.assessed_at BETWEEN k.at - interval '1 day' AND k.at + interval '1 day'",
        study,
        *[list(column) for column in zip(*visits, strict=True)],
    )
    return [(row["participant"], row["id"]) for row in rows]
