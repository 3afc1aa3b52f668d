"""Request ids, logs and metrics; none of them ever holds personal data.

Logs and metrics know route templates, never paths, queries, bodies, tokens or exception
messages, all of which may identify a participant.
"""

import logging
import re
import sys
import time
import traceback
from typing import Any, Final

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from services.kernel.problems import (
    BadRequest,
    HeadersTooLarge,
    InternalFault,
    problem_response,
)

_WELL_FORMED: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}\Z")
MOST_HEADER_BYTES: Final = 16 * 1024
_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

log = structlog.get_logger()


class Metrics:
    """The numbers of one process, in Prometheus form."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "http_request_seconds",
            "Time to answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.batch_commands = Histogram(
            "write_batch_commands",
            "Commands that shared a transaction.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 1024),
            registry=self.registry,
        )
        self.queued_commands = Gauge(
            "write_queue_commands", "Commands waiting to be written.", registry=self.registry
        )
        self.retried_batches = Counter(
            "write_batches_retried",
            "Batches rolled back and decided again.",
            registry=self.registry,
        )

        self._found: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer, and the time that it took."""
        found = self._found.get((method, route, status))
        if found is None:
            # Finding a number by its labels takes longer than counting.
            counter = self.requests.labels(method, route, str(status))
            found = (counter, self.seconds.labels(method, route))
            self._found[method, route, status] = found
        counter, histogram = found
        counter.inc()
        histogram.observe(seconds)

    def exposition(self) -> bytes:
        """Return all numbers as Prometheus text."""
        return generate_latest(self.registry)


class Observed:
    """The outermost layer: gives each request its id, logs and counts it, hides crashes."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, service: str) -> None:
        self.app = app
        self.metrics = metrics
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        seen = _Answer(send, request_id)
        started = time.perf_counter()
        try:
            refusal = _refuse_headers(scope)
            if refusal is None:
                await self.app(scope, receive, seen.send)
            else:
                await problem_response(refusal, request_id)(scope, receive, seen.send)
        except Exception as crash:  # noqa: BLE001 - the last place that can hide a crash
            # Not log.exception: the exception's message may hold a refused value.
            kind = type(crash).__name__
            log.error("crash", request_id=request_id, kind=kind, at=frames(crash))  # noqa: TRY400
            if not seen.started:
                await problem_response(InternalFault(), request_id)(scope, receive, seen.send)
        finally:
            self._account(scope, seen.status, time.perf_counter() - started, request_id)

    def _account(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route, method = route_and_method(scope)
        self.metrics.answered(method, route, status, seconds)
        log.info(
            "request",
            service=self.service,
            request_id=request_id,
            method=method,
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
        )


_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})


def route_and_method(scope: Scope) -> tuple[str, str]:
    """Return the route's template and the method: of each there are only so many."""
    route = getattr(scope.get("route"), "path", "unmatched")
    return route, scope["method"] if scope["method"] in _METHODS else "OTHER"


class _Answer:
    """Watches an answer pass, and stamps the request id on it."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 500
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            # The list itself: nobody below sets these two.
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", self._request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
        await self._send(message)


def _request_id(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _WELL_FORMED.match(given[0]):
        return str(given[0], "ascii")
    return str(uuid7())


def _refuse_headers(scope: Scope) -> HeadersTooLarge | BadRequest | None:
    size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size > MOST_HEADER_BYTES:
        return HeadersTooLarge("The headers together are larger than 16 KiB.")
    return None


def frames(crash: BaseException) -> list[str]:
    """Return where a crash happened, without its message, which may hold values."""
    return [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(crash.__traceback__)[-8:]
    ]


_SERVERS_OWN: Final = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure_logging(level: str) -> None:
    """Write JSON lines to standard output; the libraries' own loggers only warnings."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_PlainHandler()], force=True)
    for name in _SERVERS_OWN:
        # The server has handlers of its own by now, which write no JSON.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


class _PlainHandler(logging.Handler):
    """Passes on a library's warning without its arguments, which may hold values."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "template": str(record.msg)[:200]}
        log.log(record.levelno, "library", **fields)
