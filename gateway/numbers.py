"""The numbers of all processes as one page: each sample says whose it is."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from fastapi import Request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from gateway.forwarding import SERVICES, Forwarder, ServiceDown
from services.kernel.holdings import held
from services.kernel.observing import Metrics

_UP: Final = "service_up"


async def numbers_of_all(request: Request) -> bytes:
    """Return the numbers of the gateway and the services, in Prometheus form."""
    texts = await asyncio.gather(*(_numbers_of(request, service) for service in SERVICES))
    found = dict(zip(SERVICES, texts, strict=True))
    own = held(request, Metrics).exposition().decode()
    return merged({"gateway": own, **{name: text or "" for name, text in found.items()}}, found)


async def _numbers_of(request: Request, service: str) -> str | None:
    forwarder = held(request, Forwarder)
    try:
        reply = await forwarder.forward(request, service, "/metrics", study=None)
    except ServiceDown:
        return None
    return reply.body.decode() if reply.is_good else None


def merged(texts: Mapping[str, str], asked: Mapping[str, str | None]) -> bytes:
    """Return expositions as one, each sample with the label `service`, and who answered."""
    families: dict[str, Metric] = {}
    for service, text in texts.items():
        for family in text_string_to_metric_families(text):
            whole = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            whole.samples += [
                sample._replace(labels={**sample.labels, "service": service})
                for sample in family.samples
            ]
    up = Metric(_UP, "Whether the service told its numbers.", "gauge")
    for service, answer in asked.items():
        up.add_sample(_UP, {"service": service}, float(answer is not None))
    registry = CollectorRegistry()
    registry.register(_Collected([*families.values(), up]))
    return generate_latest(registry)


class _Collected(Collector):
    """What was collected already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
