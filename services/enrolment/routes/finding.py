"""Finds participants and their files for the operations of enrolment."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from fastapi import Request

from services.enrolment.domain.participant_file import (
    KINDS,
    ParticipantFile,
    StudyBook,
    names_of,
)
from services.enrolment.domain.participants import NotEnrolled
from services.kernel.holdings import held
from services.kernel.http import Call, parse_participant
from services.kernel.identity import Role
from services.kernel.refusals import NotFound
from services.kernel.resources import files_of_participants
from services.kernel.storage import Connection, Database
from services.protocol.loading import Studies
from services.protocol.participation import NoConsentInForce, ParticipationEnded
from services.protocol.study import Study
from services.protocol.visit_calendar import site_date

BY_HAND: Final[tuple[Role, ...]] = ("coordinator", "investigator")
WRITERS: Final[tuple[Role, ...]] = ("edc", *BY_HAND)
STAFF: Final[tuple[Role, ...]] = (*WRITERS, "safety_officer", "statistician", "auditor")
GATES: Final = (NotEnrolled, NoConsentInForce, ParticipationEnded)
"""What refuses visits and infusions by the participant's state."""
CLINICAL: Final[tuple[Role, ...]] = (*WRITERS, "safety_officer", "auditor")


def study_of(request: Request, call: Call) -> Study:
    """Return the study in the path."""
    return held(request, Studies)[call.study]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a participant's record stands: at which site, and with how many events so far."""

    participant: UUID
    site: str
    events: int


async def own_place(request: Request, call: Call, text: str) -> Place:
    """Return where the record of the participant in a path stands.

    Raises NotFound for an unknown participant and for one of a site that the caller does not
    cover: the two are not told apart.
    """
    wanted = parse_participant(text)
    async with held(request, Database).pooled() as connection:
        named_by = "participant" if isinstance(wanted, UUID) else "external_id"
        row = await connection.fetchrow(
            "SELECT p.participant, p.site, s.version FROM participant_version p "
            f"JOIN stream s USING (study, participant) WHERE p.study = $1 AND p.{named_by} = $2 "
            "AND p.version = 1",
            call.study,
            wanted,
        )
    if row is None or not call.caller.covers_site(row["site"]):
        raise NotFound
    place = Place(row["participant"], row["site"], row["version"])
    request.state.owner = (place.participant, place.site)
    return place


async def own_id(request: Request, call: Call, text: str) -> UUID:
    """Return the id of the participant in a path; raises NotFound as `own_place` does."""
    return (await own_place(request, call, text)).participant


async def read_file(
    connection: Connection, study: str, participant: UUID, as_of: datetime | None = None
) -> ParticipantFile:
    """Return the participant's file as it stands, or as it stood."""
    files = await files_of_participants(
        connection, study, [participant], names_of(KINDS), as_of=as_of
    )
    return ParticipantFile(participant, StudyBook(), files.get(participant, {}))


def today_at(study: Study, site: str, at: datetime | None = None) -> date:
    """Return the site's date at a time, now if none is given."""
    return site_date(at or datetime.now(UTC), study.site(site).time_zone)
