"""What the gateway asks each service about its open queries, and how one is answered."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.kernel.definition import Service
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
    router,
    write_cursor,
)
from services.kernel.identity import NotPermitted, Role
from services.kernel.queries.answering import (
    ANSWER,
    AnswerQuery,
    QueryDossier,
    answer_id,
    decide_answer,
)
from services.kernel.records import Asker, ClosedBody, Stored, StoredView
from services.kernel.refusals import NotFound
from services.kernel.resources import standing_records
from services.kernel.storage import WARNED, Connection, Database
from services.kernel.values import Code, Instant, Reason
from services.kernel.writing import asker_of, submit

query_routes = router(prefix="/v1/studies/{study}/queries", tags=["queries"])

ANSWERERS: Final[tuple[Role, ...]] = ("edc", "coordinator", "investigator")
READERS: Final[tuple[Role, ...]] = (*ANSWERERS, "safety_officer", "auditor")
_RECORDS_AT_ONCE: Final = 200


class QueryFilter(BaseModel):
    """Which queries are asked for; what is left out is not asked about."""

    site: Annotated[Code | None, Field(description="Only of this site.")] = None
    participant: Annotated[UUID | None, Field(description="Only about this participant.")] = None
    record: Annotated[UUID | None, Field(description="The id of the record that warns.")] = None
    code: Annotated[Code | None, Field(description="The kind of warning.")] = None
    status: Annotated[
        Literal["open", "answered"], Field(description="Open until somebody answers.")
    ] = "open"
    after: After = None
    limit: Limit = USUAL_LIMIT


class QueryAnswerBody(ClosedBody):
    """Why the value stands, or what was done about it."""

    reason: Reason


class QueryAnswerView(StoredView):
    """A person's answer to a query."""

    query: UUID
    record: UUID
    record_version: Annotated[int, Field(description="The record's version then.")]
    pointer: str
    code: str
    reason: str


class AnswerView(BaseModel):
    """What was answered last, to which version of the record, and how often."""

    reason: str
    recorded_by: str
    recorded_at: Instant
    record_version: int
    version: int


class QueriedRecord(BaseModel):
    """The record that warns."""

    record: Annotated[str, Field(description="Its kind.")]
    id: UUID
    version: int


class QueryView(BaseModel):
    """A warning of a record as it stands, and what a person answered to it."""

    id: UUID
    service: str
    status: Literal["open", "answered"]
    participant: UUID
    site: str | None
    visit: str | None
    record: QueriedRecord
    pointer: Annotated[str, Field(description="The member of the record (RFC 6901).")]
    code: str
    detail: str
    recorded_at: Annotated[Instant, Field(description="When the record's version was.")]
    answer: AnswerView | None


@query_routes.get("", **may(*READERS, is_internal=True))
async def read_queries(
    request: Request, call: CallDep, wanted: Annotated[QueryFilter, Query()]
) -> Response:
    """Return this service's part of the queries, by when their records were first recorded."""
    if wanted.site is not None and not call.caller.covers_site(wanted.site):
        raise NotPermitted("The token does not cover this site.")
    begin = read_cursor(wanted.after)
    found: list[tuple[int, dict[str, Any]]] = []
    async with held(request, Database).pooled() as connection:
        async for marked in _marked(request, call, connection, wanted, begin >> 64):
            found += [
                (mark, query)
                for mark, query in marked
                if mark > begin and query["status"] == wanted.status
            ]
            if len(found) > wanted.limit:
                break
    found.sort(key=lambda pair: pair[0])
    shown = found[: wanted.limit]
    items = [canonical_json({**query, "cursor": write_cursor(mark)}) for mark, query in shown]
    return page_response(request, items, shown[-1][0] if len(found) > wanted.limit else None)


@query_routes.get("/{query}", **may(*READERS, is_internal=True))
async def read_query(request: Request, query: str, call: CallDep) -> Response:
    """Return one query of this service's."""
    found = await _one(request, call, parse_id(query))
    headers = {"Cache-Control": "no-store"}
    return Response(canonical_json(found), headers=headers, media_type="application/json")


@query_routes.post("/{query}/answer", status_code=201, **may(*ANSWERERS, is_internal=True))
async def answer_query(
    request: Request,
    query: str,
    body: QueryAnswerBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Answer a query, with a reason; another answer is a new version."""
    del idempotency_key
    asked = await _one(request, call, parse_id(query))
    order = AnswerQuery(
        asker=asker_of(request, call),
        participant=UUID(asked["participant"]),
        site=asked["site"],
        query=asked["id"],
        record=UUID(asked["record"]["id"]),
        reason=body.reason,
    )
    kind = asked["record"]["record"]

    async def load(
        connection: Connection, study: str, orders: Sequence[AnswerQuery]
    ) -> dict[UUID, QueryDossier]:
        dossier = await _load_dossier(connection, study, kind, orders)
        return {one.participant: dossier for one in orders}

    location = request.url.path.removesuffix("/answer")
    return await submit(request, call, [order], load=load, decide=decide_answer, location=location)


async def _load_dossier(
    connection: Connection, study: str, kind: str, orders: Sequence[AnswerQuery]
) -> QueryDossier:
    records = [(order.participant, order.record) for order in orders]
    answers = [(order.participant, order.id) for order in orders]
    return QueryDossier(
        {one.id: one for one in await standing_records(connection, study, kind, records)},
        {one.id: one for one in await standing_records(connection, study, ANSWER.name, answers)},
    )


async def _one(request: Request, call: Call, query: UUID) -> dict[str, Any]:
    """Return a query, open or answered; raises NotFound."""
    async with held(request, Database).pooled() as connection:
        async for marked in _marked(request, call, connection, QueryFilter(), 0):
            for _, found in marked:
                if found["id"] == query:
                    return found
    raise NotFound


async def _marked(
    request: Request, call: Call, connection: Connection, wanted: QueryFilter, begin: int
) -> AsyncIterator[list[tuple[int, dict[str, Any]]]]:
    """Yield queries of any status, each behind its place in the list, some records at a time.

    The place is the first position of the record, then the query's id.
    """
    asker = asker_of(request, call)
    until_known = held(request, Service).until_known
    position = begin
    while True:
        rows = await _warning_records(request, call, connection, wanted, position)
        asked = [
            (row, query, said)
            for row in rows
            for query, said in asker.queries(row["resource_id"], _warnings(row)).items()
            if wanted.code in {None, said["code"]}
            and not (row["is_known"] and said["code"] in until_known)
        ]
        yield await _answered(connection, asker, asked)
        if len(rows) < _RECORDS_AT_ONCE:
            return
        position = rows[-1]["first_position"] + 1


async def _warning_records(
    request: Request, call: Call, connection: Connection, wanted: QueryFilter, begin: int
) -> list[Any]:
    """Return standing records with warnings, from a first position on."""
    service = held(request, Service)
    sites = call.caller.sites if wanted.site is None else [wanted.site]
    return await connection.fetch(
        "SELECT e.participant, e.resource, e.resource_id, e.resource_version, e.visit, "
        "e.recorded_at, e.body, first.position AS first_position, "
        "coalesce(known.site, e.site) AS site, known.site IS NOT NULL AS is_known "
        "FROM event e JOIN event first ON first.study = e.study "
        "AND first.participant = e.participant AND first.resource = e.resource "
        "AND first.resource_id = e.resource_id AND first.resource_version = 1 "
        "LEFT JOIN LATERAL (SELECT f.site FROM fact f WHERE f.study = e.study "
        "AND f.resource = 'participant' AND f.participant = e.participant LIMIT 1) "
        f"AS known ON true WHERE e.study = $1 AND e.{WARNED} AND e.action <> 'retracted' "
        "AND NOT EXISTS (SELECT FROM event later WHERE later.study = e.study "
        "AND later.participant = e.participant AND later.resource = e.resource "
        "AND later.resource_id = e.resource_id "
        "AND later.resource_version > e.resource_version) AND first.position >= $2 "
        "AND ($3::uuid IS NULL OR e.participant = $3) "
        "AND ($4::uuid IS NULL OR e.resource_id = $4) "
        "AND ($5::text[] IS NULL OR coalesce(known.site, e.site) = ANY($5)) "
        "AND ($6 OR known.site IS NOT NULL) ORDER BY first.position LIMIT $7",
        call.study,
        begin,
        wanted.participant,
        wanted.record,
        None if sites is None else sorted(sites),
        service.participants_from is None or call.caller.has_role(*service.shown_unverified),
        _RECORDS_AT_ONCE,
    )


def _warnings(row: Any) -> list[dict[str, str]]:
    warnings: list[dict[str, str]] = parse_json(row["body"].encode())["warnings"]
    return warnings


async def _answered(
    connection: Connection,
    asker: Asker,
    asked: Sequence[tuple[Any, UUID, dict[str, str]]],
) -> list[tuple[int, dict[str, Any]]]:
    """Return the queries with what was answered, each behind its place in the list."""
    named = [(row["participant"], answer_id(query)) for row, query, _ in asked]
    answers = {
        one.id: one for one in await standing_records(connection, asker.study, ANSWER.name, named)
    }
    return [
        (row["first_position"] << 64 | query.int >> 64, _view(asker, row, query, said, answers))
        for row, query, said in asked
    ]


def _view(
    asker: Asker, row: Any, query: UUID, said: dict[str, str], answers: dict[UUID, Stored]
) -> dict[str, Any]:
    stored = answers.get(answer_id(query))
    shown = ("reason", "recorded_by", "recorded_at", "record_version", "version")
    document = None if stored is None else stored.document
    at: datetime = row["recorded_at"]
    return {
        "id": query,
        "service": asker.service,
        "status": "open" if document is None else "answered",
        "participant": str(row["participant"]),
        "site": row["site"],
        "visit": row["visit"],
        "record": {
            "record": row["resource"],
            "id": str(row["resource_id"]),
            "version": row["resource_version"],
        },
        **said,
        "recorded_at": stamp(at),
        "answer": None if document is None else {name: document[name] for name in shown},
    }
