"""What was delivered of the notices of a subscription, and sending it again."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.kernel.exact_json import canonical_json, parse_json, stamp
from services.kernel.holdings import held
from services.kernel.http import (
    USUAL_LIMIT,
    After,
    Call,
    CallDep,
    IdempotencyKey,
    Limit,
    may,
    page_response,
    parse_id,
    read_cursor,
    read_response,
    router,
    weak_tag,
)
from services.kernel.records import Page, RetractionBody, StoredView
from services.kernel.refusals import NotFound
from services.kernel.resources import read_record
from services.kernel.storage import STUDY_STREAM, Database
from services.kernel.values import Instant
from services.kernel.writing import new_id
from services.safety.domain.webhooks import (
    WEBHOOK,
    NothingToReplay,
    ReplayDeliveries,
    WebhookEnded,
    decide_replay,
)
from services.safety.routes.webhooks import require_whole_study, submit_order
from services.safety.webhooks.outbox import list_deliveries

deliveries = router(prefix="/v1/studies/{study}/webhooks/{webhook}", tags=["webhooks"])


class CloudEventView(BaseModel):
    """A notice as it is sent: a CloudEvent 1.0."""

    specversion: Literal["1.0"]
    id: Annotated[UUID, Field(description="By it a receiver knows one that comes twice.")]
    source: str
    type: str
    subject: Annotated[UUID, Field(description="The adverse event, or the signal.")]
    time: Instant
    datacontenttype: Literal["application/json"]
    data: Annotated[dict[str, Any], Field(description="Ids, class and clock; nothing else.")]


class DeliveryView(BaseModel):
    """One notice for one subscription, and how its delivery goes."""

    id: UUID
    webhook: UUID
    status: Annotated[
        Literal["pending", "delivered", "dead"], Field(description="Dead: given up after days.")
    ]
    attempts: int
    created_at: Instant
    next_attempt_at: Instant | None
    last_attempt_at: Instant | None
    last_status: Annotated[int | None, Field(description="The receiver's last HTTP status.")]
    last_fault: Annotated[str | None, Field(description="Why the last attempt failed.")]
    event: CloudEventView


class ReplayView(StoredView):
    """Which deliveries are sent again, and why."""

    webhook: UUID
    deliveries: list[UUID]
    reason: str


@deliveries.get(
    "/deliveries", response_model=Page[DeliveryView], **may("admin", "safety_officer", "auditor")
)
async def list_webhook_deliveries(
    request: Request,
    webhook: str,
    call: CallDep,
    status: Annotated[
        Literal["pending", "delivered", "dead"] | None,
        Query(description="Only deliveries that are so."),
    ] = None,
    limit: Annotated[Limit, Query()] = USUAL_LIMIT,
    after: Annotated[After, Query()] = None,
) -> Response:
    """List what was to be delivered, in the order of the notices; `dead` was given up."""
    identity = await _known(request, call, webhook)
    async with held(request, Database).pooled() as connection:
        rows = await list_deliveries(
            connection, call.study, identity, after=read_cursor(after), limit=limit, status=status
        )
    following = rows[limit - 1]["number"] if len(rows) > limit else None
    return page_response(request, [canonical_json(_shown(row)) for row in rows[:limit]], following)


@deliveries.get(
    "/deliveries/{delivery}",
    response_model=DeliveryView,
    **may("admin", "safety_officer", "auditor", is_tagged=True),
)
async def read_webhook_delivery(
    request: Request, webhook: str, delivery: str, call: CallDep
) -> Response:
    """Return one delivery, with the notice as it is sent."""
    identity = await _known(request, call, webhook)
    async with held(request, Database).pooled() as connection:
        rows = await list_deliveries(connection, call.study, identity, delivery=parse_id(delivery))
    if not rows:
        raise NotFound
    body = canonical_json(_shown(rows[0]))
    return read_response(request, body, weak_tag(body))


@deliveries.post(
    "/deliveries/{delivery}/replay",
    status_code=201,
    response_model=ReplayView,
    **may("admin", "safety_officer", gives=(WebhookEnded, NothingToReplay)),
)
async def replay_webhook_delivery(
    request: Request,
    webhook: str,
    delivery: str,
    body: RetractionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send one notice again that was given up or taken, under the same event id."""
    del idempotency_key
    return await _replay(request, call, webhook, (parse_id(delivery),), body.reason)


@deliveries.post(
    "/replay",
    status_code=201,
    response_model=ReplayView,
    **may("admin", "safety_officer", gives=(WebhookEnded, NothingToReplay)),
)
async def replay_webhook(
    request: Request,
    webhook: str,
    body: RetractionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send everything again that was given up, each participant's in its order."""
    del idempotency_key
    return await _replay(request, call, webhook, None, body.reason)


async def _replay(
    request: Request, call: Call, webhook: str, named: tuple[UUID, ...] | None, reason: str
) -> Response:
    require_whole_study(call)
    command = ReplayDeliveries(
        participant=STUDY_STREAM,
        id=new_id(),
        webhook=parse_id(webhook),
        deliveries=named,
        reason=reason,
    )
    return await submit_order(request, call, command, decide_replay, deliveries_of=command.webhook)


async def _known(request: Request, call: Call, webhook: str) -> UUID:
    require_whole_study(call)
    identity = parse_id(webhook)
    async with held(request, Database).pooled() as connection:
        await read_record(connection, call.study, STUDY_STREAM, WEBHOOK.name, identity)
    return identity


def _shown(row: Any) -> dict[str, Any]:
    is_waiting = row["status"] == "pending"
    last_attempt_at = row["last_attempt_at"]
    return {
        "id": str(row["id"]),
        "webhook": str(row["webhook"]),
        "status": row["status"],
        "attempts": row["attempts"],
        "created_at": stamp(row["recorded_at"]),
        "next_attempt_at": stamp(row["next_attempt_at"]) if is_waiting else None,
        "last_attempt_at": None if last_attempt_at is None else stamp(last_attempt_at),
        "last_status": row["last_status"],
        "last_fault": row["last_fault"],
        "event": parse_json(row["body"]),
    }
