"""The application factory: what every service process is, before it knows any trial."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.telemetry import TelemetryConfig
from sqlalchemy import MetaData
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp

from services.kernel import surfaces
from services.kernel.access import Role, TokenVerifier
from services.kernel.appending import Columns
from services.kernel.audit_routes import audit_routes
from services.kernel.calls import Find
from services.kernel.database import Database
from services.kernel.documents import described, document
from services.kernel.feed import FeedNews
from services.kernel.following import Followers, Source
from services.kernel.problems import (
    from_http_exception,
    from_validation,
    problem_response,
    request_id_of,
)
from services.kernel.query_routes import query_routes
from services.kernel.reads import ReadLog
from services.kernel.refusals import Refusal
from services.kernel.settings import ProcessSettings
from services.kernel.telemetry import Metrics, Observed, configure_logging
from services.kernel.tracing import add_tracing
from services.kernel.writing import Writer

_NOT_ALLOWED: Final = 405

Task = Callable[[FastAPI], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What distinguishes one service from another.

    `subjects`: what the tags of its operations mean.
    `follows`: which kinds of record it keeps of which other service.
    `background`: tasks that run as long as the process.
    `keeps`: what a process has of its own, by its name in the application's state.
    `find_participant`: finds whom a path means, before a refusal says more of a record.
    `until_known`: codes of warnings that end when the feed tells of the participant;
    `shown_unverified`: who sees before that what such a record asks.
    `typed`: how columns that are not called as their member follow from a document.
    """

    name: str
    title: str
    summary: str
    tables: MetaData
    routers: Sequence[APIRouter]
    subjects: Mapping[str, str] = field(default_factory=dict)
    follows: Mapping[str, frozenset[str]] = field(default_factory=dict)
    background: Sequence[Task] = ()
    keeps: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    find_participant: Find | None = None
    until_known: frozenset[str] = frozenset()
    shown_unverified: Sequence[Role] = ()
    typed: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)

    @property
    def follows_participants(self) -> bool:
        """Tell whether another service's feed says who takes part."""
        return any("participant" in kinds for kinds in self.follows.values())


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
    metrics = Metrics()
    database = Database(settings.database_url.get_secret_value(), service.name)
    app = Application(
        title=service.title,
        summary=service.summary,
        openapi_tags=described({**surfaces.SUBJECTS, **service.subjects}),
        version="1",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        telemetry=NO_TELEMETRY,
        lifespan=_lifespan,
    )
    app.state.service = service.name
    app.state.description = service
    app.state.settings = settings
    app.state.studies = studies
    app.state.metrics = metrics
    app.state.database = database
    app.state.find_participant = service.find_participant
    app.state.verifier = TokenVerifier(settings.issuers)
    app.state.news = FeedNews(database)
    for name, make in service.keeps.items():
        setattr(app.state, name, make())
    shared = (surfaces.health, surfaces.guarded, audit_routes, query_routes)
    add_routes(app, *service.routers, *shared)
    refuse_as_problems(app)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    app.add_middleware(Observed, metrics=metrics, service=service.name)
    app.state.end_tracing = add_tracing(app, service.name)
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
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    service: Service = state.description
    settings: ProcessSettings = state.settings
    await state.database.open()
    state.writer = Writer(
        state.database,
        [Columns(table) for table in service.tables.sorted_tables],
        metrics=state.metrics,
        release=settings.release,
        longest_queue=settings.longest_queue,
        largest_batch=settings.largest_batch,
    )
    state.followers = Followers(
        [
            Source(name, getattr(settings, f"{name}_url"), resources)
            for name, resources in service.follows.items()
        ],
        state.database,
        settings.service_token.get_secret_value(),
    )
    state.followers.start(state.studies)
    state.reads = ReadLog(state.database)
    tasks = [asyncio.create_task(state.news.listen())]
    tasks += [asyncio.create_task(task(app)) for task in service.background]
    # Everything alive now lives for good: the collector need not walk it at every turn,
    # which took the slowest hundredth of writes from 70 to 22 ms.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await state.followers.close()
    await state.writer.close()
    await state.reads.close()
    await state.database.close()
    await asyncio.to_thread(state.end_tracing)
