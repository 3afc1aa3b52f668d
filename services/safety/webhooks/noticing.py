"""Turns a study's own events into notices, and keeps when each clock runs out.

The position is kept in the transaction that adds the notices: each event is taken once.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from services.kernel.exact_json import parse_json
from services.kernel.feeds import read_feed
from services.kernel.storage import Connection
from services.protocol.study import Study
from services.safety.domain.cases import Case, case_clocks, case_of, clock_item
from services.safety.domain.dossier import ADVERSE_EVENT, Dossier
from services.safety.domain.notices import (
    Notice,
    clock_notice,
    notices_of_version,
)
from services.safety.domain.webhooks import WEBHOOK, WEBHOOK_REPLAY
from services.safety.facts import read_dossiers
from services.safety.webhooks.outbox import (
    add_notices,
    end_deliveries,
    send_again,
)
from services.safety.webhooks.signal_watch import SignalWatch
from services.safety.webhooks.subscriptions import read_webhooks

PAGE: Final = 200
DUE_SOON: Final = timedelta(hours=24)


async def take_news(
    connection: Connection, study: Study, watch: SignalWatch, now: datetime
) -> bool:
    """Make notices of the next events, of clocks due soon and of signals.

    Tell whether there may be more events at once.
    """
    async with connection.transaction():
        position = await _position(connection, study.number)
        rows = await read_feed(connection, study.number, position, PAGE)
        notices = await _of_events(connection, study, rows, now)
        notices += await _of_deadlines(connection, study, now)
        signals = await watch.look(connection, _reported(rows), now)
        await _add(connection, study, [*notices, *signals], now)
        if rows:
            await connection.execute(
                "UPDATE noticed SET position = $2 WHERE study = $1",
                study.number,
                rows[-1]["position"],
            )
    watch.told(signals)
    return len(rows) == PAGE


def _reported(rows: Sequence[Any]) -> set[UUID]:
    return {row["participant"] for row in rows if row["resource"] == ADVERSE_EVENT.name}


async def _add(
    connection: Connection, study: Study, notices: Sequence[Notice], now: datetime
) -> None:
    if notices:
        webhooks = await read_webhooks(connection, study.number)
        await add_notices(connection, study.number, notices, webhooks.values(), now)


async def _position(connection: Connection, study: str) -> int:
    await connection.execute(
        "INSERT INTO noticed (study, position) VALUES ($1, 0) ON CONFLICT (study) DO NOTHING", study
    )
    position: int = await connection.fetchval(
        "SELECT position FROM noticed WHERE study = $1", study
    )
    return position


async def _of_events(
    connection: Connection, study: Study, rows: Sequence[Any], now: datetime
) -> list[Notice]:
    reported = [row for row in rows if row["resource"] == ADVERSE_EVENT.name]
    dossiers = await read_dossiers(connection, study.number, _reported(rows))
    notices, cases = await asyncio.to_thread(_read_events, reported, dossiers, study)
    await _keep_deadlines(connection, study, cases)
    for row in rows:
        if row["resource"] in {WEBHOOK.name, WEBHOOK_REPLAY.name}:
            await _obey(connection, study.number, row, now)
    return notices


def _read_events(
    rows: Sequence[Any], dossiers: Mapping[UUID, Dossier], study: Study
) -> tuple[list[Notice], list[tuple[UUID, Case]]]:
    notices: list[Notice] = []
    cases: list[tuple[UUID, Case]] = []
    for row in rows:
        participant = row["participant"]
        case = case_of(
            dossiers[participant], study, row["resource_id"], up_to=row["resource_version"]
        )
        notices += notices_of_version(case, participant)
        cases.append((participant, case))
    return notices, cases


async def _keep_deadlines(
    connection: Connection, study: Study, cases: Sequence[tuple[UUID, Case]]
) -> None:
    await connection.executemany(
        "INSERT INTO deadline (study, participant, id, adverse_event, expires_at, is_told) "
        "VALUES ($1, $2, $3, $4, $5, false) ON CONFLICT (study, participant, id) "
        "DO UPDATE SET expires_at = excluded.expires_at",
        [
            (study.number, participant, clock.id_in(case.id), case.id, expires_at)
            for participant, case in cases
            for clock in case_clocks(case)
            for expires_at in [clock.expires_at(case.time_zone)]
        ],
    )


async def _obey(connection: Connection, study: str, row: Any, now: datetime) -> None:
    """Do what an event about a subscription asks for."""
    document = parse_json(row["body"].encode())
    if row["resource"] == WEBHOOK_REPLAY.name:
        wanted = [UUID(delivery) for delivery in document["deliveries"]]
        await send_again(connection, study, wanted, now)
    elif document["status"] == "ended":
        await end_deliveries(connection, study, row["resource_id"])


async def _of_deadlines(connection: Connection, study: Study, now: datetime) -> list[Notice]:
    rows = await connection.fetch(
        "UPDATE deadline SET is_told = true WHERE study = $1 AND NOT is_told "
        "AND expires_at <= $2 RETURNING participant, adverse_event, id",
        study.number,
        now + DUE_SOON,
    )
    dossiers = await read_dossiers(connection, study.number, {row["participant"] for row in rows})
    return list(_due_soon(rows, dossiers, study, now))


def _due_soon(
    rows: Sequence[Any], dossiers: Mapping[UUID, Dossier], study: Study, now: datetime
) -> Iterator[Notice]:
    for row in rows:
        case = case_of(dossiers[row["participant"]], study, row["adverse_event"])
        for clock in case_clocks(case):
            is_open = clock_item(case, clock)["status"] == "open"
            if clock.id_in(case.id) == row["id"] and is_open:
                yield clock_notice("clock_due_soon", case, row["participant"], clock, now)
