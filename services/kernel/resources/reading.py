"""The reads that every kind of a participant's record has: the list, one, its versions."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from services.kernel.holdings import held
from services.kernel.http import (
    USUAL_LIMIT,
    After,
    Call,
    CallDep,
    Limit,
    may,
    page_response,
    parse_id,
    read_cursor,
    read_response,
)
from services.kernel.identity import Role
from services.kernel.records import Page, Resource, Stored
from services.kernel.resources.stored import (
    AsOf,
    list_page,
    past_moment,
    read_record,
    read_versions,
)
from services.kernel.storage import Database

FindParticipant = Callable[[Request, Call, str], Awaitable[UUID]]
"""Returns the id of a participant in a path; raises NotFound for one the caller may not see."""
Present = Callable[[Request, Call, Sequence[Stored]], Awaitable[list[bytes]]]
"""Returns stored records as this caller sees them, with what follows from them today."""


async def present_as_stored(
    _request: Request, _call: Call, stored: Sequence[Stored]
) -> list[bytes]:
    """Return the documents just as they are stored."""
    return [one.body.encode() for one in stored]


async def versions_response(
    request: Request, call: Call, participant: UUID, resource: Resource, record: UUID
) -> Response:
    """Return all versions of a record, the first first; raises NotFound."""
    async with held(request, Database).pooled() as connection:
        versions = await read_versions(connection, call.study, participant, resource.name, record)
    return page_response(request, [body.encode() for body in versions], None)


def add_reads(
    router: APIRouter,
    path: str,
    resource: Resource,
    view: type[BaseModel],
    *,
    roles: Sequence[Role],
    find: FindParticipant,
    present: Present = present_as_stored,
) -> None:
    """Add `GET path`, `GET path/{record}` and `GET path/{record}/versions` to a router.

    `path` begins below the study and holds `{participant}`.
    """
    word = resource.name
    page_view: Any = Page[view]  # type: ignore[valid-type]
    one = f"{path}/{{{word}}}"

    async def list_records(
        request: Request,
        participant: str,
        call: CallDep,
        limit: Annotated[Limit, Query()] = USUAL_LIMIT,
        after: Annotated[After, Query()] = None,
        as_of: AsOf = None,
    ) -> Response:
        owner = await find(request, call, participant)
        async with held(request, Database).pooled() as connection:
            page, following = await list_page(
                connection,
                call.study,
                resource.name,
                after=read_cursor(after),
                limit=limit,
                participant=owner,
                as_of=past_moment(as_of),
            )
        return page_response(request, await present(request, call, page), following)

    async def read_one(
        request: Request, participant: str, call: CallDep, as_of: AsOf = None
    ) -> Response:
        owner = await find(request, call, participant)
        async with held(request, Database).pooled() as connection:
            stored = await read_record(
                connection,
                call.study,
                owner,
                resource.name,
                parse_id(request.path_params[word]),
                as_of=past_moment(as_of),
            )
        body = (await present(request, call, [stored]))[0]
        return read_response(request, body, stored.etag)

    async def list_versions(request: Request, participant: str, call: CallDep) -> Response:
        owner = await find(request, call, participant)
        record = parse_id(request.path_params[word])
        return await versions_response(request, call, owner, resource, record)

    spoken = word.replace("_", " ")
    for suffix, endpoint, verb, model, said in (
        ("", list_records, f"list_{word}s", page_view, f"List every {spoken} as it stands."),
        ("/one", read_one, f"read_{word}", view, f"Return one {spoken}, as it stands or stood."),
        (
            "/versions",
            list_versions,
            f"list_{word}_versions",
            page_view,
            f"List all versions of one {spoken}.",
        ),
    ):
        router.add_api_route(
            {"": path, "/one": one, "/versions": f"{one}/versions"}[suffix],
            endpoint,
            methods=["GET"],
            name=verb,
            summary=said.removesuffix("."),
            response_model=model,
            description=f"{said} Nothing is ever removed; what was entered in error says so.",
            **may(*roles, is_tagged=suffix == "/one"),
        )
