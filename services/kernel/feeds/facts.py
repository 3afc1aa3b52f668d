"""Reads of the facts that a service keeps of others' feeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.kernel.storage import Connection

Documents = dict[str, list[dict[str, Any]]]
"""Documents by kind of record, as they stand."""


@dataclass(frozen=True, slots=True)
class KnownParticipant:
    """A participant as the feed told it: its id and its site."""

    id: UUID
    site: str


async def load_facts(
    connection: Connection,
    study: str,
    participants: Iterable[UUID],
    resources: Sequence[str],
    *,
    as_of: datetime | None = None,
) -> dict[UUID, Documents]:
    """Return the standing facts of these kinds, for each participant that has any."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (participant, resource, resource_id) participant, resource, body "
        "FROM fact WHERE study = $1 AND participant = ANY($2::uuid[]) "
        "AND resource = ANY($3::text[]) "
        "AND ($4::timestamptz IS NULL OR recorded_at <= $4) "
        "ORDER BY participant, resource, resource_id, version DESC",
        study,
        list(set(participants)),
        list(resources),
        as_of,
    )
    found: dict[UUID, Documents] = {}
    for row in rows:
        found.setdefault(row["participant"], {}).setdefault(row["resource"], []).append(row["body"])
    return found


async def find_participant(
    connection: Connection, study: str, participant: UUID | str
) -> KnownParticipant | None:
    """Return the participant with this id, or with this external id, if the feed told of it."""
    by = "participant = $2" if isinstance(participant, UUID) else "body ->> 'external_id' = $2"
    row = await connection.fetchrow(
        "SELECT participant, site FROM fact WHERE study = $1 AND resource = 'participant' "
        f"AND {by} LIMIT 1",
        study,
        participant,
    )
    return None if row is None else KnownParticipant(row["participant"], row["site"])
