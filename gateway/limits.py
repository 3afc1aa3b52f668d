"""How much at once, and how often: what the gateway refuses before it does any work.

Whoever proves who they are has a rate of their own; all others share the rate of their
address, so that a proxy in front does not make strangers of everybody. Health is free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from time import time
from typing import Final

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.settings import GatewaySettings
from services.kernel.identity import TokenVerifier
from services.kernel.problems import TooManyRequests, Unavailable, problem_response
from services.kernel.refusals import Refusal

LARGE: Final = 256 * 1024
"""From so many bytes on a body counts as large; few of these are held at once."""
_FREE: Final = "/health/"
_IPV6: Final = 6


@dataclass(frozen=True, slots=True)
class Share:
    """What is left of a rate: `reset_seconds` until it is whole again."""

    policy: str
    limit: RateLimitItem
    used: int
    reset_seconds: int

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The `RateLimit` headers, as they are sent."""
        most, seconds = self.limit.amount, self.limit.get_expiry()
        left = max(0, most - self.used)
        return (
            (b"ratelimit-policy", f'"{self.policy}";q={most};w={seconds}'.encode()),
            (b"ratelimit", f'"{self.policy}";r={left};t={self.reset_seconds}'.encode()),
        )


class Rates:
    """Counts requests in fixed windows, in the memory of this process."""

    def __init__(self, caller: str, address: str) -> None:
        self._limits = {"caller": parse(caller), "address": parse(address)}
        self._counts = MemoryStorage()

    def take(self, policy: str, whose: str) -> Share:
        """Count one request and return what is left."""
        limit = self._limits[policy]
        key = f"{policy} {whose}"
        used = self._counts.incr(key, limit.get_expiry())
        reset = self._counts.get_expiry(key) - time()
        return Share(policy, limit, used, max(1, round(reset)))


class Limited:
    """The layer that turns away what is too much, before tokens, bodies and services."""

    def __init__(self, app: ASGIApp, *, verifier: TokenVerifier, settings: GatewaySettings) -> None:
        self.app = app
        self._verifier = verifier
        self._rates = Rates(settings.caller_rate, settings.address_rate)
        self._most = settings.most_requests_at_once
        self._most_large = settings.most_large_at_once
        self._under_way = 0
        self._large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or turn it away."""
        if scope["type"] != "http" or scope["path"].startswith(_FREE):
            await self.app(scope, receive, send)
            return
        is_large = _is_large(scope)
        if self._under_way >= self._most or (is_large and self._large >= self._most_large):
            refusal = Unavailable("Too many requests are under way.")
            await problem_response(refusal, scope["state"]["request_id"])(scope, receive, send)
            return
        self._under_way += 1
        self._large += is_large
        try:
            await self._serve(scope, receive, send)
        finally:
            self._under_way -= 1
            self._large -= is_large

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        share = await self._share_of(scope)

        async def informed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = (*message["headers"], *share.headers)
            await send(message)

        if share.used <= share.limit.amount:
            await self.app(scope, receive, informed)
            return
        refusal = TooManyRequests(retry_after_seconds=share.reset_seconds)
        answer = problem_response(refusal, scope["state"]["request_id"])
        await answer(scope, receive, informed)

    async def _share_of(self, scope: Scope) -> Share:
        try:
            caller = await self._verifier.verify(_values(scope, b"authorization"))
        except Refusal:
            return self._rates.take("address", _network(scope))
        return self._rates.take("caller", caller.identity)


def _values(scope: Scope, name: bytes) -> Sequence[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _is_large(scope: Scope) -> bool:
    """Tell whether a body is large, or may become so."""
    lengths = _values(scope, b"content-length")
    return bool(_values(scope, b"transfer-encoding")) or any(
        not length.isdigit() or int(length) > LARGE for length in lengths
    )


def _network(scope: Scope) -> str:
    """Return the client's address; of IPv6 the network, for each client has many of these."""
    host = str(scope["client"][0]) if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return host if address.version != _IPV6 else address.exploded[:19]
