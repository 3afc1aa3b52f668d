"""What scoring keeps of enrolment's feed: participants, consents, states, infusions."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from services.kernel.feeds import load_facts
from services.kernel.storage import Connection
from services.protocol.participation import Participation, read_participation

FOLLOWED: Final = {"enrolment": frozenset({"participant", "consent", "status", "infusion"})}


async def load_participations(
    connection: Connection, study: str, participants: Iterable[UUID]
) -> dict[UUID, Participation]:
    """Return what the gates need of these participants; one who is unknown is left out."""
    kinds = ("participant", "consent", "status")
    found = await load_facts(connection, study, participants, kinds)
    return {
        participant: read_participation(documents)
        for participant, documents in found.items()
        if "participant" in documents
    }


async def participants_by_external_id(
    connection: Connection, study: str, external: Iterable[str]
) -> dict[str, UUID]:
    """Return the participants that other systems know under these ids."""
    rows = await connection.fetch(
        "SELECT body ->> 'external_id' AS external, participant FROM fact WHERE study = $1 "
        "AND resource = 'participant' AND body ->> 'external_id' = ANY($2::text[])",
        study,
        sorted(external),
    )
    return {row["external"]: row["participant"] for row in rows}
