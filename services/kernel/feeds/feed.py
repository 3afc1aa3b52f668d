"""A service's own feed: its events in commit order, with a long poll for news."""

import asyncio
from collections import defaultdict
from typing import Any, Final

import asyncpg
import structlog

from services.kernel.refusals import Refusal
from services.kernel.storage import FEED_CHANNEL, LOST, Connection, Database

log = structlog.get_logger()

_RECONNECT_SECONDS: Final = 0.5
_LARGEST_PAGE: Final = 500


class FeedNews:
    """Wakes who waits for a study's next event, in whichever process it was written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def listen(self) -> None:
        """Listen until cancelled; while the connection is lost, waiting readers time out."""
        while True:
            try:
                async with self._database.own_connection() as connection:
                    await connection.add_listener(FEED_CHANNEL, self._wake)
                    await _until_gone(connection)
            except (*LOST, asyncpg.PostgresError, Refusal) as error:
                log.warning("listen", kind=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _wake(self, _connection: Any, _pid: int, _channel: str, study: Any) -> None:
        self._news.pop(study, asyncio.Event()).set()

    def next_event(self, study: str) -> asyncio.Event:
        """Return what is set when the study has news; ask before reading the feed."""
        return self._news[study]


async def _until_gone(connection: Connection) -> None:
    gone = asyncio.Event()
    connection.add_termination_listener(lambda *_: gone.set())
    await gone.wait()


async def read_feed(connection: Connection, study: str, after: int, limit: int) -> list[Any]:
    """Return up to `limit` event rows after a position, in commit order."""
    return await connection.fetch(
        "SELECT * FROM event WHERE study = $1 AND position > $2 ORDER BY position LIMIT $3",
        study,
        after,
        min(limit, _LARGEST_PAGE),
    )


async def read_feed_page(
    connection: Connection, study: str, after: int, limit: int
) -> bytes | None:
    """Return the feed's next page as it is sent; None where there is no event yet.

    Written by the database, which has the texts already: a page of 500 would else keep the
    process from all other work for milliseconds.
    """
    page: str | None = await connection.fetchval(_PAGE, study, after, min(limit, _LARGEST_PAGE))
    return None if page is None else page.encode()


_PAGE: Final = (
    "SELECT json_build_object('items', json_agg(item ORDER BY position))::text "
    "FROM (SELECT position, participant, resource, resource_id, resource_version AS version, "
    "action, site, to_char(recorded_at AT TIME ZONE 'UTC', "
    """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS recorded_at, body """
    "FROM event WHERE study = $1 AND position > $2 ORDER BY position LIMIT $3) AS item "
    "HAVING count(*) > 0"
)
