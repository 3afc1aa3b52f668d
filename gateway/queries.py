"""Open queries of all services as one list, and the way of an answer to whoever asked."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import Query, Request
from starlette.responses import Response

from gateway.forwarding import SERVICES, Forwarder, Reply, ServiceDown, headers_of, json_bytes
from gateway.merging import LongCursor, merged_page
from services.kernel.holdings import held
from services.kernel.http import CallDep, IdempotencyKey, may, parse_id, router
from services.kernel.queries.routes import (
    ANSWERERS,
    READERS,
    QueryAnswerBody,
    QueryAnswerView,
    QueryFilter,
    QueryView,
)
from services.kernel.records import Page
from services.kernel.refusals import NotFound

queries = router(prefix="/v1/studies/{study}/queries", tags=["queries"])

_COLUMNS: Final = tuple(QueryView.model_fields)


class AnyQuery(QueryFilter):
    """Which queries are asked for; what is left out is not asked about."""

    after: LongCursor = None


@queries.get("", name="list_queries", response_model=Page[QueryView], **may(*READERS))
async def list_queries(
    request: Request, call: CallDep, wanted: Annotated[AnyQuery, Query()]
) -> Response:
    """List what is odd about the records as they stand, until it is answered or corrected."""
    page = await merged_page(
        request,
        f"/v1/studies/{call.study}/queries",
        study=call.study,
        after=wanted.after,
        limit=wanted.limit,
        by="recorded_at",
    )
    return page.response(request, _COLUMNS)


@queries.get("/{query}", name="read_query", response_model=QueryView, **may(*READERS))
async def read_query(request: Request, query: str, call: CallDep) -> Response:
    """Return one query, open or answered; gone once its cause is corrected."""
    return (await _asked_by(request, call.study, query)).response()


@queries.post(
    "/{query}/answer",
    status_code=201,
    name="answer_query",
    response_model=QueryAnswerView,
    **may(*ANSWERERS),
)
async def answer_query(
    request: Request,
    query: str,
    body: QueryAnswerBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Answer a query with a reason; another answer is a new version, and the record stays."""
    del idempotency_key
    asked = await _asked_by(request, call.study, query)
    forwarder = held(request, Forwarder)
    reply = await forwarder.forward(
        request,
        asked.service,
        f"/v1/studies/{call.study}/queries/{parse_id(query)}/answer",
        study=call.study,
        method="POST",
        body=json_bytes(body.model_dump()),
    )
    return reply.response()


async def _asked_by(request: Request, study: str, query: str) -> Reply:
    """Return what the service that asks says of a query.

    Raises NotFound, and ServiceDown where the one that asks may be among those that are down.
    """
    forwarder = held(request, Forwarder)
    path = f"/v1/studies/{study}/queries/{parse_id(query)}"
    headers = headers_of(request)
    headers.pop("idempotency-key", None)

    async def ask(service: str) -> Reply | ServiceDown:
        try:
            return await forwarder.forward(
                request, service, path, study=study, method="GET", headers=headers
            )
        except ServiceDown as down:
            return down

    said: list[Any] = await asyncio.gather(*(ask(service) for service in SERVICES))
    replies = [one for one in said if isinstance(one, Reply)]
    known = next((reply for reply in replies if reply.is_good), None)
    if known is not None:
        return known
    if len(replies) < len(SERVICES):
        raise ServiceDown("A service that may have asked cannot be reached now.")
    raise NotFound
