"""One visit on its way: which service gets which members, and under which key."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request

from gateway.forwarding import Forwarder, Reply, ServiceDown, headers_of, json_bytes
from services.kernel.holdings import held
from services.kernel.refusals import Fault

Said = Reply | ServiceDown
"""What a service said to its part, or that it cannot be reached now."""

ENDPOINT_BY_SERVICE: Final = {
    "enrolment": "visits",
    "scoring": "visits/assessments",
    "safety": "visits/safety",
}
MEMBERS_BY_SERVICE: Final = {
    "enrolment": ("site", "vital_signs", "infusion"),
    "scoring": ("assessments",),
    "safety": ("laboratory_results", "adverse_events"),
}
_SHARED: Final = ("source_system", "source_ref", "visit", "change_reason")
_FAILED: Final = 500


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit: whose, what, and under which key.

    `faults` are what is wrong with the whole; `members` are those that can be handed on.
    """

    request: Request
    study: str
    participant: str
    members: Mapping[str, Any]
    faults: Sequence[Fault]
    key: str | None
    fingerprint: bytes

    @property
    def forwarder(self) -> Forwarder:
        """The hop to the services."""
        return held(self.request, Forwarder)

    @property
    def path(self) -> str:
        """The path below which the participant's visits stand."""
        participant = quote(self.participant, safe=":")
        return f"/v1/studies/{self.study}/participants/{participant}/visits"

    def concerns(self, service: str) -> bool:
        """Tell whether the visit holds anything for a service."""
        return service == "enrolment" or any(
            self.members.get(name) for name in MEMBERS_BY_SERVICE[service]
        )

    async def rehearse(self) -> list[Said]:
        """Return what each service says to its part, with nothing written."""
        services = [name for name in ENDPOINT_BY_SERVICE if self.concerns(name)]
        return list(
            await asyncio.gather(
                *(self._ask(service, query="validate_only=true") for service in services)
            )
        )

    async def write(self) -> list[Said]:
        """Write enrolment's part, then the others side by side."""
        first = await self._ask("enrolment")
        if isinstance(first, ServiceDown) or not first.is_good:
            return [first]
        others = [name for name in ("scoring", "safety") if self.concerns(name)]
        return [first, *await asyncio.gather(*(self._ask(name) for name in others))]

    async def save_adverse_events(self) -> list[Reply]:
        """Write the adverse events of a visit that is not accepted; they pass every gate."""
        if not self.members.get("adverse_events"):
            return []
        said = await self._ask("safety", query="only=adverse_events")
        return [] if isinstance(said, ServiceDown) or not said.is_good else [said]

    async def _ask(self, service: str, *, query: str = "") -> Said:
        """Hand a service its part."""
        names = (*_SHARED, *MEMBERS_BY_SERVICE[service])
        stated = {name: self.members[name] for name in names if name in self.members}
        path = self.path.removesuffix("visits") + ENDPOINT_BY_SERVICE[service]
        try:
            reply = await self.forwarder.forward(
                self.request,
                service,
                path,
                study=self.study,
                method="POST",
                body=json_bytes(stated),
                query=query,
                headers=self._headers(is_keyed=not query),
            )
        except ServiceDown as down:
            return down
        if reply.status >= _FAILED:
            # It cannot tell: a service that it needs is away, or its database.
            return ServiceDown(f"The service {service} cannot serve now.")
        return reply

    def _headers(self, *, is_keyed: bool) -> dict[str, str]:
        headers = {**headers_of(self.request), "Content-Type": "application/json"}
        headers.pop("idempotency-key", None)
        if self.key is not None and is_keyed:
            # A corrected request under the same key is another one to the services.
            mark = hashlib.sha256(self.key.encode() + self.fingerprint).hexdigest()
            headers["Idempotency-Key"] = f"visit-{mark}"
        return headers
