"""The operations that every service has: health, metrics, its feed, its audit trail."""

import asyncio
from typing import Annotated, Final

import asyncpg
from fastapi import Query, Request
from starlette.responses import PlainTextResponse, Response

from services.kernel.calls import CallDep
from services.kernel.exact_json import canonical_json
from services.kernel.feed import read_feed_page
from services.kernel.operations import may, open_router, router
from services.kernel.refusals import Refusal

LONGEST_WAIT_SECONDS: Final = 25
SUBJECTS: Final = {
    "health": "Whether a process lives and can serve, and its numbers.",
    "audit": "Who did what, when and why, and the proof that nothing was changed since.",
    "queries": "What is odd about records as they stand, until it is answered or corrected.",
    "feed": "A service's events in commit order, for the other services.",
}

health = open_router(tags=["health"])
guarded = router(tags=["audit"])


@health.get("/health/live", summary="Is the process alive?")
async def read_liveness() -> dict[str, str]:
    """Answer as long as the process serves requests."""
    return {"status": "live"}


@health.get("/health/ready", summary="Can it serve?", responses={503: {"description": "Not now."}})
async def read_readiness(request: Request) -> Response:
    """Say in words what is wrong, with status 503, or that the service is ready."""
    faults = []
    try:
        async with asyncio.timeout(2), request.app.state.database.reading() as connection:
            await connection.fetchval("SELECT count(*) FROM feed_counter")
    except (Refusal, TimeoutError, asyncpg.PostgresError):
        faults.append("The database cannot be reached, or its schema is not migrated.")
    body = {
        "service": request.app.state.service,
        "status": "not ready" if faults else "ready",
        "faults": faults,
    }
    return Response(canonical_json(body), 503 if faults else 200, media_type="application/json")


@guarded.get(
    "/metrics",
    tags=["health"],
    response_class=PlainTextResponse,
    **may("admin", "service", is_internal=True),
)
async def read_metrics(request: Request, call: CallDep) -> Response:
    """Return the process's numbers in Prometheus form."""
    del call
    return Response(request.app.state.metrics.exposition(), media_type="text/plain; version=0.0.4")


@guarded.get("/v1/studies/{study}/events", tags=["feed"], **may("service", is_internal=True))
async def read_events(
    request: Request,
    call: CallDep,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
    wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT_SECONDS)] = 0,
) -> Response:
    """Return events in commit order; with `wait`, hold the answer until there is news."""
    news = request.app.state.news.next_event(call.study)
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
    async with request.app.state.database.reading() as connection:
        return await read_feed_page(connection, study, after, limit)
