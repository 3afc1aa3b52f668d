"""From a permitted call to the writer, and back to an HTTP answer."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from services.kernel.definition import Service
from services.kernel.feeds import FACTS_HEADER, Followers
from services.kernel.holdings import held
from services.kernel.http import Call
from services.kernel.records import Asker
from services.kernel.refusals import Conflict, NotFound
from services.kernel.storage import Database
from services.kernel.writing.lanes import Writer
from services.kernel.writing.units import Answer, Decide, Load, Outcome, Render, Unit, answer_record


def new_id() -> UUID:
    """Return a new record id: UUID version 7, which sorts by time."""
    return uuid7()


async def submit(  # noqa: PLR0913 - what a write may ask for
    request: Request,
    call: Call,
    commands: Sequence[Any],
    *,
    load: Load[Any, Any],
    decide: Decide[Any, Any],
    render: Render | None = None,
    is_atomic: bool = True,
    is_rehearsal: bool = False,
    location: str | None = None,
) -> Response:
    """Return the answer to a write, once it is committed.

    `location` is where the record stands, if not below the request's path by its id.

    What would be refused for want of facts is decided again after catching up with the
    services that own them: a participant registered a moment ago is never unknown.
    """
    writer, followers = held(request, Writer), held(request, Followers)
    owner = held(request, Service).participants_from
    await followers.at_least(call.study, request.headers.get(FACTS_HEADER))
    collection = call.path.removesuffix("/")

    def answer_one(outcomes: Sequence[Outcome]) -> Answer:
        queries = asker_of(request, call).settled(outcomes[0].recorded)
        more = None if queries is None else {"queries": queries}
        return answer_record(outcomes[0], collection, location, more=more)

    def unit() -> Unit:
        return Unit(
            study=call.study,
            commands=commands,
            load=load,
            decide=decide,
            by=call.by,
            render=render or answer_one,
            key=call.key,
            is_atomic=is_atomic,
            is_rehearsal=is_rehearsal,
        )

    try:
        answer: Answer = await writer.submit(unit())
    except (NotFound, Conflict) as refusal:
        if not refusal.depends_on_facts or owner is None:
            raise
        await followers.catch_up(call.study, owner)
        answer = await writer.submit(unit())
    return answer_response(request, answer)


def asker_of(request: Request, call: Call) -> Asker:
    """Return who asks about odd records of the study: this service."""
    return Asker(call.study, held(request, Database).schema)


def answer_response(request: Request, answer: Answer) -> Response:
    """Return a write's answer with the headers that the contract gives it."""
    headers = {**answer.headers, "Cache-Control": "no-store"}
    if answer.is_replay:
        headers["Idempotency-Replayed"] = "true"
    if answer.position:
        headers["X-Feed-Position"] = f"{held(request, Database).schema}={answer.position}"
    media_type = headers.pop("Content-Type", "application/json")
    return Response(answer.body, answer.status, headers=headers, media_type=media_type)
