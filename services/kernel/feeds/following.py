"""Reads the feeds of other services and keeps the facts that this one needs.

The position is kept in the transaction that applies the events: each is applied once. What
is kept can be dropped and is read again from the feed. A gap in the positions stops the
reading, for a feed with a gap has lost something.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import stamina
import structlog

from services.kernel.exact_json import parse_json
from services.kernel.problems import Unavailable
from services.kernel.refusals import Refusal
from services.kernel.storage import LOST, Database

log = structlog.get_logger()

PAGE: Final = 500
LONG_POLL_SECONDS: Final = 20
CATCH_UP_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.5


class FeedGap(Exception):  # noqa: N818 - states a fact
    """A feed left out a position."""


class Behind(Unavailable):
    """Another service's newest facts could not be had in time.

    Wait as long as `Retry-After` says, and send the same request with the same key.
    """


@dataclass(frozen=True, slots=True)
class Source:
    """A feed to follow: whose it is, where, and which kinds of record are kept."""

    service: str
    url: str
    resources: frozenset[str]


class Follower:
    """Follows one service's feeds, one reader a study."""

    def __init__(self, source: Source, database: Database, token: str) -> None:
        self.source = source
        self._database = database
        self._client = httpx.AsyncClient(
            base_url=source.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(5, read=LONG_POLL_SECONDS + 10),
        )
        self._positions: dict[str, int] = {}
        self._rounds: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()

    async def follow(self, study: str) -> None:
        """Apply the study's events as they come, until cancelled."""
        while True:
            try:
                await self._read_round(study, LONG_POLL_SECONDS)
            except FeedGap:
                log.error("feed_gap", source=self.source.service, study=study)  # noqa: TRY400
                raise
            except (httpx.HTTPError, *LOST, asyncpg.PostgresError, Refusal) as error:
                log.warning("follow", source=self.source.service, kind=type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def catch_up(self, study: str, *, at_least: int | None = None) -> None:
        """Return when all that the other service had acknowledged before is applied here.

        Concurrent callers share rounds of reading. With `at_least`, a position, return at
        once if it is already held. Raises Behind when that fails or takes more than 2 s.
        """
        if at_least is not None and self._positions.get(study, 0) >= at_least:
            return
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await self._join_round(study)
        except (TimeoutError, httpx.HTTPError, *LOST, asyncpg.PostgresError, Refusal) as error:
            log.warning("catch_up", source=self.source.service, kind=type(error).__name__)
            raise Behind(f"The newest facts of {self.source.service} cannot be had now.") from None

    async def _join_round(self, study: str) -> None:
        # A round that began before this call may have missed what this caller needs.
        running = self._rounds.get(study)
        if running is not None and not running.done():
            await asyncio.wait([running])
        following = self._rounds.get(study)
        if following is None or following.done() or following is running:
            following = asyncio.create_task(self._read_all(study))
            self._rounds[study] = following
        await asyncio.shield(following)

    async def _read_all(self, study: str) -> None:
        for attempt in stamina.retry_context(on=httpx.TransportError, attempts=3, wait_max=0.2):
            with attempt:
                while await self._read_round(study, 0) == PAGE:
                    pass

    async def _read_round(self, study: str, wait: int) -> int:
        after = await self._position(study)
        answer = await self._client.get(
            f"/v1/studies/{study}/events", params={"after": after, "limit": PAGE, "wait": wait}
        )
        items: list[dict[str, Any]] = parse_json(answer.raise_for_status().content)["items"]
        if items:
            await self._apply(study, items)
        return len(items)

    async def _position(self, study: str) -> int:
        if study not in self._positions:
            async with self._database.pooled() as connection:
                self._positions[study] = await connection.fetchval(
                    "SELECT coalesce(max(position), 0) FROM followed "
                    "WHERE study = $1 AND source = $2",
                    study,
                    self.source.service,
                )
        return self._positions[study]

    async def _apply(self, study: str, items: Sequence[Mapping[str, Any]]) -> None:
        async with self._database.pooled() as connection, connection.transaction():
            held = await connection.fetchval(
                "INSERT INTO followed (study, source, position, applied_at) "
                "VALUES ($1, $2, 0, $3) ON CONFLICT (study, source) "
                "DO UPDATE SET applied_at = excluded.applied_at RETURNING position",
                study,
                self.source.service,
                datetime.now(UTC),
            )
            new = [item for item in items if item["position"] > held]
            for expected, item in enumerate(new, start=held + 1):
                if item["position"] != expected:
                    raise FeedGap
            kept = [item for item in new if item["resource"] in self.source.resources]
            await self._keep(connection, study, kept)
            position = max([held, *(item["position"] for item in new)])
            await connection.execute(
                "UPDATE followed SET position = $3 WHERE study = $1 AND source = $2",
                study,
                self.source.service,
                position,
            )
        self._positions[study] = max(position, self._positions.get(study, 0))

    async def _keep(self, connection: Any, study: str, items: Iterable[Mapping[str, Any]]) -> None:
        rows = [
            (
                UUID(item["participant"]),
                item["resource"],
                UUID(item["resource_id"]),
                item["version"],
                item["site"],
                datetime.fromisoformat(item["recorded_at"]),
                item["body"],
            )
            for item in items
        ]
        if rows:
            await connection.execute(
                "INSERT INTO fact (study, participant, source, resource, resource_id, version, "
                "site, recorded_at, body) SELECT $1, participant, $2, resource, resource_id, "
                "version, site, recorded_at, body::jsonb FROM unnest($3::uuid[], $4::text[], "
                "$5::uuid[], $6::int[], $7::text[], $8::timestamptz[], $9::text[]) AS t("
                "participant, resource, resource_id, version, site, recorded_at, body) "
                "ON CONFLICT DO NOTHING",
                study,
                self.source.service,
                *[list(column) for column in zip(*rows, strict=True)],
            )


class Followers:
    """All feeds that a service follows."""

    def __init__(self, sources: Sequence[Source], database: Database, token: str) -> None:
        self._followers = {source.service: Follower(source, database, token) for source in sources}
        self._tasks: list[asyncio.Task[None]] = []

    def follows(self, service: str) -> bool:
        """Tell whether facts of the service are kept here."""
        return service in self._followers

    def start(self, studies: Iterable[str]) -> None:
        """Follow every feed of every study."""
        self._tasks = [
            asyncio.create_task(follower.follow(study))
            for study in studies
            for follower in self._followers.values()
        ]

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for follower in self._followers.values():
            await follower.close()

    async def catch_up(self, study: str, service: str | None = None) -> None:
        """Catch up with one service, or with all; raises Behind."""
        wanted = [service] if service is not None else list(self._followers)
        await asyncio.gather(*(self._followers[name].catch_up(study) for name in wanted))

    async def at_least(self, study: str, known: str | None) -> None:
        """Catch up with the positions that a caller has seen, as in `enrolment=118`.

        Costs nothing where they are held already. A service that is down is passed over:
        what cannot be learnt now is decided on the facts at hand.
        """
        for service, position in _positions(known):
            follower = self._followers.get(service)
            if follower is not None:
                try:
                    await follower.catch_up(study, at_least=position)
                except Behind:
                    log.warning("behind", source=service)


def _positions(known: str | None) -> list[tuple[str, int]]:
    pairs = [part.strip().partition("=") for part in (known or "")[:200].split(",")]
    return [(name, int(text)) for name, _, text in pairs if text.isascii() and text.isdigit()]
