"""Webhooks over HTTP: who is told of what, and the secrets that sign it."""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from services.kernel.exact_json import canonical_json, parse_json
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
)
from services.kernel.identity import NotPermitted
from services.kernel.records import ClosedBody, Page, RetractionBody, StoredView
from services.kernel.refusals import Fault, Impossible
from services.kernel.resources import list_page, read_record, read_versions
from services.kernel.storage import STUDY_STREAM, Connection, Database
from services.kernel.values import Name, Reason
from services.kernel.writing import Answer, Outcome, answer_record, new_id, submit
from services.safety.domain.webhooks import (
    NOTICE_TYPES,
    SECRET_BYTES,
    WEBHOOK,
    ChangeWebhook,
    EndWebhook,
    NoticeType,
    RotateSecret,
    Subscribe,
    WebhookEnded,
    WebhookFile,
    WebhookOrder,
    decide_change,
    decide_end,
    decide_rotation,
    decide_subscription,
)
from services.safety.settings import WebhookSettings
from services.safety.webhooks.addresses import (
    LONGEST_URL,
    AddressRefused,
    NameUnknown,
    read_url,
    resolve,
)
from services.safety.webhooks.signing import secret_text
from services.safety.webhooks.subscriptions import load_webhook_file, read_secret

webhooks = router(prefix="/v1/studies/{study}/webhooks", tags=["webhooks"])
Events = Annotated[list[NoticeType], Field(min_length=1, max_length=len(NOTICE_TYPES))]


class WebhookBody(ClosedBody):
    """Where notices go and which; without `events`, all of them."""

    url: Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
    events: Events = Field(default_factory=lambda: list(NOTICE_TYPES))
    description: Name | None = None


class WebhookCorrection(WebhookBody):
    """The whole subscription again, and why it changes."""

    change_reason: Reason | None = None


class WebhookView(StoredView):
    """A subscription; `secret` is shown once, in the answer that makes it."""

    url: str
    events: list[NoticeType]
    description: str | None
    status: Literal["active", "ended"]
    secret_number: Annotated[int, Field(description="Counts the secrets from 1.")]
    secret: Annotated[
        str | None, Field(description="Only in the answer that makes it: `whsec_` and base64.")
    ] = None


def require_whole_study(call: Call) -> None:
    """Raise NotPermitted for a caller who may know of some sites only."""
    if call.caller.sites is not None:
        raise NotPermitted("Webhooks tell of all sites; the token covers some.")


@webhooks.post("", status_code=201, response_model=WebhookView, **may("admin"))
async def create_webhook(
    request: Request, body: WebhookBody, call: CallDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Subscribe an address to notices; the answer alone shows the secret that signs them."""
    del idempotency_key
    require_whole_study(call)
    await _require_reachable(request, body.url)
    command = Subscribe(
        participant=STUDY_STREAM,
        id=new_id(),
        url=body.url,
        events=_in_order(body.events),
        description=body.description,
        secret=secrets.token_bytes(SECRET_BYTES),
    )
    answer = await submit_order(request, call, command, decide_subscription)
    return await _with_secret(request, call, answer)


@webhooks.get("", response_model=Page[WebhookView], **may("admin", "safety_officer", "auditor"))
async def list_webhooks(
    request: Request,
    call: CallDep,
    limit: Annotated[Limit, Query()] = USUAL_LIMIT,
    after: Annotated[After, Query()] = None,
) -> Response:
    """List the study's subscriptions, the first made first, without their secrets."""
    require_whole_study(call)
    async with held(request, Database).pooled() as connection:
        page, following = await list_page(
            connection,
            call.study,
            WEBHOOK.name,
            after=read_cursor(after),
            limit=limit,
            participant=STUDY_STREAM,
        )
    return page_response(request, [one.body.encode() for one in page], following)


@webhooks.get(
    "/{webhook}",
    response_model=WebhookView,
    **may("admin", "safety_officer", "auditor", is_tagged=True),
)
async def read_webhook(request: Request, webhook: str, call: CallDep) -> Response:
    """Return one subscription, without its secret."""
    require_whole_study(call)
    async with held(request, Database).pooled() as connection:
        stored = await read_record(
            connection, call.study, STUDY_STREAM, WEBHOOK.name, parse_id(webhook)
        )
    return read_response(request, stored.body.encode(), stored.etag)


@webhooks.get("/{webhook}/versions", response_model=Page[WebhookView], **may("admin", "auditor"))
async def list_webhook_versions(request: Request, webhook: str, call: CallDep) -> Response:
    """List all versions of a subscription."""
    require_whole_study(call)
    async with held(request, Database).pooled() as connection:
        versions = await read_versions(
            connection, call.study, STUDY_STREAM, WEBHOOK.name, parse_id(webhook)
        )
    return page_response(request, [body.encode() for body in versions], None)


@webhooks.put(
    "/{webhook}",
    response_model=WebhookView,
    **may("admin", version="required", gives=(WebhookEnded,)),
)
async def change_webhook(
    request: Request,
    webhook: str,
    body: WebhookCorrection,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Change where notices go or which, for a reason; the secret stays."""
    del idempotency_key
    require_whole_study(call)
    await _require_reachable(request, body.url)
    command = ChangeWebhook(
        participant=STUDY_STREAM,
        id=parse_id(webhook),
        url=body.url,
        events=_in_order(body.events),
        description=body.description,
        version=call.version,
        change_reason=body.change_reason,
    )
    return await submit_order(request, call, command, decide_change)


@webhooks.post("/{webhook}/end", response_model=WebhookView, **may("admin", version="required"))
async def end_webhook(
    request: Request,
    webhook: str,
    body: RetractionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """End a subscription; it stays readable, and what still waited is not sent."""
    del idempotency_key
    require_whole_study(call)
    command = EndWebhook(
        participant=STUDY_STREAM, id=parse_id(webhook), version=call.version, reason=body.reason
    )
    return await submit_order(request, call, command, decide_end)


@webhooks.post(
    "/{webhook}/secret", response_model=WebhookView, **may("admin", gives=(WebhookEnded,))
)
async def rotate_webhook_secret(
    request: Request,
    webhook: str,
    body: RetractionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Make a new secret, shown in this answer alone; the one before signs beside it for a day."""
    del idempotency_key
    require_whole_study(call)
    command = RotateSecret(
        participant=STUDY_STREAM,
        id=parse_id(webhook),
        secret=secrets.token_bytes(SECRET_BYTES),
        reason=body.reason,
    )
    answer = await submit_order(request, call, command, decide_rotation)
    return await _with_secret(request, call, answer)


async def submit_order(
    request: Request,
    call: Call,
    command: WebhookOrder,
    decide: Any,
    *,
    deliveries_of: UUID | None = None,
) -> Response:
    """Return the answer to an order about a subscription, or about its deliveries."""
    collection = call.path.partition("/webhooks")[0] + "/webhooks"
    replayed = f"{collection}/{deliveries_of}/deliveries"
    return await submit(
        request,
        call,
        [command],
        load=partial(_load, deliveries_of=deliveries_of),
        decide=decide,
        render=partial(
            _answer,
            collection=collection,
            location=None if deliveries_of is None else replayed,
        ),
    )


async def _load(
    connection: Connection,
    study: str,
    orders: Sequence[WebhookOrder],
    *,
    deliveries_of: UUID | None,
) -> dict[UUID, WebhookFile]:
    file = await load_webhook_file(connection, study, deliveries_of)
    return dict.fromkeys((order.participant for order in orders), file)


def _answer(outcomes: Sequence[Outcome], *, collection: str, location: str | None) -> Answer:
    return answer_record(outcomes[0], collection, location)


async def _with_secret(request: Request, call: Call, answer: Response) -> Response:
    """Add the secret, which is kept nowhere but in its own column, to what is answered."""
    document = parse_json(bytes(answer.body))
    identity = UUID(document["id"])
    async with held(request, Database).pooled() as connection:
        secret = await read_secret(connection, call.study, identity, document["version"])
    shown = canonical_json({**document, "secret": secret_text(secret or b"")})
    headers = {name: at for name, at in answer.headers.items() if name != "content-length"}
    return Response(shown, answer.status_code, headers=headers)


async def _require_reachable(request: Request, text: str) -> None:
    """Raise Impossible for an address to which nothing would be sent.

    A name that does not resolve now may do so later.
    """
    url = read_url(text)
    if url is None:
        detail = "An absolute https address is needed, without user and fragment."
        raise Impossible(faults=[Fault("/url", "url", detail)])
    try:
        await resolve(url, held(request, WebhookSettings).allowed_networks)
    except AddressRefused:
        detail = "Only https to public addresses, or networks that the settings allow."
        raise Impossible(faults=[Fault("/url", "address_refused", detail)]) from None
    except NameUnknown:
        return


def _in_order(events: Sequence[NoticeType]) -> tuple[NoticeType, ...]:
    return tuple(one for one in NOTICE_TYPES if one in events)
