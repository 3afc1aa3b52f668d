"""One request is one trace: the gateway's span, and below it those of the services."""

from typing import Any, Final

import pytest
from joserfc.jwk import ECKey
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.spans import received, spans_in
from tests.whole_system import STUDY, WholeSystem, screening_visit, whole_system

__all__ = ["received"]
VISIT: Final = "POST /v1/studies/{study}/participants/{participant}/visits"


def services_in(bodies: list[bytes]) -> dict[bytes, str]:
    """Return whose span it is, by the span's id."""
    return {
        span.span_id: attribute.value.string_value
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
        for scope in resource.scope_spans
        for span in scope.spans
    }


@pytest.fixture
async def recorded(
    received: list[bytes], postgres_dsn: str, issuer_key: ECKey, issuer_key_set: str
) -> tuple[list[bytes], str]:
    """Spans of a system that took one visit, and whose visit it was."""
    async with whole_system(postgres_dsn, issuer_key, issuer_key_set, {}) as system:
        participant = await _take_visit(system)
    return received, participant


async def _take_visit(system: WholeSystem) -> str:
    participant = await system.registered()
    body: Any = {**screening_visit(), "adverse_events": [{"term": "MARKqz7"}]}
    await system.made(f"/participants/{participant}/visits", body, role="edc")
    return participant


async def test_a_visit_is_one_trace_through_all_services(
    recorded: tuple[list[bytes], str],
) -> None:
    bodies, participant = recorded
    services = services_in(bodies)
    spans = spans_in(bodies)
    [root] = [span for span in spans if span.name == VISIT and services[span.span_id] == "gateway"]
    below = [span for span in spans if span.parent_span_id == root.span_id]
    assert not root.parent_span_id
    assert {span.trace_id for span in below} == {root.trace_id}
    assert {services[span.span_id] for span in below} == {"enrolment", "scoring", "safety"}
    ids = {
        attribute.value.string_value
        for span in (root, *below)
        for attribute in span.attributes
        if attribute.key == "trial.request_id"
    }
    assert len(ids) == 1
    sent = b"".join(bodies)
    for personal in (participant, "MARKqz7", STUDY, "Bearer"):
        assert personal.encode() not in sent
