"""Whether a process lives and can serve, and its numbers."""

import asyncio

import asyncpg
from fastapi import Request
from starlette.responses import PlainTextResponse, Response

from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http.calls import CallDep
from services.kernel.http.declaring import may, open_router, router
from services.kernel.observing import Metrics
from services.kernel.refusals import Refusal
from services.kernel.storage import Database

health_routes = open_router(tags=["health"])
metrics_routes = router(tags=["health"])


@health_routes.get("/health/live", summary="Is the process alive?")
async def read_liveness() -> dict[str, str]:
    """Answer as long as the process serves requests."""
    return {"status": "live"}


@health_routes.get(
    "/health/ready", summary="Can it serve?", responses={503: {"description": "Not now."}}
)
async def read_readiness(request: Request) -> Response:
    """Say in words what is wrong, with status 503, or that the service is ready."""
    faults = []
    try:
        async with asyncio.timeout(2), held(request, Database).pooled() as connection:
            await connection.fetchval("SELECT count(*) FROM feed_counter")
    except (Refusal, TimeoutError, asyncpg.PostgresError):
        faults.append("The database cannot be reached, or its schema is not migrated.")
    body = {
        "service": held(request, Database).schema,
        "status": "not ready" if faults else "ready",
        "faults": faults,
    }
    return Response(canonical_json(body), 503 if faults else 200, media_type="application/json")


@metrics_routes.get(
    "/metrics",
    response_class=PlainTextResponse,
    **may("admin", "service", is_internal=True),
)
async def read_metrics(request: Request, call: CallDep) -> Response:
    """Return the process's numbers in Prometheus form."""
    del call
    return Response(held(request, Metrics).exposition(), media_type="text/plain; version=0.0.4")
