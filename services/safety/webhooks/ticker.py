"""What happens by itself: notices, and their delivery. One replica does it at a time.

The replica holds an advisory lock on a connection of its own, and takes news in transactions
on that connection: losing it ends both. Deliveries run beside, so that a receiver which hangs
holds up nobody but itself; writes have other connections.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.kernel.feeds import FeedNews
from services.kernel.holdings import Holdings
from services.kernel.observing import Metrics
from services.kernel.storage import Connection, Database
from services.protocol.loading import Studies
from services.safety.settings import WebhookSettings
from services.safety.webhooks.noticing import take_news
from services.safety.webhooks.outbox import Waiting, due_deliveries, settle
from services.safety.webhooks.sending import Sender
from services.safety.webhooks.signal_watch import SignalWatch
from services.safety.webhooks.signing import signature_headers
from services.safety.webhooks.subscriptions import read_webhooks, secrets_in_force

log = structlog.get_logger()

LOCK: Final = 0x5AFE_71C4
"""The advisory lock's number; any number does that nobody else takes."""
PAUSE_SECONDS: Final = 1.0
BREATH_SECONDS: Final = 0.05
"""Between two rounds, so that what is written meanwhile is taken together."""
MOST_AT_ONCE: Final = 32
"""Deliveries in flight, of all subscriptions of a study."""
MOST_OF_ONE: Final = 8
"""Deliveries in flight to one receiver: the others have room while it hangs."""


async def tick(holdings: Holdings) -> None:
    """Be the ticker whenever no other replica is, until cancelled."""
    attempts = Counter(
        "webhook_attempts",
        "Attempts to deliver a notice, by what became of it.",
        ("status",),
        registry=holdings[Metrics].registry,
    )
    ticker = Ticker(
        holdings[Database],
        holdings[Studies],
        holdings[WebhookSettings],
        holdings[FeedNews],
        attempts,
    )
    try:
        await ticker.run()
    finally:
        await ticker.close()


class Ticker:
    """Takes news and delivers, as long as it holds the lock."""

    def __init__(
        self,
        database: Database,
        studies: Studies,
        settings: WebhookSettings,
        news: FeedNews,
        attempts: Counter,
    ) -> None:
        self._database = database
        self._studies = studies
        self._settings = settings
        self._news = news
        self._attempts = attempts
        self._sender = Sender(settings)
        self._flying: dict[tuple[UUID, int], asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Break off what is in flight; it is sent again by the next ticker."""
        await self._break_off()
        await self._sender.close()

    async def run(self) -> None:
        """Work while the lock can be had; whatever goes wrong, try again a moment later."""
        while True:
            try:
                async with self._database.own_connection() as connection:
                    if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                        await self._work(connection)
            except Exception as fault:  # noqa: BLE001 - the ticker must outlive any fault
                log.warning("ticker", kind=type(fault).__name__)
            # Another replica may have the lock by now, and sends what is in flight here.
            await self._break_off()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _break_off(self) -> None:
        flying = list(self._flying.values())
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)

    async def _work(self, connection: Connection) -> None:
        watches = [(study, SignalWatch(study)) for study in self._studies.values()]
        while True:
            news = [self._news.next_event(number) for number in self._studies]
            for study, watch in watches:
                while await take_news(connection, study, watch, datetime.now(UTC)):
                    pass
                await self._launch(study.number)
            await self._pause(news)
            await asyncio.sleep(BREATH_SECONDS)

    async def _pause(self, news: list[asyncio.Event]) -> None:
        """Wait for an event, for the end of a delivery, or for a moment."""
        waiting = [asyncio.ensure_future(one.wait()) for one in news]
        await asyncio.wait(
            [*waiting, *self._flying.values()],
            timeout=PAUSE_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for one in waiting:
            one.cancel()

    async def _launch(self, study: str) -> None:
        """Start what is due and not in flight; a receiver has its own share of the room."""
        self._flying = {at: task for at, task in self._flying.items() if not task.done()}
        async with self._database.pooled() as connection:
            due = await due_deliveries(connection, study, datetime.now(UTC), 2 * MOST_OF_ONE)
        for waiting in due:
            of_one = sum(webhook == waiting.webhook for webhook, _ in self._flying)
            is_full = len(self._flying) >= MOST_AT_ONCE or of_one >= MOST_OF_ONE
            at = (waiting.webhook, waiting.number)
            if at not in self._flying and not is_full:
                self._flying[at] = asyncio.create_task(self._deliver(study, waiting))

    async def _deliver(self, study: str, waiting: Waiting) -> None:
        try:
            await self._attempt(study, waiting)
        except Exception as fault:  # noqa: BLE001 - it stays pending and is tried again
            log.warning("delivery", kind=type(fault).__name__)

    async def _attempt(self, study: str, waiting: Waiting) -> None:
        now = datetime.now(UTC)
        overlap = timedelta(seconds=self._settings.secret_overlap_seconds)
        async with self._database.pooled() as connection:
            webhooks = await read_webhooks(connection, study)
            secrets = await secrets_in_force(connection, study, waiting.webhook, now, overlap)
        url: Any = webhooks[waiting.webhook].document["url"]
        headers = signature_headers(waiting.notice, now, waiting.body, secrets)
        attempt = await self._sender.send(url, headers, waiting.body)
        ended = datetime.now(UTC)
        status, next_attempt_at = self._outlook(waiting, ended, is_taken=attempt.fault is None)
        self._attempts.labels(status).inc()
        if attempt.fault is not None:
            log.warning("delivery", fault=attempt.fault, status=status)
        async with self._database.pooled() as connection:
            await settle(
                connection,
                study,
                waiting,
                attempt,
                status=status,
                now=ended,
                next_attempt_at=next_attempt_at,
            )

    def _outlook(self, waiting: Waiting, now: datetime, *, is_taken: bool) -> tuple[str, datetime]:
        """Return what becomes of a delivery, and when it is tried again: later each time."""
        longest = self._settings.longest_retry_seconds
        seconds = min(
            self._settings.first_retry_seconds * 2.0 ** min(waiting.attempts, 40), longest
        )
        next_attempt_at = now + timedelta(seconds=seconds)
        last = waiting.waiting_since + timedelta(seconds=self._settings.give_up_after_seconds)
        if is_taken:
            return "delivered", now
        return ("dead" if next_attempt_at > last else "pending"), next_attempt_at
