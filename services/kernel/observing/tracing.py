"""Traces through gateway and services: on where an OTLP address is set, else of no cost.

The standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin) say where to. A span knows
the method, the route's template and the status, never a path, a query or a message. Of what
callers send only `traceparent` is believed: baggage could carry anything.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.kernel.observing.telemetry import route_and_method

_PARENT: Final = TraceContextTextMapPropagator()
_SERVER_FAULT: Final = 500


@dataclass(frozen=True, slots=True)
class Tracing:
    """What ends the tracing of a process, sending what is left."""

    end: Callable[[], object]


def add_tracing(app: FastAPI, service: str) -> Tracing:
    """Trace every request of the application, where an address is set.

    Raises ModuleNotFoundError where an address is set and the extra is not installed.
    """
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return Tracing(lambda: None)
    # The extra `tracing`: only who asks for traces needs its packages.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create({"service.name": service}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    app.add_middleware(Traced, tracer=provider.get_tracer("trial-events"))
    return Tracing(provider.shutdown)


def parent_headers() -> dict[str, str]:
    """Return the headers that make the next service's span a child of the current one."""
    headers: dict[str, str] = {}
    _PARENT.inject(headers)
    return headers


class Traced:
    """The outermost layer of a traced process: one span a request."""

    def __init__(self, app: ASGIApp, *, tracer: Tracer) -> None:
        self.app = app
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request within a span."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        parent = _PARENT.extract(_trace_headers(scope))
        with self.tracer.start_as_current_span(
            "request",
            context=parent,
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _describe(span, scope, message["status"])
                await send(message)

            await self.app(scope, receive, watched)


def _trace_headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in {b"traceparent", b"tracestate"}
    }


def _describe(span: trace.Span, scope: Scope, status: int) -> None:
    route, method = route_and_method(scope)
    span.update_name(f"{method} {route}")
    attributes: dict[str, Any] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
        "trial.request_id": scope["state"]["request_id"],
    }
    span.set_attributes(attributes)
    if status >= _SERVER_FAULT:
        span.set_status(Status(StatusCode.ERROR))
