"""The subscriptions of a study as they are stored, and the secrets that sign for them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from services.kernel.records import Stored
from services.kernel.resources import files_of_participants
from services.kernel.storage import STUDY_STREAM, Connection
from services.safety.domain.webhooks import WEBHOOK, WebhookFile


async def read_webhooks(connection: Connection, study: str) -> dict[UUID, Stored]:
    """Return the study's subscriptions as they stand, the first made first."""
    files = await files_of_participants(connection, study, [STUDY_STREAM], [WEBHOOK.name])
    return files.get(STUDY_STREAM, {}).get(WEBHOOK.name, {})


async def load_webhook_file(
    connection: Connection, study: str, deliveries_of: UUID | None = None
) -> WebhookFile:
    """Return the subscriptions, and the deliveries of one that may be sent again."""
    states = await connection.fetch(
        "SELECT id, status FROM delivery WHERE study = $1 AND webhook = $2 ORDER BY number",
        study,
        deliveries_of,
    )
    webhooks = await read_webhooks(connection, study)
    return WebhookFile(webhooks, {row["id"]: row["status"] for row in states})


async def read_secret(
    connection: Connection, study: str, webhook: UUID, version: int
) -> bytes | None:
    """Return the secret that a version of a subscription brought, if it brought one."""
    secret: bytes | None = await connection.fetchval(
        "SELECT secret FROM webhook_version WHERE study = $1 AND participant = $2 AND id = $3 "
        "AND version = $4",
        study,
        STUDY_STREAM,
        webhook,
        version,
    )
    return secret


async def secrets_in_force(
    connection: Connection, study: str, webhook: UUID, now: datetime, overlap: timedelta
) -> Sequence[bytes]:
    """Return the newest secret, and before it those replaced less than `overlap` ago."""
    rows = await connection.fetch(
        "SELECT secret, recorded_at FROM webhook_version WHERE study = $1 AND participant = $2 "
        "AND id = $3 AND secret IS NOT NULL ORDER BY version DESC",
        study,
        STUDY_STREAM,
        webhook,
    )
    secrets = [rows[0]["secret"]]
    for newer, older in pairwise(rows):
        if newer["recorded_at"] + overlap <= now:
            break
        secrets.append(older["secret"])
    return secrets
