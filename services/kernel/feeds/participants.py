"""The participant that a path names, as the feed of the service that enrols told of it."""

from typing import Final
from uuid import UUID

from fastapi import Request

from services.kernel.definition import Service
from services.kernel.feeds.facts import KnownParticipant, find_participant
from services.kernel.feeds.following import Followers
from services.kernel.holdings import held
from services.kernel.http import Call, parse_participant
from services.kernel.refusals import NotFound
from services.kernel.storage import Database

FACTS_HEADER: Final = "x-facts-at-least"
"""Positions of other services' feeds that the caller has seen, as in `enrolment=118`."""


async def known_participant(request: Request, call: Call, text: str) -> KnownParticipant:
    """Return the participant in a path, as another service's feed told of it.

    Catches up before saying that there is none. Raises NotFound, also for a participant of
    a site that the caller does not cover, and Behind.
    """
    wanted = parse_participant(text)
    followers = held(request, Followers)
    await followers.at_least(call.study, request.headers.get(FACTS_HEADER))
    found = await _find(request, call.study, wanted)
    if found is None:
        await followers.catch_up(call.study, held(request, Service).participants_from)
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
    async with held(request, Database).pooled() as connection:
        return await find_participant(connection, study, wanted)
