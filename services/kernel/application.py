"""The application factory: what every service process is, before it knows any trial."""

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp

from services.kernel.audit import ReadLog
from services.kernel.audit.routes import audit_routes
from services.kernel.definition import Service
from services.kernel.feeds import FeedNews, Followers, Source
from services.kernel.feeds.routes import feed_routes
from services.kernel.holdings import Holdings
from services.kernel.http import Guard
from services.kernel.http.health import health_routes, metrics_routes
from services.kernel.identity import TokenVerifier
from services.kernel.observing import Metrics, Observed, Tracing, add_tracing, configure_logging
from services.kernel.openapi import described, document
from services.kernel.problems import (
    from_http_exception,
    from_validation,
    problem_response,
    request_id_of,
)
from services.kernel.queries.routes import query_routes
from services.kernel.refusals import Refusal
from services.kernel.settings import ProcessSettings
from services.kernel.storage import Database
from services.kernel.writing import Columns, Writer

_NOT_ALLOWED: Final = 405
KERNEL_SUBJECTS: Final = {
    "health": "Whether a process lives and can serve, and its numbers.",
    "audit": "Who did what, when and why, and the proof that nothing was changed since.",
    "queries": "What is odd about records as they stand, until it is answered or corrected.",
    "feed": "A service's events in commit order, for the other services.",
}
"""What the tags of the operations mean that every service has."""

NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}
"""The framework's own looks for providers at every request, which costs 8 % of the time."""


class Application(FastAPI):
    """FastAPI with only those layers around the routes that are used here.

    Each layer takes a hundredth of the time of a write. What the others are for is done
    elsewhere: crashes are hidden by `Observed`, bodies are limited where they are read.
    """

    def build_middleware_stack(self) -> ASGIApp:
        """Return the layers: our own, what makes answers of refusals, and the routes."""
        app: ASGIApp = AsyncExitStackMiddleware(self.router)
        app = ExceptionMiddleware(app, handlers=self.exception_handlers)
        for layer, arguments, settings in reversed(self.user_middleware):
            app = layer(app, *arguments, **settings)
        return app


def build_app(service: Service, studies: Mapping[str, Any], settings: ProcessSettings) -> FastAPI:
    """Return the service's application; `studies` are what its paths may name."""
    configure_logging(settings.log_level)
    database = Database(settings.database_url.get_secret_value(), service.name)
    guard = Guard(
        verifier=TokenVerifier(settings.issuers),
        studies=studies,
        find_participant=service.find_participant,
    )
    holdings = Holdings(service, settings, studies, database, Metrics(), FeedNews(database), guard)
    holdings.add(*(make() for make in service.keeps))
    app = Application(
        title=service.title,
        summary=service.summary,
        openapi_tags=described({**KERNEL_SUBJECTS, **service.subjects}),
        version="1",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        telemetry=NO_TELEMETRY,
        lifespan=lambda _app: _running(holdings, list(studies)),
    )
    app.state.holdings = holdings
    shared = (health_routes, metrics_routes, feed_routes, audit_routes, query_routes)
    add_routes(app, *service.routers, *shared)
    refuse_as_problems(app)
    app.openapi = lambda: document(app, service.name)  # type: ignore[method-assign]
    app.add_middleware(Observed, metrics=holdings[Metrics], service=service.name)
    holdings.add(add_tracing(app, service.name))
    return app


def add_routes(app: FastAPI, *routers: APIRouter) -> None:
    """Add the routers' operations, those that are called most first.

    A router that is included is asked anew at each request what routes it has, which took
    longer than to find the right one among them.
    """
    for router in routers:
        app.router.routes.extend(router.routes)


def refuse_as_problems(app: FastAPI) -> None:
    """Answer every refusal, ours and the framework's, with one shape of problem."""

    async def refused(request: Request, refusal: Exception) -> Response:
        if not isinstance(refusal, Refusal):
            raise refusal
        return problem_response(refusal, request_id_of(request))

    async def invalid(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        return problem_response(from_validation(error), request_id_of(request))

    async def framework(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        headers = {"Allow": _methods_at(request)} if error.status_code == _NOT_ALLOWED else None
        return problem_response(from_http_exception(error), request_id_of(request), headers)

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)


def _methods_at(request: Request) -> str:
    # The framework names only the first matching route's methods.
    methods = {
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if compile_path(path)[0].match(request.url.path)
        for method in operations
    }
    return ", ".join(sorted(methods))


@asynccontextmanager
async def _running(holdings: Holdings, studies: Sequence[str]) -> AsyncIterator[None]:
    service, database = holdings[Service], holdings[Database]
    await database.open()
    writer, followers, reads = _writer(holdings), _followers(holdings), ReadLog(database)
    guard = replace(holdings[Guard], note_read=reads.note_answer)
    holdings.add(writer, followers, reads, guard)
    followers.start(studies)
    tasks = [asyncio.create_task(holdings[FeedNews].listen())]
    tasks += [asyncio.create_task(task(holdings)) for task in service.background]
    # Everything alive now lives for good: the collector need not walk it at every turn,
    # which took the slowest hundredth of writes from 70 to 22 ms.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await followers.close()
    await writer.close()
    await reads.close()
    await database.close()
    await asyncio.to_thread(holdings[Tracing].end)


def _writer(holdings: Holdings) -> Writer:
    settings = holdings[ProcessSettings]
    return Writer(
        holdings[Database],
        [Columns(table) for table in holdings[Service].tables.sorted_tables],
        metrics=holdings[Metrics],
        release=settings.release,
        longest_queue=settings.longest_queue,
        largest_batch=settings.largest_batch,
    )


def _followers(holdings: Holdings) -> Followers:
    settings = holdings[ProcessSettings]
    sources = [
        Source(name, getattr(settings, f"{name}_url"), resources)
        for name, resources in holdings[Service].follows.items()
    ]
    return Followers(sources, holdings[Database], settings.service_token.get_secret_value())
