"""What enrolment keeps of other feeds, and how it loads a participant's file."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.enrolment.domain.judging_file import Gathered
from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import (
    ATTESTATION,
    CONSENT,
    INFUSION,
    KINDS,
    PARTICIPANT,
    PLAN,
    SCREENING,
    SITE,
    STATUS,
    VISIT,
    ParticipantFile,
    StudyBook,
    names_of,
)
from services.kernel.exact_json import parse_json
from services.kernel.feeds import load_facts
from services.kernel.records import Stored
from services.kernel.resources import files_of_participants, standing_records
from services.kernel.storage import STUDY_STREAM, Connection
from services.protocol.study import Study

FOLLOWED: Final = {
    "scoring": frozenset({"assessment"}),
    "safety": frozenset({"laboratory_result"}),
}
Step = tuple[str, datetime, dict[str, Any]]
"""What was put or attested at screening: its kind, when it was recorded, its document."""

JUDGED_BY: Final = ("assessment", "laboratory_result")
PLANNED_FROM: Final = (PARTICIPANT, STATUS, SCREENING, VISIT, PLAN, INFUSION)


async def load_files(
    connection: Connection, study: str, orders: Sequence[Order]
) -> dict[UUID, ParticipantFile]:
    """Load the files of the participants whom the orders are about, and the study's book."""
    book = await _load_book(connection, study, orders)
    participants = list({order.participant for order in orders})
    records = await files_of_participants(connection, study, participants, names_of((*KINDS, SITE)))
    judged = [order.participant for order in orders if order.judges]
    facts = await load_facts(connection, study, judged, JUDGED_BY) if judged else {}
    steps = await load_steps(connection, study, judged) if judged else {}
    return {
        participant: ParticipantFile(
            participant,
            book,
            records.get(participant, {}),
            facts.get(participant, {}),
            steps.get(participant, []),
        )
        for participant in participants
    }


async def _load_book(connection: Connection, study: str, orders: Sequence[Order]) -> StudyBook:
    book = StudyBook()
    await _load_sources(connection, study, orders, book)
    if any(order.counts_places for order in orders):
        rows = await connection.fetch(
            "SELECT status, site, count(*) AS so_many FROM status_version WHERE study = $1 "
            "AND status IN ('enrolled', 'screening') GROUP BY status, site",
            study,
        )
        for row in rows:
            counted = (
                book.enrolled_by_site if row["status"] == "enrolled" else book.screenings_by_site
            )
            counted[row["site"]] = row["so_many"]
        study_wide = await files_of_participants(connection, study, [STUDY_STREAM], [SITE.name])
        for stored in study_wide.get(STUDY_STREAM, {}).get(SITE.name, {}).values():
            book.sites[stored.document["code"]] = stored.document
    return book


async def _load_sources(
    connection: Connection, study: str, orders: Sequence[Order], book: StudyBook
) -> None:
    sources = [
        (order.source_system, order.source_ref)
        for order in orders
        if order.source_system is not None and order.source_ref is not None
    ]
    for kind in KINDS if sources else ():
        for stored in await standing_records(connection, study, kind.name, [], sources):
            document = stored.document
            source = (kind.name, document["source_system"], document["source_ref"])
            book.by_source[source] = stored
    external = {order.external_id for order in orders if order.external_id is not None}
    if external:
        for stored in await _by_external_ids(connection, study, external):
            book.participant_by_external_id[stored.document["external_id"]] = stored


async def find_registered(
    connection: Connection,
    study: str,
    external_id: str | None,
    source: tuple[str | None, str | None],
) -> UUID | None:
    """Return whom an external id or a source registered before, at whatever site."""
    found = await _by_external_ids(connection, study, {external_id}) if external_id else []
    system, ref = source
    if not found and system is not None and ref is not None:
        found = await standing_records(connection, study, PARTICIPANT.name, [], [(system, ref)])
    return found[0].participant if found else None


async def _by_external_ids(connection: Connection, study: str, external: set[str]) -> list[Stored]:
    rows = await connection.fetch(
        "SELECT participant FROM participant_version WHERE study = $1 AND version = 1 "
        "AND external_id = ANY($2::text[])",
        study,
        list(external),
    )
    named = [(row["participant"], row["participant"]) for row in rows]
    return await standing_records(connection, study, PARTICIPANT.name, named)


async def load_steps(
    connection: Connection,
    study: str,
    participants: Sequence[UUID],
    *,
    as_of: datetime | None = None,
) -> dict[UUID, list[Step]]:
    """Return all that was put and attested at screening, in the order recorded."""
    rows = await connection.fetch(
        "SELECT participant, resource, recorded_at, body FROM event WHERE study = $1 "
        "AND participant = ANY($2::uuid[]) AND resource IN ('screening', 'attestation') "
        "AND ($3::timestamptz IS NULL OR recorded_at <= $3) ORDER BY stream_version",
        study,
        list(participants),
        as_of,
    )
    steps: dict[UUID, list[Step]] = {}
    for row in rows:
        document = parse_json(row["body"].encode())
        step = (row["resource"], row["recorded_at"], document)
        steps.setdefault(row["participant"], []).append(step)
    return steps


async def load_past_files(
    connection: Connection, study: str, participant: UUID
) -> AsyncIterator[tuple[datetime, ParticipantFile]]:
    """Yield the participant's file after each change of what a schedule follows from."""
    rows = await connection.fetch(
        "SELECT resource, resource_id, resource_version, site, action, body, recorded_at "
        "FROM event WHERE study = $1 AND participant = $2 AND resource = ANY($3::text[]) "
        "ORDER BY stream_version",
        study,
        participant,
        names_of(PLANNED_FROM),
    )
    file = ParticipantFile(participant, StudyBook())
    for row in rows:
        is_retracted = row["action"] == "retracted"
        version, site = row["resource_version"], row["site"]
        file.records.setdefault(row["resource"], {})[row["resource_id"]] = Stored(
            row["resource_id"], participant, version, site, is_retracted, row["body"], 0
        )
        yield row["recorded_at"], file


async def find_calendar(connection: Connection, digest: str) -> tuple[str, UUID] | None:
    """Return the study and participant whose calendar has the address, if it stands."""
    row = await connection.fetchrow(
        "SELECT study, participant FROM schedule_address_version made WHERE digest = $1 "
        "AND NOT EXISTS (SELECT FROM schedule_address_version later "
        "WHERE later.study = made.study AND later.participant = made.participant "
        "AND later.id = made.id AND later.version > made.version)",
        digest,
    )
    return None if row is None else (row["study"], row["participant"])


async def read_judged_files(
    connection: Connection, study: str, participants: Sequence[UUID], as_of: datetime | None
) -> list[ParticipantFile]:
    """Return participants' files with all that eligibility is judged from."""
    records = await files_of_participants(
        connection, study, participants, names_of(KINDS), as_of=as_of
    )
    facts = await load_facts(connection, study, participants, JUDGED_BY, as_of=as_of)
    steps = await load_steps(connection, study, participants, as_of=as_of)
    return [
        ParticipantFile(
            participant,
            StudyBook(),
            own,
            facts.get(participant, {}),
            steps.get(participant, []),
        )
        for participant, own in records.items()
    ]


def gather(study: Study, file: ParticipantFile, at: datetime) -> Gathered:
    """Return what eligibility is judged from, in the form that the rules read."""
    return Gathered(
        study=study,
        site=file.site,
        profile=file.profile,
        consents=tuple(file.documents(CONSENT)),
        screenings=tuple((at_, doc) for kind, at_, doc in file.steps if kind == SCREENING.name),
        attestations=tuple((at_, doc) for kind, at_, doc in file.steps if kind == ATTESTATION.name),
        assessments=tuple(file.facts.get("assessment", ())),
        laboratory_results=tuple(file.facts.get("laboratory_result", ())),
        first_infusion=file.first_infusion,
        at=at,
        screened_again_at=file.screened_again_at,
    )
