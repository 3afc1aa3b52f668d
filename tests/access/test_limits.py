"""Rates and requests under way: counted by caller, else by address; health is free."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest
from joserfc.jwk import ECKey
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.limits import LARGE, Limited
from gateway.settings import GatewaySettings
from services.kernel.identity import TokenVerifier
from services.kernel.observing import Metrics, Observed
from services.kernel.settings import Issuer
from tests.whole_system import WholeSystem, token

ISSUER: Final = "https://issuer.test"


class Slow:
    """An application that answers when it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.served = 0

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.served += 1
        await self.go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


def limited(app: ASGIApp, key_set: str, **stated: Any) -> ASGIApp:
    """Return the application behind the gateway's limits."""
    issuers = [Issuer(issuer=ISSUER, audience="trial-events", jwks=key_set)]
    settings = GatewaySettings(issuers=issuers, **stated)
    layer = Limited(app, verifier=TokenVerifier(issuers), settings=settings)
    return Observed(layer, metrics=Metrics(), service="limited")


def client(app: ASGIApp, address: str = "203.0.113.7") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://limited.test")


@pytest.fixture
def bearer(issuer_key: ECKey) -> Callable[..., dict[str, str]]:
    def header(subject: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token(issuer_key, 'edc', sub=subject)}"}

    return header


async def test_a_caller_is_told_what_is_left_and_when_to_come_again(
    issuer_key_set: str, bearer: Any
) -> None:
    slow = Slow()
    app = limited(slow, issuer_key_set, caller_rate="3/minute")
    async with client(app) as calls:
        left = []
        for _ in range(3):
            answer = await calls.get("/v1/me", headers=bearer("one"))
            assert answer.status_code == 204
            assert answer.headers["ratelimit-policy"] == '"caller";q=3;w=60'
            left.append(answer.headers["ratelimit"].split(";")[1])
        assert left == ["r=2", "r=1", "r=0"]
        refused = await calls.get("/v1/me", headers=bearer("one"))
        assert refused.status_code == 429
        assert refused.json()["type"] == "/problems/too-many-requests"
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit"].startswith('"caller";r=0;t=')
        assert slow.served == 3
        assert (await calls.get("/v1/me", headers=bearer("two"))).status_code == 204
        assert (await calls.get("/health/live", headers=bearer("one"))).status_code == 204


async def test_a_rate_is_whole_again_after_its_time(issuer_key_set: str, bearer: Any) -> None:
    app = limited(Slow(), issuer_key_set, caller_rate="1/second")
    async with client(app) as calls:
        assert (await calls.get("/v1/me", headers=bearer("one"))).status_code == 204
        refused = await calls.get("/v1/me", headers=bearer("one"))
        assert refused.status_code == 429
        await asyncio.sleep(float(refused.headers["retry-after"]) + 0.1)
        assert (await calls.get("/v1/me", headers=bearer("one"))).status_code == 204


async def test_strangers_share_their_address(issuer_key_set: str, bearer: Any) -> None:
    app = limited(Slow(), issuer_key_set, address_rate="2/minute")
    async with client(app) as here, client(app, "203.0.113.8") as there:
        forged = {"Authorization": "Bearer a.b.c"}
        statuses = [
            (await here.get("/v1/me", headers=headers)).status_code for headers in ({}, forged, {})
        ]
        assert statuses == [204, 204, 429]
        assert (await here.get("/v1/me", headers=bearer("one"))).status_code == 204
        assert (await there.get("/v1/me")).status_code == 204


async def test_a_network_is_one_stranger(issuer_key_set: str) -> None:
    app = limited(Slow(), issuer_key_set, address_rate="1/minute")
    async with client(app, "2001:db8:1:2::1") as one, client(app, "2001:db8:1:2:3::4") as two:
        assert (await one.get("/docs")).status_code == 204
        assert (await two.get("/docs")).status_code == 429
    async with client(app, "2001:db8:1:3::1") as other:
        assert (await other.get("/docs")).status_code == 204


async def test_only_so_many_requests_are_under_way(issuer_key_set: str, bearer: Any) -> None:
    slow = Slow()
    slow.go.clear()
    app = limited(slow, issuer_key_set, most_requests_at_once=3)
    async with client(app) as calls:
        waiting = [
            asyncio.create_task(calls.get("/v1/me", headers=bearer("one"))) for _ in range(3)
        ]
        async with asyncio.timeout(20):
            while slow.served < 3:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        refused = await calls.get("/v1/me", headers=bearer("two"))
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
        slow.go.set()
        assert {(await one).status_code for one in waiting} == {204}
        assert (await calls.get("/v1/me", headers=bearer("two"))).status_code == 204


async def test_of_large_bodies_fewer_are_under_way(issuer_key_set: str, bearer: Any) -> None:
    slow = Slow()
    slow.go.clear()
    app = limited(slow, issuer_key_set, most_large_at_once=1)

    async def chunks() -> Any:
        yield b"of unknown length"

    async with client(app) as calls:
        large: Any = {"content": b" " * (LARGE + 1), "headers": bearer("one")}
        first = asyncio.create_task(calls.post("/x", **large))
        async with asyncio.timeout(20):
            while slow.served < 1:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        assert (await calls.post("/x", **large)).status_code == 503
        unknown = await calls.post("/x", content=chunks(), headers=bearer("one"))
        assert unknown.status_code == 503
        slow.go.set()
        small = await calls.post("/x", content=b" " * LARGE, headers=bearer("one"))
        assert small.status_code == 204
        assert (await first).status_code == 204
        assert (await calls.post("/x", **large)).status_code == 204


@pytest.mark.parametrize("rate", ["", "many", "0.5/minute", "10", "10/fortnight"])
def test_a_rate_is_so_many_in_such_a_time(rate: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        GatewaySettings(issuers=[], caller_rate=rate)


async def test_the_gateway_tells_what_is_left(system: WholeSystem) -> None:
    answer = await system.get("/participants")
    assert answer.headers["ratelimit-policy"] == '"caller";q=240000;w=60'
    assert '"caller";r=239' in answer.headers["ratelimit"]
    refused = await system.client.get("/v1/me")
    assert refused.headers["ratelimit-policy"] == '"address";q=30000;w=60'
