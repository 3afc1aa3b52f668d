"""Verification of all chains, checkpoints over them, and proofs for single events."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from gateway.checkpoints import (
    NoCheckpointKey,
    Signer,
    WrongCheckpoint,
    checkpoint_of,
    leaves_of,
    root_of,
)
from gateway.forwarding import SERVICES, Forwarder, Reply
from gateway.tree import inclusion_path, tree_hash
from services.kernel.exact_json import canonical_json, stamp
from services.kernel.holdings import held
from services.kernel.http import CallDep, may, router
from services.kernel.refusals import Conflict, NotFound
from services.kernel.storage import STUDY_STREAM
from services.kernel.values import Instant

verification = router(prefix="/v1/studies/{study}/audit", tags=["audit"])

_HEADERS: Final = {"Cache-Control": "no-store"}


class CheckpointBroken(Conflict):
    """The trail no longer yields the checkpoint's root: the past was changed.

    Ask for the verification; it names the first link that does not hold.
    """


class BrokenLink(BaseModel):
    """The first place at which a chain does not hold."""

    service: str
    participant: UUID | None
    seq: int | None
    fault: str


class VerificationView(BaseModel):
    """Whether every chain holds, and the root over all of their heads."""

    verified: bool
    events: int
    participants: int
    root: Annotated[str, Field(description="Of the RFC 6962 tree over all chain heads, in hex.")]
    checked_at: Instant
    first_broken: BrokenLink | None


class CheckpointBody(BaseModel):
    """The payload that is signed."""

    study: str
    issued_at: Instant
    events: dict[str, int] = Field(description="How many events each service had.")
    chains: int
    root: str


class CheckpointView(BaseModel):
    """A checkpoint in words, as signed, and the key that signed it."""

    checkpoint: CheckpointBody
    jws: str = Field(description="The checkpoint as a compact JWS (ES256): keep it.")
    jwks: dict[str, Any]


class ProofView(BaseModel):
    """That one event is under a checkpoint: its chain up to the head, and the path to the root."""

    service: str
    seq: int
    headers: list[dict[str, Any]] = Field(
        description="What is hashed of the event and of those after it in its chain."
    )
    leaf: dict[str, Any]
    leaf_index: int
    tree_size: int
    path: list[str]
    checkpoint: CheckpointBody
    jws: str


async def _ask_all(request: Request, study: str, path: str) -> list[Reply]:
    forwarder = held(request, Forwarder)
    return await forwarder.ask_all(request, f"/v1/studies/{study}/audit/{path}", study=study)


def _refused(replies: Sequence[Reply]) -> Response | None:
    refused = next((reply for reply in replies if not reply.is_good), None)
    return None if refused is None else refused.response()


def _json(body: Mapping[str, Any]) -> Response:
    return Response(canonical_json(body), headers=_HEADERS, media_type="application/json")


@verification.get(
    "/verification",
    name="verify_audit_trail",
    response_model=VerificationView,
    **may("auditor"),
)
async def verify_trail(request: Request, call: CallDep) -> Response:
    """Recompute every chain of every service, and name the first broken link."""
    replies = await _ask_all(request, call.study, "verification")
    refused = _refused(replies)
    if refused is not None:
        return refused
    found: list[Mapping[str, Any]] = [reply.document for reply in replies]
    participants = {participant for one in found for participant in one["heads"]}
    return _json(
        {
            "verified": all(one["verified"] for one in found),
            "events": sum(one["events"] for one in found),
            "participants": len(participants - {str(STUDY_STREAM)}),
            "root": root_of({one["service"]: one["heads"] for one in found}).hex(),
            "checked_at": stamp(datetime.now(UTC)),
            "first_broken": next(
                (one["first_broken"] for one in found if one["first_broken"]), None
            ),
        }
    )


@verification.get(
    "/checkpoint",
    name="read_checkpoint",
    response_model=CheckpointView,
    **may("auditor", gives=(NoCheckpointKey,)),
)
async def read_checkpoint(request: Request, call: CallDep) -> Response:
    """Return a signed root over the heads of all chains: keep it outside of the system.

    It shows later that nothing recorded before was changed, removed or cut off.
    """
    signer = held(request, Signer)
    key_set = signer.key_set
    replies = await _ask_all(request, call.study, "heads")
    refused = _refused(replies)
    if refused is not None:
        return refused
    checkpoint = checkpoint_of(call.study, [reply.document for reply in replies])
    return _json({"checkpoint": checkpoint, "jws": signer.sign(checkpoint), "jwks": key_set})


@verification.get(
    "/proof",
    name="prove_event",
    response_model=ProofView,
    **may("auditor", gives=(NoCheckpointKey, WrongCheckpoint, CheckpointBroken)),
)
async def prove_event(
    request: Request,
    call: CallDep,
    service: Annotated[
        Literal["enrolment", "scoring", "safety"], Query(description="Whose event it is.")
    ],
    seq: Annotated[int, Query(ge=1, le=2**62, description="The event's `seq` in the trail.")],
    checkpoint: Annotated[
        str | None,
        Query(max_length=2000, description="A kept checkpoint's `jws`; without it, a new one."),
    ] = None,
) -> Response:
    """Prove that an event stands under a checkpoint.

    The headers lead from the event to the head of its chain, the path from there to the
    root. Whoever holds the checkpoint needs nothing else to check it.
    """
    signer = held(request, Signer)
    kept = None if checkpoint is None else signer.read(checkpoint, call.study)
    _ = signer.key
    said = await _heads(request, call.study, kept)
    refused = _refused(said)
    if refused is not None:
        return refused
    documents: list[Any] = [reply.document for reply in said]
    leaves = leaves_of({one["service"]: one["heads"] for one in documents})
    if kept is None:
        kept = checkpoint_of(call.study, documents)
    elif tree_hash([leaf for _, leaf in leaves]).hex() != kept["root"]:
        raise CheckpointBroken("Ask for the verification; it names the first broken link.")
    chain = await _chain(request, call.study, service, seq, kept["events"][service])
    if not chain.is_good:
        return chain.response()
    headers: Any = chain.document["headers"]
    names = [name for name, _ in leaves]
    index = names.index((service, headers[0]["participant"]))
    return _json(
        {
            "service": service,
            "seq": seq,
            "headers": headers,
            "leaf": {
                "service": service,
                "participant": headers[0]["participant"],
                **documents[SERVICES.index(service)]["heads"][headers[0]["participant"]],
            },
            "leaf_index": index,
            "tree_size": len(leaves),
            "path": [node.hex() for node in inclusion_path([leaf for _, leaf in leaves], index)],
            "checkpoint": kept,
            "jws": checkpoint or signer.sign(kept),
        }
    )


async def _heads(request: Request, study: str, kept: Mapping[str, Any] | None) -> list[Reply]:
    if kept is None:
        return await _ask_all(request, study, "heads")
    forwarder = held(request, Forwarder)
    return [
        await forwarder.forward(
            request,
            service,
            f"/v1/studies/{study}/audit/heads",
            study=study,
            query=f"size={kept['events'][service]}",
        )
        for service in SERVICES
    ]


async def _chain(request: Request, study: str, service: str, seq: int, size: int) -> Reply:
    if seq > size:
        raise NotFound("The checkpoint is older than the event.")
    forwarder = held(request, Forwarder)
    return await forwarder.forward(
        request,
        service,
        f"/v1/studies/{study}/audit/chain",
        study=study,
        query=f"seq={seq}&size={size}",
    )
