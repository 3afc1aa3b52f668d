"""What is away is named in words, and takes nothing else with it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
from joserfc.jwk import ECKey
from prometheus_client.parser import text_string_to_metric_families

from gateway import forwarding, own
from gateway.forwarding import Forwarder
from services.kernel.http import Guard
from tests.whole_system import WholeSystem, vas, whole_system


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """The address of one who takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=512)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
async def broken(
    postgres_dsn: str, issuer_key: ECKey, issuer_key_set: str, silent: str
) -> AsyncIterator[WholeSystem]:
    """The system whose gateway finds a scoring that hangs."""
    environment = {"scoring_url": silent}
    async with whole_system(postgres_dsn, issuer_key, issuer_key_set, environment) as running:
        yield running


async def test_all_is_well(system: WholeSystem) -> None:
    answer = await system.client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    parts = {**answer.json()["services"], "tokens": answer.json()["tokens"]}
    assert set(parts) == {"enrolment", "scoring", "safety", "tokens"}
    for state in parts.values():
        assert state == {"status": "ready", "faults": []}


async def test_a_service_that_hangs_is_named(
    broken: WholeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "_PATIENCE_SECONDS", 0.5)
    answer = await broken.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "not ready"
    assert answer.json()["services"]["scoring"] == {
        "status": "not ready",
        "faults": ["The service does not answer in time."],
    }
    assert answer.json()["services"]["safety"]["status"] == "ready"
    assert (await broken.client.get("/health/live")).status_code == 200


async def test_a_service_that_is_gone_is_named(
    broken: WholeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = broken.processes["gateway"].app.state.holdings[Forwarder]._urls  # noqa: SLF001 - where it looks
    monkeypatch.setitem(urls, "scoring", "http://127.0.0.1:9")
    answer = await broken.client.get("/health/ready")
    assert answer.json()["services"]["scoring"] == {
        "status": "not ready",
        "faults": ["The service cannot be reached."],
    }
    participant = await broken.registered()
    refused = await broken.call("POST", f"/participants/{participant}/assessments", vas())
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["type"] == "/problems/service-down"
    assert await broken.reported(participant)
    assert (await broken.get(f"/participants/{participant}/schedule")).status_code == 200


async def test_a_service_that_hangs_holds_up_its_own_paths_only(
    broken: WholeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "_MOST_UNDER_WAY", 5)
    participant = await broken.registered()
    path = f"/participants/{participant}/assessments"
    hanging = [asyncio.create_task(broken.get(path)) for _ in range(5)]
    forwarder = broken.processes["gateway"].app.state.holdings[Forwarder]
    async with asyncio.timeout(20):
        while forwarder._under_way["scoring"] < 5:  # noqa: SLF001, ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    refused = await broken.get(path)
    assert refused.status_code == 503
    assert refused.json()["type"] == "/problems/service-down"
    assert (await broken.get(f"/participants/{participant}")).status_code == 200
    assert await broken.reported(participant)
    for one in hanging:
        one.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_the_numbers_of_all_are_one_page(system: WholeSystem) -> None:
    await system.reported(await system.registered())
    answer = await system.client.get("/metrics", headers=system.headers("admin"))
    numbers = {
        (sample.name, sample.labels["service"]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if not sample.labels.keys() - {"service"}
    }
    for service in ("enrolment", "scoring", "safety"):
        assert numbers["service_up", service] == 1
        assert numbers["write_queue_commands", service] == 0
    assert numbers["write_batch_commands_count", "safety"] > 0
    routes = 'method="POST",route="/v1/studies/{study}/participants",service="enrolment"'
    assert f"http_requests_total{{{routes}" in answer.text


async def test_a_service_without_numbers_is_said_to_be_down(
    broken: WholeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = broken.processes["gateway"].app.state.holdings[Forwarder]._urls  # noqa: SLF001 - where it looks
    monkeypatch.setitem(urls, "scoring", "http://127.0.0.1:9")
    answer = await broken.client.get("/metrics", headers=broken.headers("admin"))
    assert 'service_up{service="scoring"} 0.0' in answer.text
    assert 'service_up{service="safety"} 1.0' in answer.text


async def test_unknown_keys_are_named(system: WholeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown() -> bool:
        return False

    verifier = system.processes["gateway"].app.state.holdings[Guard].verifier
    monkeypatch.setattr(verifier, "are_keys_known", unknown)
    answer = await system.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["tokens"]["faults"] == ["The keys of an issuer of tokens cannot be had."]
