"""Notices and deliveries as they are stored: told once, delivered at least once.

Notices are only added. A delivery is moved forward in place: pending, then delivered or,
after days of failure, dead; a replay makes it pending again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from services.kernel.records import Stored
from services.kernel.storage import STUDY_STREAM, Connection
from services.safety.domain.notices import Notice
from services.safety.webhooks.sending import Attempt


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is due: the notice's bytes, and how often it was tried."""

    webhook: UUID
    number: int
    notice: UUID
    body: bytes
    attempts: int
    waiting_since: datetime


async def add_notices(
    connection: Connection,
    study: str,
    notices: Iterable[Notice],
    webhooks: Iterable[Stored],
    now: datetime,
) -> None:
    """Add what was not told before, and a delivery for every subscription that asks for it."""
    active = [one for one in webhooks if one.document["status"] == "active"]
    for notice in notices:
        number = await _add_notice(connection, study, notice, now)
        asking = [one.id for one in active if notice.type in one.document["events"]]
        if number is None or not asking:
            continue
        await connection.execute(
            "INSERT INTO delivery (study, webhook, number, id, participant, status, attempts, "
            "waiting_since, next_attempt_at) SELECT $1::text, w.webhook, $2::bigint, w.id, "
            "$3::uuid, 'pending', 0, $4::timestamptz, $4 "
            "FROM unnest($5::uuid[], $6::uuid[]) AS w(webhook, id)",
            study,
            number,
            notice.participant or STUDY_STREAM,
            now,
            asking,
            [uuid5(webhook, str(notice.id)) for webhook in asking],
        )


async def _add_notice(
    connection: Connection, study: str, notice: Notice, now: datetime
) -> int | None:
    number: int | None = await connection.fetchval(
        "INSERT INTO notice (study, number, id, type, participant, about, recorded_at, body) "
        "SELECT $1::text, coalesce(max(number), 0) + 1, $2::uuid, $3::text, $4::uuid, $5::uuid[], "
        "$6::timestamptz, $7::bytea FROM notice WHERE study = $1 "
        "ON CONFLICT (study, id) DO NOTHING RETURNING number",
        study,
        notice.id,
        notice.type,
        notice.participant or STUDY_STREAM,
        list(notice.about),
        now,
        notice.body,
    )
    return number


async def announced_facts(connection: Connection, study: str) -> set[UUID]:
    """Return the facts of signals that were told before."""
    rows = await connection.fetch(
        "SELECT unnest(about) AS about FROM notice WHERE study = $1 AND type = 'signal_raised'",
        study,
    )
    return {row["about"] for row in rows}


async def due_deliveries(
    connection: Connection, study: str, now: datetime, most_of_one: int
) -> list[Waiting]:
    """Return what may be sent now: of each subscription and participant the first that waits.

    At most so many of one subscription, those that were due first.
    """
    rows = await connection.fetch(
        "SELECT due.webhook, due.number, due.attempts, due.waiting_since, n.id, n.body "
        "FROM (SELECT heads.*, row_number() OVER ("
        "PARTITION BY webhook ORDER BY next_attempt_at, number) AS place "
        "FROM (SELECT DISTINCT ON (webhook, participant) * FROM delivery "
        "WHERE study = $1 AND status = 'pending' ORDER BY webhook, participant, number) AS heads "
        "WHERE next_attempt_at <= $2) AS due "
        "JOIN notice n ON n.study = $1 AND n.number = due.number "
        "WHERE place <= $3 ORDER BY next_attempt_at, due.number",
        study,
        now,
        most_of_one,
    )
    return [
        Waiting(
            row["webhook"],
            row["number"],
            row["id"],
            row["body"],
            row["attempts"],
            row["waiting_since"],
        )
        for row in rows
    ]


async def settle(
    connection: Connection,
    study: str,
    waiting: Waiting,
    attempt: Attempt,
    *,
    status: str,
    now: datetime,
    next_attempt_at: datetime,
) -> None:
    """Keep how an attempt ended and what comes of the delivery."""
    await connection.execute(
        "UPDATE delivery SET status = $4, attempts = attempts + 1, last_attempt_at = $5, "
        "next_attempt_at = $6, last_status = $7, last_fault = $8 "
        "WHERE study = $1 AND webhook = $2 AND number = $3 AND status = 'pending'",
        study,
        waiting.webhook,
        waiting.number,
        status,
        now,
        next_attempt_at,
        attempt.status,
        attempt.fault,
    )


async def end_deliveries(connection: Connection, study: str, webhook: UUID) -> None:
    """Give up what still waits for a subscription that has ended."""
    await connection.execute(
        "UPDATE delivery SET status = 'dead', last_fault = 'webhook_ended' "
        "WHERE study = $1 AND webhook = $2 AND status = 'pending'",
        study,
        webhook,
    )


async def send_again(
    connection: Connection, study: str, deliveries: Sequence[UUID], now: datetime
) -> None:
    """Make deliveries wait again, with all their time before them."""
    await connection.execute(
        "UPDATE delivery SET status = 'pending', attempts = 0, waiting_since = $3, "
        "next_attempt_at = $3 WHERE study = $1 AND id = ANY($2::uuid[]) AND status <> 'pending'",
        study,
        list(deliveries),
        now,
    )


async def list_deliveries(
    connection: Connection,
    study: str,
    webhook: UUID,
    *,
    after: int = 0,
    limit: int = 1,
    status: str | None = None,
    delivery: UUID | None = None,
) -> list[Any]:
    """Return deliveries of a subscription in the order of their notices, and one more."""
    return await connection.fetch(
        "SELECT d.*, n.id AS notice, n.type, n.body, n.recorded_at FROM delivery d "
        "JOIN notice n ON n.study = d.study AND n.number = d.number "
        "WHERE d.study = $1 AND d.webhook = $2 AND d.number > $3 "
        "AND ($4::text IS NULL OR d.status = $4) AND ($5::uuid IS NULL OR d.id = $5) "
        "ORDER BY d.number LIMIT $6",
        study,
        webhook,
        after,
        status,
        delivery,
        limit + 1,
    )
