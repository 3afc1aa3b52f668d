"""A service's feed, as the other services read it."""

import asyncio
from typing import Annotated, Final

from fastapi import Query, Request
from starlette.responses import Response

from services.kernel.feeds.feed import FeedNews, read_feed_page
from services.kernel.holdings import held
from services.kernel.http import CallDep, may, router
from services.kernel.storage import Database

LONGEST_WAIT_SECONDS: Final = 25

feed_routes = router(tags=["feed"])


@feed_routes.get("/v1/studies/{study}/events", **may("service", is_internal=True))
async def read_events(
    request: Request,
    call: CallDep,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
    wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT_SECONDS)] = 0,
) -> Response:
    """Return events in commit order; with `wait`, hold the answer until there is news."""
    news = held(request, FeedNews).next_event(call.study)
    page = await _read_page(request, call.study, after, limit)
    if page is None and wait:
        try:
            await asyncio.wait_for(news.wait(), wait)
        except TimeoutError:
            pass
        else:
            page = await _read_page(request, call.study, after, limit)
    return Response(page or b'{"items":[]}', media_type="application/json")


async def _read_page(request: Request, study: str, after: int, limit: int) -> bytes | None:
    async with held(request, Database).pooled() as connection:
        return await read_feed_page(connection, study, after, limit)
