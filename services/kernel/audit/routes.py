"""What the gateway asks each service about its audit trail and its chains."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request
from pydantic import Field
from sqlalchemy import MetaData
from starlette.responses import Response, StreamingResponse

from services.kernel.audit.chains import Broken, Head, read_chain_part, read_heads, verify_chains
from services.kernel.audit.read_log import ReadQuery, list_reads, read_item
from services.kernel.audit.trail import AuditFilter, audit_item, export_trail, read_trail
from services.kernel.definition import Service
from services.kernel.exact_json import canonical_json, stamp
from services.kernel.holdings import held
from services.kernel.http import (
    NDJSON,
    Call,
    CallDep,
    may,
    page_response,
    read_cursor,
    router,
    write_cursor,
)
from services.kernel.records import event_header
from services.kernel.refusals import NotFound
from services.kernel.storage import Database

audit_routes = router(prefix="/v1/studies/{study}/audit", tags=["audit"])

Size = Annotated[int, Field(ge=0, le=2**62, description="So many of the study's first events.")]
Seq = Annotated[int, Field(ge=1, le=2**62, description="An event's number in its service.")]


@audit_routes.get("", **may("auditor", is_internal=True))
async def read_audit(
    request: Request, call: CallDep, wanted: Annotated[AuditFilter, Query()]
) -> Response:
    """Return this service's part of the audit trail, in feed order."""
    async with held(request, Database).pooled() as connection:
        rows = await read_trail(
            connection,
            call.study,
            wanted,
            call.caller.sites,
            after=read_cursor(wanted.after),
            limit=wanted.limit + 1,
        )
    service = held(request, Service).name
    items = [
        canonical_json(
            {
                **audit_item(row, service, with_state=wanted.state),
                "cursor": write_cursor(row["position"]),
            }
        )
        for row in rows[: wanted.limit]
    ]
    following = rows[wanted.limit - 1]["position"] if len(rows) > wanted.limit else None
    return page_response(request, items, following)


@audit_routes.get("/export", **may("auditor", is_internal=True))
async def export_audit(
    request: Request, call: CallDep, wanted: Annotated[AuditFilter, Query()]
) -> Response:
    """Return all of this service's trail, a line an event, each line after its time."""
    lines = export_trail(held(request, Database), call.study, wanted, call.caller.sites)
    return StreamingResponse(lines, media_type=NDJSON)


@audit_routes.get("/reads", **may("auditor", is_internal=True))
async def read_reads(request: Request, call: CallDep, wanted: ReadQuery) -> Response:
    """Return this service's part of who was shown personal data, in the order written."""
    async with held(request, Database).pooled() as connection:
        rows = await list_reads(connection, call.study, wanted, call.caller.sites)
    items = [read_item(row, held(request, Service).name) for row in rows[: wanted.limit]]
    following = rows[wanted.limit - 1]["position"] if len(rows) > wanted.limit else None
    return page_response(request, items, following)


@audit_routes.get("/verification", **may("auditor", is_internal=True))
async def read_verification(request: Request, call: CallDep) -> Response:
    """Recompute every chain of this service, and name the first broken link."""
    service = held(request, Service)
    async with held(request, Database).pooled() as connection:
        found = await verify_chains(
            connection, call.study, service.name, _version_tables(service.tables), service.typed
        )
    body = {
        "service": service.name,
        "verified": found.first_broken is None,
        "events": found.events,
        "heads": _heads(found.heads),
        "checked_at": stamp(datetime.now(UTC)),
        "first_broken": found.first_broken and _broken(found.first_broken, service.name),
    }
    return Response(canonical_json(body), media_type="application/json")


def _version_tables(tables: MetaData) -> list[str]:
    return [table.name for table in tables.sorted_tables if "stream_version" in table.columns]


def _broken(broken: Broken, service: str) -> dict[str, Any]:
    owner = broken.participant
    return {
        "service": service,
        "participant": None if owner is None else str(owner),
        "seq": broken.seq,
        "fault": broken.fault,
    }


def _heads(heads: Mapping[UUID, Head]) -> dict[str, Any]:
    return {
        str(owner): {"version": head.version, "hash": head.hash.hex()}
        for owner, head in heads.items()
    }


@audit_routes.get("/heads", **may("auditor", is_internal=True))
async def read_chain_heads(
    request: Request, call: CallDep, size: Annotated[Size | None, Query()] = None
) -> Response:
    """Return the head of every chain, now or when there were `size` events."""
    async with held(request, Database).pooled() as connection:
        events, heads = await read_heads(connection, call.study, size)
    body = {"service": held(request, Service).name, "events": events, "heads": _heads(heads)}
    return Response(canonical_json(body), media_type="application/json")


@audit_routes.get("/chain", **may("auditor", is_internal=True))
async def read_chain(
    request: Request,
    call: CallDep,
    seq: Annotated[Seq, Query()],
    size: Annotated[Size, Query()],
) -> Response:
    """Return a chain from one event on to its head, as far as the first `size` events."""
    async with held(request, Database).pooled() as connection:
        rows = await read_chain_part(connection, call.study, seq, size)
    if not rows or not all(_covers(call, row["site"]) for row in rows):
        raise NotFound
    service = held(request, Service).name
    headers = [event_header(row, service) for row in rows]
    return Response(canonical_json({"headers": headers}), media_type="application/json")


def _covers(call: Call, site: str | None) -> bool:
    sites = call.caller.sites
    return sites is None or site in sites
