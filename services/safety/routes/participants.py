"""Who a path means, for records that are taken of participants not known yet."""

from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

from fastapi import Request

from services.kernel.feeds import Behind, Followers, find_participant, known_id, participant_id
from services.kernel.holdings import held
from services.kernel.http import Call, parse_participant
from services.kernel.identity import Role
from services.kernel.refusals import NotFound
from services.kernel.storage import Database
from services.kernel.values import read_instant
from services.safety.domain.dossier import ADVERSE_EVENT
from services.safety.facts import read_dossiers

WRITERS: Final[tuple[Role, ...]] = ("edc", "coordinator", "investigator")
READERS: Final[tuple[Role, ...]] = (*WRITERS, "safety_officer", "auditor")
SAFETY_ROLES: Final[tuple[Role, ...]] = ("safety_officer", "auditor")
"""Who sees reports of participants of whom enrolment's feed has not told."""


async def reported_id(request: Request, call: Call, text: str) -> UUID:
    """Return the id of the participant whom a report is about, known or not.

    Catches up with enrolment before taking a participant for unknown; where enrolment is
    down, the report is taken all the same. Raises NotFound for an unknown `external:` name.
    """
    wanted = parse_participant(text)
    if not isinstance(wanted, UUID):
        return await participant_id(request, call, text)
    async with held(request, Database).pooled() as connection:
        known = await find_participant(connection, call.study, wanted)
    if known is None:
        with suppress(Behind):
            await held(request, Followers).catch_up(call.study, "enrolment")
    return wanted


async def safety_id(request: Request, call: Call, text: str) -> UUID:
    """Return the id of a participant with safety records; one not known is for safety roles.

    Raises NotFound.
    """
    wanted = parse_participant(text)
    try:
        return await known_id(request, call, text)
    except (NotFound, Behind):
        if isinstance(wanted, UUID) and await _is_reported(request, call, wanted):
            request.state.owner = (wanted, None)
            return wanted
        raise


async def _is_reported(request: Request, call: Call, participant: UUID) -> bool:
    if not call.caller.has_role(*SAFETY_ROLES):
        return False
    async with held(request, Database).pooled() as connection:
        dossiers = await read_dossiers(connection, call.study, [participant])
    dossier = dossiers[participant]
    sites = {versions[-1].site for versions in dossier.of_kind(ADVERSE_EVENT).values()}
    allowed = call.caller.sites
    is_covered = bool(sites) if allowed is None else not allowed.isdisjoint(sites - {None})
    return dossier.participation is None and is_covered


def asked_moment(request: Request) -> datetime | None:
    """Return the `as_of` of a request whose parameters were checked."""
    text = request.query_params.get("as_of")
    return None if text is None else read_instant(text)
