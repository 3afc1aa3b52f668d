"""What safety keeps of enrolment's feed, and how it loads what a decision needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.kernel.feeds import Documents, load_facts
from services.kernel.records import Stored
from services.kernel.resources import standing_records
from services.kernel.storage import Connection
from services.protocol.participation import Participation, read_participation
from services.protocol.study import Study
from services.safety.domain.dossier import ADVERSE_EVENT, KINDS, Dossier, Order
from services.safety.domain.signals import SIGNAL_ACKNOWLEDGEMENT, SignalFile

FOLLOWED: Final = {"enrolment": frozenset({"participant", "consent", "status", "infusion"})}
_NAMES: Final = tuple(kind.name for kind in KINDS)
_VERSION: Final = (
    "e.participant, e.resource, e.resource_id, e.resource_version, e.site, e.action, e.body, "
    "e.position"
)
_KNOWN_THEN: Final = "($2::timestamptz IS NULL OR e.recorded_at <= $2)"


async def load_dossiers(
    connection: Connection, study: str, orders: Sequence[Order]
) -> dict[UUID, Dossier]:
    """Load what the decisions about these orders need, once for all."""
    dossiers = await read_dossiers(connection, study, {order.participant for order in orders})
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for order in orders:
        for kind, source in order.named_sources:
            by_kind.setdefault(kind.name, []).append((source.system, source.ref))
    for name, sources in by_kind.items():
        for stored in await standing_records(connection, study, name, (), sources):
            for dossier in dossiers.values():
                dossier.keep_source(name, stored)
    return dossiers


async def read_dossiers(
    connection: Connection,
    study: str,
    participants: Iterable[UUID],
    *,
    as_of: datetime | None = None,
) -> dict[UUID, Dossier]:
    """Return the dossier of each participant, as it stands or stood."""
    wanted = list(set(participants))
    facts = await load_facts(connection, study, wanted, tuple(FOLLOWED["enrolment"]), as_of=as_of)
    rows = await connection.fetch(
        f"SELECT {_VERSION} FROM event e WHERE e.study = $1 AND {_KNOWN_THEN} "
        "AND e.participant = ANY($3::uuid[]) AND e.resource = ANY($4::text[]) "
        "ORDER BY e.participant, e.stream_version",
        study,
        as_of,
        wanted,
        list(_NAMES),
    )
    dossiers = {participant: _told(facts.get(participant, {})) for participant in wanted}
    _keep(rows, dossiers)
    return dossiers


async def read_signal_file(
    connection: Connection, number: str, study: Study, *, as_of: datetime | None = None
) -> SignalFile:
    """Return what a study's signals follow from, as it stands or stood."""
    rows = await connection.fetch(
        "SELECT DISTINCT participant FROM adverse_event_version WHERE study = $1", number
    )
    dossiers = await read_dossiers(
        connection, number, [row["participant"] for row in rows], as_of=as_of
    )
    seen = await connection.fetch(
        "SELECT e.* FROM event e WHERE e.study = $1 AND e.resource = $3 "
        f"AND e.resource_version = 1 AND {_KNOWN_THEN} ORDER BY e.position",
        number,
        as_of,
        SIGNAL_ACKNOWLEDGEMENT.name,
    )
    return SignalFile(study, dossiers, [_stored(row, row["position"]) for row in seen])


async def read_study(
    connection: Connection, study: str, *, as_of: datetime | None = None
) -> dict[UUID, Dossier]:
    """Return the dossier of every participant who has an adverse event or an infusion."""
    rows = await connection.fetch(
        "SELECT participant FROM event WHERE study = $1 AND resource_version = 1 "
        "AND resource = ANY($2::text[]) "
        "UNION SELECT participant FROM fact WHERE study = $1 AND resource = 'infusion'",
        study,
        [ADVERSE_EVENT.name],
    )
    participants = [row["participant"] for row in rows]
    return await read_dossiers(connection, study, participants, as_of=as_of)


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """Which adverse events of a study a list shows.

    `sites` None shows all; `has_unverified` those too of whom the feed has not told.
    """

    sites: Sequence[str] | None
    has_unverified: bool


async def list_adverse_events(
    connection: Connection,
    study: str,
    wanted: StudyFilter,
    *,
    after: int,
    limit: int,
    as_of: datetime | None,
) -> tuple[list[Stored], int | None]:
    """Return up to `limit` adverse events after a position, and where to go on, if there is more.

    The site is where the participant is; only before the feed told it, where it was reported.
    """
    rows = await connection.fetch(
        "SELECT e.*, first.position AS first_position FROM event first "
        "JOIN LATERAL (SELECT * FROM event e WHERE e.study = first.study "
        "AND e.participant = first.participant AND e.resource = first.resource "
        f"AND e.resource_id = first.resource_id AND {_KNOWN_THEN} "
        "ORDER BY e.resource_version DESC LIMIT 1) AS e ON true "
        "LEFT JOIN LATERAL (SELECT f.site FROM fact f WHERE f.study = first.study "
        "AND f.resource = 'participant' AND f.participant = first.participant LIMIT 1) "
        "AS known ON true "
        "WHERE first.study = $1 AND first.resource = 'adverse_event' "
        "AND first.resource_version = 1 AND first.position > $3 "
        "AND ($4::text[] IS NULL OR coalesce(known.site, first.site) = ANY($4)) "
        "AND ($5 OR known.site IS NOT NULL) ORDER BY first.position LIMIT $6",
        study,
        as_of,
        after,
        None if wanted.sites is None else list(wanted.sites),
        wanted.has_unverified,
        limit + 1,
    )
    page = [_stored(row, row["first_position"]) for row in rows[:limit]]
    return page, (page[-1].position if len(rows) > limit else None)


def _keep(rows: Iterable[Any], dossiers: dict[UUID, Dossier]) -> None:
    for row in rows:
        dossiers[row["participant"]].keep(row["resource"], _stored(row, row["position"]))


def _stored(row: Any, position: int) -> Stored:
    return Stored(
        row["resource_id"],
        row["participant"],
        row["resource_version"],
        row["site"],
        row["action"] == "retracted",
        row["body"],
        position,
    )


def _told(documents: Documents) -> Dossier:
    has_died = any(one["status"] == "died" for one in documents.get("status", ()))
    return Dossier(_participation(documents), tuple(_infusions(documents)), has_died)


def _participation(documents: Documents) -> Participation | None:
    return read_participation(documents) if "participant" in documents else None


def _infusions(documents: Documents) -> list[datetime]:
    return sorted(
        datetime.fromisoformat(document["started_at"])
        for document in documents.get("infusion", ())
        if document.get("record_status", "entered") == "entered"
    )
