"""The audit trail of one service: who did what, when and why, with old and new values."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from services.kernel.audit.chains import feed_size
from services.kernel.exact_json import escape_pointer
from services.kernel.http import USUAL_LIMIT, After, Limit
from services.kernel.records import event_header
from services.kernel.storage import Connection, Database
from services.kernel.values import Code, Instant, Name


class AuditFilter(BaseModel):
    """Which rows of the trail are asked for; what is left out is not asked about."""

    participant: Annotated[UUID | None, Field(description="Only about this participant.")] = None
    actor: Annotated[Name | None, Field(description="Only by this subject of a token.")] = None
    action: Annotated[Code | None, Field(description="Only this, such as `corrected`.")] = None
    resource: Annotated[Code | None, Field(description="Only this kind of record.")] = None
    visit: Annotated[Code | None, Field(description="Only about this visit's code.")] = None
    recorded_from: Annotated[
        Instant | None, Field(description="Only recorded at this time or later.")
    ] = None
    recorded_to: Annotated[Instant | None, Field(description="Only recorded before this time.")] = (
        None
    )
    state: Annotated[
        bool, Field(description="Give each record also as it was hashed, to recompute the chains.")
    ] = False
    after: After = None
    limit: Limit = USUAL_LIMIT


_ROW: Final = (
    "e.study, e.participant::text AS participant, e.stream_version, e.position, e.resource, "
    "e.resource_id::text AS resource_id, e.resource_version, e.action, e.site, e.visit, e.actor, "
    "e.role, e.reason, e.source_system, e.source_ref, e.request_id, e.release, e.recorded_at, "
    "e.body, e.prev_hash, e.hash"
)
_BEFORE: Final = (
    "LEFT JOIN event b ON e.resource_version > 1 AND b.study = e.study "
    "AND b.participant = e.participant AND b.resource = e.resource "
    "AND b.resource_id = e.resource_id AND b.resource_version = e.resource_version - 1"
)


async def read_trail(
    connection: Connection,
    study: str,
    wanted: AuditFilter,
    sites: Iterable[str] | None,
    *,
    after: int,
    limit: int,
    size: int | None = None,
) -> list[Any]:
    """Return up to `limit` event rows after a position, with the state before them, in order.

    With `size` only of the study's first events.
    """
    asked = [
        ("e.position > {}", after),
        ("e.position <= {}", size),
        ("e.participant = {}", wanted.participant),
        ("e.actor = {}", wanted.actor),
        ("e.action = {}", wanted.action),
        ("e.resource = {}", wanted.resource),
        ("e.visit = {}", wanted.visit),
        ("e.recorded_at >= {}", wanted.recorded_from),
        ("e.recorded_at < {}", wanted.recorded_to),
        ("e.site = ANY({})", None if sites is None else sorted(sites)),
    ]
    # Only what is asked for stands in the statement, so that each has a plan of its own.
    given = [(condition, value) for condition, value in asked if value is not None]
    conditions = [condition.format(f"${at}") for at, (condition, _) in enumerate(given, start=3)]
    return await connection.fetch(
        f"SELECT {_ROW}, b.body AS body_before FROM event e {_BEFORE} "
        f"WHERE e.study = $1 AND {' AND '.join(conditions)} ORDER BY e.position LIMIT $2",
        study,
        limit,
        *(value for _, value in given),
    )


def audit_item(row: Any, service: str, *, with_state: bool = False) -> dict[str, Any]:
    """Return one row of the trail: who, what, when, why, old and new values, the hashes.

    With the state, the record's bytes as they were hashed, the content can be checked too.
    """
    before = orjson.loads(row["body_before"]) if row["body_before"] else {}
    item = event_header(row, service)
    item["seq"] = row["position"]
    item["changes"] = changes(before, orjson.loads(row["body"]))
    item["hash"] = row["hash"].hex()
    if with_state:
        item["state"] = row["body"]
    return item


def audit_line(row: Any, service: str, *, with_state: bool) -> bytes:
    """Return a row of the export: its time, a blank, the item as JSON, a line's end."""
    item = audit_item(row, service, with_state=with_state)
    line: bytes = orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE)
    return str(item["recorded_at"]).encode() + b" " + line


async def export_trail(
    database: Database, study: str, wanted: AuditFilter, sites: Iterable[str] | None
) -> AsyncIterator[bytes]:
    """Yield the lines of all events asked for that there are now, a few hundred at a time.

    A slice is read whole before it is told, so that a slow reader holds no connection; the
    next one is read meanwhile.
    """
    async with database.pooled() as connection:
        size = await feed_size(connection, study)

    async def read_slice(after: int) -> list[Any]:
        async with database.pooled() as connection:
            return await read_trail(
                connection, study, wanted, sites, after=after, limit=_SLICE, size=size
            )

    rows = await read_slice(0)
    while rows:
        is_last = len(rows) < _SLICE
        following = None if is_last else asyncio.create_task(read_slice(rows[-1]["position"]))
        for first in range(0, len(rows), _TOLD_AT_ONCE):
            told = rows[first : first + _TOLD_AT_ONCE]
            yield b"".join(
                audit_line(row, database.schema, with_state=wanted.state) for row in told
            )
        rows = [] if following is None else await following


_SLICE: Final = 2000
_TOLD_AT_ONCE: Final = 200


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what differs, by pointer, with the old and the new value."""
    if not before:
        return [
            {"pointer": _POINTERS[name], "old": None, "new": value}
            for name, value in after.items()
            if value is not None
        ]
    found: list[dict[str, Any]] = []
    _add_differences(found, "", before, after)
    return found


class _Pointers(dict[str, str]):
    """The pointers of a record's own members: few, and needed again for every row."""

    def __missing__(self, name: str) -> str:
        pointer = f"/{escape_pointer(name)}"
        if len(self) < _MOST_POINTERS:
            self[name] = pointer
        return pointer


_MOST_POINTERS: Final = 1000
_POINTERS: Final = _Pointers()


def _add_differences(
    found: list[dict[str, Any]], at: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if old == new and type(old) is type(new):
            continue
        pointer = f"{at}/{escape_pointer(name)}"
        if isinstance(old, dict) and isinstance(new, dict):
            _add_differences(found, pointer, old, new)
        else:
            found.append({"pointer": pointer, "old": old, "new": new})
