"""Logs, metrics and traces of a process; none of them ever holds personal data."""

from services.kernel.observing.telemetry import (
    Metrics,
    Observed,
    configure_logging,
    frames,
)
from services.kernel.observing.tracing import (
    Tracing,
    add_tracing,
    parent_headers,
)

__all__ = [
    "Metrics",
    "Observed",
    "Tracing",
    "add_tracing",
    "configure_logging",
    "frames",
    "parent_headers",
]
