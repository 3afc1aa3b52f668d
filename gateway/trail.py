"""The audit trail of all services as one: pages, or the whole as a stream."""

import csv
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from gateway.forwarding import SERVICES, Forwarder, Stream
from gateway.merging import LongCursor, merged_page
from services.kernel.audit import AuditFilter, ReadFilter
from services.kernel.holdings import held
from services.kernel.http import CSV, NDJSON, CallDep, csv_cell, may, router
from services.kernel.records import Page
from services.kernel.values import Instant

trail = router(prefix="/v1/studies/{study}", tags=["audit"])

COLUMNS: Final = (
    "seq",
    "service",
    "recorded_at",
    "actor",
    "role",
    "action",
    "resource",
    "resource_id",
    "version",
    "participant",
    "site",
    "visit",
    "changes",
    "reason",
    "source_system",
    "source_ref",
    "request_id",
    "release",
    "prev_hash",
    "hash",
)
_STAMP: Final = len("2021-08-31T09:00:00.000000Z ")
_LINES_AT_ONCE: Final = 200


class ChangeView(BaseModel):
    """What differs from the version before."""

    pointer: Annotated[str, Field(description="The member (RFC 6901).")]
    old: Any
    new: Any


class AuditRow(BaseModel):
    """Who did what, when and why."""

    seq: Annotated[int, Field(description="The event's number in its service and study.")]
    service: str
    recorded_at: Instant
    actor: Annotated[str, Field(description="The subject of the token.")]
    role: str
    action: str
    resource: str
    resource_id: UUID
    version: int
    participant: UUID
    site: str | None
    visit: str | None
    changes: list[ChangeView]
    reason: str | None
    source_system: str | None
    source_ref: str | None
    request_id: str
    release: str
    study: str
    stream_version: Annotated[int, Field(description="The event's number in its chain.")]
    state_sha256: Annotated[str, Field(description="Of the record's bytes after it, in hex.")]
    prev_hash: Annotated[str, Field(description="The hash before it in its chain, in hex.")]
    hash: str
    state: Annotated[str | None, Field(description="As it was hashed, where asked for.")] = None


class TrailFilter(AuditFilter):
    """Which rows of the trail are asked for; what is left out is not asked about."""

    after: LongCursor = None


_TRAIL_RULES: Final = may("auditor")
_TRAIL_RULES["responses"][200] = {
    "description": "A page, or all that is asked for as a table or as lines.",
    "content": {NDJSON: {"schema": {"type": "string", "description": "One row a line."}}},
}


@trail.get("/audit", name="read_audit_trail", response_model=Page[AuditRow], **_TRAIL_RULES)
async def read_trail(
    request: Request, call: CallDep, wanted: Annotated[TrailFilter, Query()]
) -> Response:
    """Return who did what, when and why, in all services: pages, or the whole as a stream.

    With `Accept: text/csv` or `application/x-ndjson` all that is asked for is streamed. With
    `state` each row has the record's bytes as they were hashed.
    """
    accept = request.headers.get("accept", "")
    if CSV in accept or NDJSON in accept:
        return await _export(request, call.study, is_csv=CSV in accept)
    page = await merged_page(
        request,
        f"/v1/studies/{call.study}/audit",
        study=call.study,
        after=wanted.after,
        limit=wanted.limit,
        by="recorded_at",
    )
    return page.response(request)


class ReadView(BaseModel):
    """Who was shown personal data of whom, and when."""

    service: str
    read_at: Instant
    actor: Annotated[str, Field(description="The subject of the token.")]
    role: str
    operation: Annotated[str, Field(description="The operation's name in this document.")]
    participant: Annotated[UUID | None, Field(description="Null for a list of several.")]
    site: str | None
    request_id: str


class AnyRead(ReadFilter):
    """Which reads are asked for; what is left out is not asked about."""

    after: LongCursor = None


@trail.get("/audit/reads", name="list_reads", response_model=Page[ReadView], **may("auditor"))
async def list_reads(
    request: Request, call: CallDep, wanted: Annotated[AnyRead, Query()]
) -> Response:
    """List which people were shown personal data, when, and of whom.

    Reads stand apart from the chains of what was done. They are written a moment after the
    answer; those of an EDC, of the services and of one's own phone are not recorded.
    """
    page = await merged_page(
        request,
        f"/v1/studies/{call.study}/audit/reads",
        study=call.study,
        after=wanted.after,
        limit=wanted.limit,
        by="read_at",
    )
    return page.response(request, tuple(ReadView.model_fields))


async def _export(request: Request, study: str, *, is_csv: bool) -> Response:
    forwarder = held(request, Forwarder)
    path = f"/v1/studies/{study}/audit/export"
    async with AsyncExitStack() as opening:
        streams = [
            await opening.enter_async_context(
                forwarder.stream(request, service, path, study=study, query=request.url.query)
            )
            for service in SERVICES
        ]
        refused = next((stream for stream in streams if stream.refused is not None), None)
        if refused is not None and refused.refused is not None:
            return refused.refused.response()
        opened = opening.pop_all()
    lines = merge_lines([Lines(stream) for stream in streams])
    told = _closing(opened, _csv(lines) if is_csv else lines)
    kind = f"{CSV}; charset=utf-8" if is_csv else NDJSON
    return StreamingResponse(told, media_type=kind, headers={"Cache-Control": "no-store"})


async def _closing(opened: AsyncExitStack, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with opened:
        async for told in lines:
            yield told


class Lines:
    """One service's lines as they come, each beginning with its time."""

    def __init__(self, stream: Stream) -> None:
        self._chunks = stream.chunks()
        self._rest = b""
        self._lines: list[bytes] = []
        self._at = 0

    async def fill(self) -> bool:
        """Have a line at hand; tell whether there is one."""
        while self._at == len(self._lines):
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return False
            *self._lines, self._rest = (self._rest + chunk).split(b"\n")
            self._at = 0
        return True

    @property
    def head(self) -> bytes:
        """The time of the next line."""
        return self._lines[self._at][:_STAMP]

    def take(self, until: bytes | None) -> list[bytes]:
        """Return the lines at hand up to a time, at least one, without their times."""
        first = self._at
        self._at += 1
        while (
            self._at < len(self._lines)
            and self._at - first < _LINES_AT_ONCE
            and (until is None or self._lines[self._at][:_STAMP] <= until)
        ):
            self._at += 1
        return [line[_STAMP:] for line in self._lines[first : self._at]]


async def merge_lines(sources: list[Lines]) -> AsyncIterator[bytes]:
    """Yield all lines in the order of their times; each source's stay in their own order."""
    waiting = [source for source in sources if await source.fill()]
    while waiting:
        waiting.sort(key=lambda source: source.head)
        until = waiting[1].head if len(waiting) > 1 else None
        yield b"\n".join(waiting[0].take(until)) + b"\n"
        if not await waiting[0].fill():
            del waiting[0]


async def _csv(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield _table([COLUMNS])
    async for told in lines:
        rows = [orjson.loads(line) for line in told.removesuffix(b"\n").split(b"\n")]
        yield _table([csv_cell(row[name]) for name in COLUMNS] for row in rows)


def _table(rows: Any) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
