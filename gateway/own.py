"""What the gateway answers by itself: who the caller is, its own record, health, metrics."""

import asyncio
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import PlainTextResponse, Response

from gateway.forwarding import SERVICES, Forwarder, ServiceDown
from gateway.numbers import numbers_of_all
from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import CallDep, Guard, may, open_router, router
from services.kernel.identity import ROLES, Role
from services.kernel.refusals import NotFound

health = open_router(tags=["health"])
own = router(tags=["me"])
metrics_of_gateway = router(tags=["health"])

_PATIENCE_SECONDS: Final = 3
_EVERYONE: Final[tuple[Role, ...]] = tuple(sorted(ROLES - {"service"}))


class CallerView(BaseModel):
    """What the token says of its bearer."""

    subject: str
    roles: list[Role]
    studies: list[str]
    sites: Annotated[list[str] | None, Field(description="Null covers all sites.")]
    participant: UUID | None


class ServiceState(BaseModel):
    """Whether a part can serve, and what is wrong, in words."""

    status: Literal["ready", "not ready"]
    faults: list[str]


class Readiness(BaseModel):
    """Whether everything can serve."""

    status: Literal["ready", "not ready"]
    services: dict[str, ServiceState]
    tokens: ServiceState


class Liveness(BaseModel):
    """Said as long as the process lives."""

    status: Literal["live"]


@own.get("/v1/me", name="read_me", response_model=CallerView, **may(*_EVERYONE))
async def read_me(call: CallDep) -> Response:
    """Return what the token says of the caller."""
    caller = call.caller
    body = {
        "subject": caller.subject,
        "roles": sorted(caller.roles),
        "studies": sorted(caller.studies),
        "sites": None if caller.sites is None else sorted(caller.sites),
        "participant": None if caller.participant is None else str(caller.participant),
    }
    return Response(
        canonical_json(body), headers={"Cache-Control": "no-store"}, media_type="application/json"
    )


async def _own_record(request: Request, call: Any, part: str) -> Response:
    caller = call.caller
    if caller.participant is None or len(caller.studies) != 1:
        raise NotFound
    study = next(iter(caller.studies))
    forwarder = held(request, Forwarder)
    reply = await forwarder.forward(
        request,
        "enrolment",
        f"/v1/studies/{study}/participants/{caller.participant}/{part}",
        study=study,
        query=request.url.query,
    )
    return reply.response()


@own.get("/v1/me/schedule", name="read_my_schedule", **may("participant", is_tagged=True))
async def read_my_schedule(request: Request, call: CallDep) -> Response:
    """Return the participant's own schedule, as a phone shows it."""
    return await _own_record(request, call, "schedule")


@own.get("/v1/me/visits", name="list_my_visits", **may("participant"))
async def list_my_visits(request: Request, call: CallDep) -> Response:
    """Return the participant's own visits."""
    return await _own_record(request, call, "visits")


@own.get("/v1/me/consents", name="list_my_consents", **may("participant"))
async def list_my_consents(request: Request, call: CallDep) -> Response:
    """Return the participant's own consents."""
    return await _own_record(request, call, "consents")


@health.get(
    "/health/live",
    name="read_gateway_liveness",
    summary="Is the process alive?",
    response_model=Liveness,
)
async def read_liveness() -> dict[str, str]:
    """Answer as long as the process serves requests."""
    return {"status": "live"}


@health.get(
    "/health/ready",
    name="read_gateway_readiness",
    summary="Can everything serve?",
    response_model=Readiness,
    responses={503: {"description": "Some service cannot serve now.", "model": Readiness}},
)
async def read_readiness(request: Request) -> Response:
    """Say of each service, and of the issuers' keys, in words, what is wrong."""
    tokens, *states = await asyncio.gather(
        _state_of_tokens(request), *(_state_of(request, service) for service in SERVICES)
    )
    is_ready = all(state["status"] == "ready" for state in (tokens, *states))
    body = {
        "status": "ready" if is_ready else "not ready",
        "services": dict(zip(SERVICES, states, strict=True)),
        "tokens": tokens,
    }
    return Response(canonical_json(body), 200 if is_ready else 503, media_type="application/json")


def _not_ready(fault: str) -> dict[str, Any]:
    return {"status": "not ready", "faults": [fault]}


async def _state_of_tokens(request: Request) -> dict[str, Any]:
    verifier = held(request, Guard).verifier
    if await verifier.are_keys_known():
        return {"status": "ready", "faults": []}
    return _not_ready("The keys of an issuer of tokens cannot be had.")


async def _state_of(request: Request, service: str) -> dict[str, Any]:
    forwarder = held(request, Forwarder)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            reply = await forwarder.forward(
                request, service, "/health/ready", study=None, method="GET", headers={}
            )
    except ServiceDown:
        return _not_ready("The service cannot be reached.")
    except TimeoutError:
        return _not_ready("The service does not answer in time.")
    return {"status": reply.document["status"], "faults": reply.document["faults"]}


@metrics_of_gateway.get(
    "/metrics",
    name="read_gateway_metrics",
    response_class=PlainTextResponse,
    **may("admin"),
)
async def read_metrics(request: Request, call: CallDep) -> Response:
    """Return the numbers of gateway and services in Prometheus form, labelled by `service`."""
    del call
    return Response(await numbers_of_all(request), media_type="text/plain; version=0.0.4")
