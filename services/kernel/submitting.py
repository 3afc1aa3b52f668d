"""From a permitted call to the writer, and back to an HTTP answer."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from services.kernel.calls import Call
from services.kernel.facts import KnownParticipant, find_participant
from services.kernel.following import Followers
from services.kernel.paths import parse_participant
from services.kernel.queries import Asker
from services.kernel.refusals import Conflict, NotFound
from services.kernel.responses import answer_response
from services.kernel.units import Answer, Decide, Load, Outcome, Render, Unit, answer_record
from services.kernel.writing import Writer

FACTS_HEADER = "x-facts-at-least"
"""Positions of other services' feeds that the caller has seen, as in `enrolment=118`."""


OWNER_OF_PARTICIPANTS = "enrolment"
"""The service that says who takes part; the others learn it from its feed."""


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
    state = request.app.state
    writer: Writer = state.writer
    followers: Followers = state.followers
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
        if not refusal.depends_on_facts or not followers.follows(OWNER_OF_PARTICIPANTS):
            raise
        await followers.catch_up(call.study, OWNER_OF_PARTICIPANTS)
        answer = await writer.submit(unit())
    return answer_response(request, answer)


def asker_of(request: Request, call: Call) -> Asker:
    """Return who asks about odd records of the study: this service."""
    return Asker(call.study, request.app.state.service)


async def known_participant(request: Request, call: Call, text: str) -> KnownParticipant:
    """Return the participant in a path, as another service's feed told of it.

    Catches up before saying that there is none. Raises NotFound, also for a participant of
    a site that the caller does not cover, and Behind.
    """
    wanted = parse_participant(text)
    followers: Followers = request.app.state.followers
    await followers.at_least(call.study, request.headers.get(FACTS_HEADER))
    found = await _find(request, call.study, wanted)
    if found is None:
        await followers.catch_up(call.study, OWNER_OF_PARTICIPANTS)
        found = await _find(request, call.study, wanted)
    if found is None or not call.caller.covers_site(found.site):
        raise NotFound
    request.state.owner = (found.id, found.site)
    return found


async def known_id(request: Request, call: Call, text: str) -> UUID:
    """Return the id of the participant in a path; as `known_participant`."""
    return (await known_participant(request, call, text)).id


async def participant_id(request: Request, call: Call, text: str) -> UUID:
    """Return the participant's id from a path; only `external:` needs to be looked up."""
    wanted = parse_participant(text)
    if isinstance(wanted, UUID):
        return wanted
    return (await known_participant(request, call, text)).id


async def _find(request: Request, study: str, wanted: UUID | str) -> KnownParticipant | None:
    async with request.app.state.database.reading() as connection:
        return await find_participant(connection, study, wanted)
