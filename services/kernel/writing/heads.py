"""The heads of streams: what a write locks before it reads, so that it decides alone."""

from collections.abc import Iterable
from uuid import UUID

from services.kernel.records import GENESIS
from services.kernel.storage import STUDY_STREAM, Connection


async def lock_heads(
    connection: Connection, study: str, streams: Iterable[UUID]
) -> dict[UUID, tuple[int, bytes]]:
    """Lock the heads until the transaction ends; return version and hash of those that exist."""
    wanted = sorted(set(streams))
    if STUDY_STREAM in wanted:
        # A row that is not there cannot be locked, and what is counted under this lock, such
        # as places, is counted from a study's first write on.
        await connection.execute(
            "INSERT INTO stream (study, participant, version, hash) VALUES ($1, $2, 0, $3) "
            "ON CONFLICT DO NOTHING",
            study,
            STUDY_STREAM,
            GENESIS,
        )
    # One order everywhere, so that two processes never wait for each other in a circle.
    rows = await connection.fetch(
        "SELECT participant, version, hash FROM stream "
        "WHERE study = $1 AND participant = ANY($2::uuid[]) ORDER BY participant FOR UPDATE",
        study,
        wanted,
    )
    return {row["participant"]: (row["version"], row["hash"]) for row in rows}
