"""Reads of stored records: one, its versions, lists, and how they stood in the past.

A record's document stands in the event that made it; these statements find the right event.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query

from services.kernel.records import Stored
from services.kernel.refusals import Fault, Impossible, NotFound
from services.kernel.storage import Connection
from services.kernel.values import Instant

AsOf = Annotated[Instant | None, Query(description="Answer what the system knew at this time.")]


class InTheFuture(Impossible):
    """The time asked for has not come yet.

    Ask for a time that has passed, or leave `as_of` out.
    """


def past_moment(as_of: datetime | None) -> datetime | None:
    """Return the time asked for; raises InTheFuture."""
    if as_of is not None and as_of > datetime.now(UTC):
        fault = Fault("?as_of", "in_the_future", "The past can be asked for, not the future.")
        raise InTheFuture(faults=[fault])
    return as_of


_STORED: Final = (
    "last.resource_id AS id, last.participant, last.resource_version AS version, last.site, "
    "last.action = 'retracted' AS is_retracted, last.body, first.position"
)
_LATEST: Final = (
    "JOIN LATERAL (SELECT * FROM event e WHERE e.study = first.study "
    "AND e.participant = first.participant AND e.resource = first.resource "
    "AND e.resource_id = first.resource_id "
    "AND ($2::timestamptz IS NULL OR e.recorded_at <= $2) "
    "ORDER BY e.resource_version DESC LIMIT 1) AS last ON true"
)
_FIRST: Final = f"SELECT {_STORED} FROM event first {_LATEST} WHERE first.study = $1"


def _stored(row: Any) -> Stored:
    return Stored(
        row["id"],
        row["participant"],
        row["version"],
        row["site"],
        row["is_retracted"],
        row["body"],
        row["position"],
    )


async def read_record(
    connection: Connection,
    study: str,
    participant: UUID,
    resource: str,
    record: UUID,
    *,
    as_of: datetime | None = None,
) -> Stored:
    """Return the version that stands, or that stood at `as_of`; raises NotFound."""
    row = await connection.fetchrow(
        f"{_FIRST} AND first.participant = $3 AND first.resource = $4 "
        "AND first.resource_id = $5 AND first.resource_version = 1",
        study,
        as_of,
        participant,
        resource,
        record,
    )
    if row is None:
        raise NotFound
    return _stored(row)


async def read_versions(
    connection: Connection, study: str, participant: UUID, resource: str, record: UUID
) -> list[str]:
    """Return the documents of all versions, the first first; raises NotFound."""
    rows = await connection.fetch(
        "SELECT body FROM event WHERE study = $1 AND participant = $2 AND resource = $3 "
        "AND resource_id = $4 ORDER BY resource_version",
        study,
        participant,
        resource,
        record,
    )
    if not rows:
        raise NotFound
    return [row["body"] for row in rows]


async def list_page(
    connection: Connection,
    study: str,
    resource: str,
    *,
    after: int,
    limit: int,
    participant: UUID | None = None,
    sites: Sequence[str] | None = None,
    as_of: datetime | None = None,
) -> tuple[list[Stored], int | None]:
    """Return up to `limit` records after a position, and the position to go on from, if any."""
    rows = await connection.fetch(
        f"{_FIRST} AND first.resource = $3 AND first.resource_version = 1 "
        "AND first.position > $4 AND ($5::uuid IS NULL OR first.participant = $5) "
        "AND ($6::text[] IS NULL OR first.site = ANY($6)) "
        "ORDER BY first.position LIMIT $7",
        study,
        as_of,
        resource,
        after,
        participant,
        None if sites is None else list(sites),
        limit + 1,
    )
    page = [_stored(row) for row in rows[:limit]]
    return page, (page[-1].position if len(rows) > limit else None)


async def standing_records(
    connection: Connection,
    study: str,
    resource: str,
    records: Sequence[tuple[UUID, UUID]],
    sources: Sequence[tuple[str, str]] = (),
) -> list[Stored]:
    """Return the standing versions of records named by (participant, id) or by their source."""
    found: dict[UUID, Stored] = {}
    if records:
        rows = await connection.fetch(
            f"SELECT {_STORED} FROM unnest($4::uuid[], $5::uuid[]) AS k(participant, id) "
            "JOIN event first ON first.study = $1 AND first.participant = k.participant "
            "AND first.resource = $3 AND first.resource_id = k.id "
            f"AND first.resource_version = 1 {_LATEST}",
            study,
            None,
            resource,
            [participant for participant, _ in records],
            [record for _, record in records],
        )
        found.update((row["id"], _stored(row)) for row in rows)
    if sources:
        rows = await connection.fetch(
            f"SELECT {_STORED} FROM unnest($4::text[], $5::text[]) AS k(system, ref) "
            "JOIN event first ON first.study = $1 AND first.resource = $3 "
            "AND first.resource_version = 1 AND first.source_ref IS NOT NULL "
            f"AND first.source_system = k.system AND first.source_ref = k.ref {_LATEST}",
            study,
            None,
            resource,
            [system for system, _ in sources],
            [ref for _, ref in sources],
        )
        found.update((row["id"], _stored(row)) for row in rows)
    return list(found.values())


async def files_of_participants(
    connection: Connection,
    study: str,
    participants: Sequence[UUID],
    resources: Sequence[str],
    *,
    as_of: datetime | None = None,
) -> dict[UUID, dict[str, dict[UUID, Stored]]]:
    """Return each participant's records of these kinds as they stand, in the order recorded."""
    rows = await connection.fetch(
        f"SELECT first.resource, {_STORED} FROM event first {_LATEST} "
        "WHERE first.study = $1 AND first.participant = ANY($3::uuid[]) "
        "AND first.resource = ANY($4::text[]) AND first.resource_version = 1 "
        "ORDER BY first.position",
        study,
        as_of,
        list(participants),
        list(resources),
    )
    files: dict[UUID, dict[str, dict[UUID, Stored]]] = {}
    for row in rows:
        kinds = files.setdefault(row["participant"], {})
        kinds.setdefault(row["resource"], {})[row["id"]] = _stored(row)
    return files
