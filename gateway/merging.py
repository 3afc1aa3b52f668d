"""Lists of all services as one: one cursor that holds a position in each."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlencode

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.forwarding import SERVICES, Forwarder, Reply, headers_of, json_bytes
from services.kernel.exact_json import NotJson, canonical_json, parse_json
from services.kernel.holdings import held
from services.kernel.http import CSV, WrongCursor, wants_csv, write_csv
from services.kernel.refusals import Fault

LONGEST_CURSOR: Final = 512
LongCursor = Annotated[
    str | None,
    Field(max_length=LONGEST_CURSOR, description="The `next` of the page before; opaque."),
]


@dataclass(slots=True)
class Position:
    """How far each service's list was read."""

    after: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(SERVICES))

    def cursor(self) -> str:
        """Return the opaque cursor."""
        return base64.urlsafe_b64encode(canonical_json(self.after)).decode().rstrip("=")


def read_position(cursor: str | None) -> Position:
    """Return the position that a cursor holds; raises WrongCursor."""
    if cursor is None:
        return Position()
    try:
        held = parse_json(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (ValueError, binascii.Error, NotJson):
        held = None
    is_whole = isinstance(held, dict) and set(held) == set(SERVICES)
    if not is_whole or not all(each is None or isinstance(each, str) for each in held.values()):
        fault = Fault("?after", "cursor", "Pass on the `next` of the page before, unchanged.")
        raise WrongCursor(faults=[fault])
    return Position(held)


@dataclass(slots=True)
class MergedPage:
    """One page of all services' rows, and the cursor to go on from, if there is more."""

    items: list[dict[str, Any]]
    next: str | None
    refused: Reply | None = None

    def response(self, request: Request, columns: Sequence[str] = ()) -> Response:
        """Return the page as JSON or as a table, or what a service refused."""
        if self.refused is not None:
            return self.refused.response()
        headers = {"Cache-Control": "no-store", "Vary": "Accept"}
        if self.next is not None:
            kept = [pair for pair in parse_qsl(request.url.query) if pair[0] != "after"]
            query = urlencode([*kept, ("after", self.next)])
            headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
        if columns and wants_csv(request):
            rows = [json_bytes(item) for item in self.items]
            return Response(write_csv(rows, columns), headers=headers, media_type=CSV)
        body = json_bytes({"items": self.items, "next": self.next})
        return Response(body, headers=headers, media_type="application/json")


async def merged_page(
    request: Request, path: str, *, study: str, after: str | None, limit: int, by: str
) -> MergedPage:
    """Return the next rows of a list that each service has at `path`.

    Each service's rows stay in their own order, and none is left out; among the services
    they are ordered by the member `by`. Raises WrongCursor, and ServiceDown.
    """
    position = read_position(after)
    forwarder = held(request, Forwarder)
    filters = [
        pair
        for pair in parse_qsl(request.url.query, keep_blank_values=True)
        if pair[0] not in {"after", "limit"}
    ]

    async def ask(service: str) -> Reply:
        begin = position.after[service]
        pages = [("limit", str(limit)), *([("after", begin)] if begin else [])]
        query = urlencode([*filters, *pages])
        headers = {**headers_of(request), "accept": "application/json"}
        return await forwarder.forward(
            request, service, path, study=study, method="GET", query=query, headers=headers
        )

    replies = await asyncio.gather(*(ask(service) for service in SERVICES))
    refused = next((reply for reply in replies if not reply.is_good), None)
    if refused is not None:
        return MergedPage([], None, refused)
    rows, is_finished = _merge(replies, position, limit, by)
    return MergedPage(rows, None if is_finished else position.cursor())


def _merge(
    replies: Sequence[Reply], position: Position, limit: int, by: str
) -> tuple[list[dict[str, Any]], bool]:
    """Return the page's rows and whether nothing follows; moves the position behind them."""
    waiting = {reply.service: _items(reply) for reply in replies}
    has_more = {reply.service for reply in replies if reply.document["next"] is not None}
    rows: list[dict[str, Any]] = []
    while len(rows) < limit and any(waiting.values()):
        service = min(
            (name for name in SERVICES if waiting[name]),
            key=lambda name: (waiting[name][0][by], SERVICES.index(name)),
        )
        row = waiting[service].pop(0)
        position.after[service] = row.pop("cursor")
        rows.append(row)
        # Rows of a service that has more than it told may be earlier than the others'.
        if not waiting[service] and service in has_more:
            break
    return rows, not has_more and not any(waiting.values())


def _items(reply: Reply) -> list[dict[str, Any]]:
    items: Any = reply.document["items"]
    return list(items)
