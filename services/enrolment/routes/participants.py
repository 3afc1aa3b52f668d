"""Participants, and the statuses that they pass through."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.enrolment.domain.participant_file import (
    INFUSION,
    PARTICIPANT,
    STATUS,
    ParticipantFile,
    StudyBook,
    names_of,
)
from services.enrolment.domain.participants import (
    Status,
    status_of,
)
from services.enrolment.domain.registering import (
    ExternalIdUsed,
    RegisterParticipant,
    RegistrationForm,
    decide_registration,
)
from services.enrolment.facts import find_registered, load_files
from services.enrolment.routes.finding import BY_HAND, STAFF, own_id, study_of, today_at
from services.kernel.exact_json import canonical_json, parse_json
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
    read_cursor,
    read_response,
    router,
)
from services.kernel.records import Page, RecordBody, SourceAlreadyUsed, Stored, StoredView
from services.kernel.refusals import NotAllowed
from services.kernel.resources import (
    AsOf,
    files_of_participants,
    list_page,
    past_moment,
    read_record,
    read_versions,
)
from services.kernel.storage import Database
from services.kernel.values import CalendarDate, Code, Instant
from services.kernel.writing import new_id, submit
from services.protocol.settings import Sex

participants = router(prefix="/v1/studies/{study}", tags=["participants"])

HIDDEN_FROM_STATISTICIANS = ("external_id", "birth_date", "source_system", "source_ref")
_SHOWN_FROM: Final = (PARTICIPANT, STATUS, INFUSION)
_READ_AT_ONCE: Final = 200
"""Participants that are looked through at a time for those of a status, or changed since."""


class RegistrationBody(RecordBody):
    """Who is screened, where, and under which id of the sender."""

    site: Code
    external_id: Code | None = None
    birth_date: CalendarDate | None = None
    sex: Sex | None = None


class ParticipantView(StoredView):
    """A participant, with the status that stands today."""

    external_id: Annotated[str | None, Field(description="The sender's own id.")] = None
    birth_date: CalendarDate | None = None
    sex: Sex | None
    screening_number: Annotated[str, Field(description="A new one for each screening.")]
    status: Status


class ParticipantVersionView(StoredView):
    """One version of a participant's own record; each screening has one."""

    external_id: str | None = None
    birth_date: CalendarDate | None = None
    sex: Sex | None
    screening_number: str


class ParticipantFilter(BaseModel):
    """Which participants are listed."""

    site: Annotated[Code | None, Field(description="Only of this site.")] = None
    status: Annotated[Status | None, Field(description="Only with this status today.")] = None
    external_id: Annotated[Code | None, Field(description="Only with the sender's id.")] = None
    changed_since: Annotated[
        Instant | None, Field(description="Only whose record or status changed since.")
    ] = None
    limit: Limit = USUAL_LIMIT
    after: After = None


@participants.post(
    "/participants",
    status_code=201,
    response_model=ParticipantView,
    **may(*BY_HAND, gives=(ExternalIdUsed, SourceAlreadyUsed)),
)
async def register_participant(
    request: Request,
    body: RegistrationBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Register a participant for screening; a screening number is given.

    Who failed screening is screened again under the same id: 200, with another number.
    """
    del idempotency_key
    if not call.caller.covers_site(body.site):
        raise NotAllowed("Your sites do not include this one.")
    source = (body.source_system, body.source_ref)
    async with held(request, Database).pooled() as connection:
        known = await find_registered(connection, call.study, body.external_id, source)
    identity = known or new_id()
    order = RegisterParticipant(
        study=study_of(request, call),
        participant=identity,
        id=identity,
        sites=call.caller.sites,
        source_system=body.source_system,
        source_ref=body.source_ref,
        counts_places=True,
        external_id=body.external_id,
        form=RegistrationForm(
            site=body.site,
            external_id=body.external_id,
            birth_date=body.birth_date,
            sex=body.sex,
        ),
        status_id=new_id(),
    )
    return await submit(request, call, [order], load=load_files, decide=decide_registration)


@dataclass(frozen=True, slots=True)
class Presented:
    """A participant as the caller may see it, and when what it sees last changed."""

    view: dict[str, Any]
    changed_at: datetime


async def present_participants(
    request: Request, call: Call, stored: Sequence[Stored], as_of: datetime | None = None
) -> list[Presented]:
    """Return participants with their status; direct identifiers only for clinical roles."""
    study = study_of(request, call)
    async with held(request, Database).pooled() as connection:
        files = await files_of_participants(
            connection,
            call.study,
            [one.participant for one in stored],
            names_of(_SHOWN_FROM),
            as_of=as_of,
        )
    presented = []
    for one in stored:
        file = ParticipantFile(one.participant, StudyBook(), files.get(one.participant, {}))
        today = today_at(study, str(one.site), as_of)
        status = status_of(file.history(study, today))
        view = {**_without_identifiers(call, one.document), "status": status}
        presented.append(Presented(view, file.changed_at(study, today)))
    return presented


def _without_identifiers(call: Call, document: dict[str, Any]) -> dict[str, Any]:
    """Return a participant's document as the caller may see it."""
    hidden = HIDDEN_FROM_STATISTICIANS if call.by.role == "statistician" else ()
    return {name: value for name, value in document.items() if name not in hidden}


@participants.get("/participants", response_model=Page[ParticipantView], **may(*STAFF))
async def list_participants(
    request: Request, call: CallDep, wanted: Annotated[ParticipantFilter, Query()]
) -> Response:
    """List the participants of the caller's sites, in the order of their registration."""
    if wanted.site is not None and not call.caller.covers_site(wanted.site):
        raise NotAllowed("Your sites do not include this one.")
    sites = [wanted.site] if wanted.site is not None else call.caller.sites
    named = await _named(request, call, wanted.external_id)
    is_sought = wanted.status is not None or wanted.changed_since is not None
    found: list[dict[str, Any]] = []
    positions: list[int] = []
    following: int | None = read_cursor(wanted.after)
    while following is not None and len(found) <= wanted.limit:
        async with held(request, Database).pooled() as connection:
            page, following = await list_page(
                connection,
                call.study,
                PARTICIPANT.name,
                after=following,
                limit=max(wanted.limit, _READ_AT_ONCE) if is_sought else wanted.limit + 1,
                participant=named,
                sites=None if sites is None else sorted(sites),
            )
        for stored, one in zip(page, await present_participants(request, call, page), strict=True):
            if _is_wanted(one, wanted):
                found.append(one.view)
                positions.append(stored.position)
    more = len(found) > wanted.limit
    items = [canonical_json(view) for view in found[: wanted.limit]]
    return page_response(request, items, positions[wanted.limit - 1] if more else None)


async def _named(request: Request, call: Call, external_id: str | None) -> UUID | None:
    """Return the one participant whom the filter can mean; an id of nobody's where none."""
    if external_id is None:
        return None
    async with held(request, Database).pooled() as connection:
        found = await find_registered(connection, call.study, external_id, (None, None))
    return found or new_id()


def _is_wanted(one: Presented, wanted: ParticipantFilter) -> bool:
    since = wanted.changed_since
    return (wanted.status is None or one.view["status"] == wanted.status) and (
        since is None or one.changed_at >= since
    )


@participants.get(
    "/participants/{participant}",
    response_model=ParticipantView,
    **may(*STAFF, is_tagged=True),
)
async def read_participant(
    request: Request, participant: str, call: CallDep, as_of: AsOf = None
) -> Response:
    """Return one participant, as known today or at a time."""
    identity = await own_id(request, call, participant)
    at = past_moment(as_of)
    async with held(request, Database).pooled() as connection:
        stored = await read_record(
            connection, call.study, identity, PARTICIPANT.name, identity, as_of=at
        )
    view = (await present_participants(request, call, [stored], at))[0].view
    return read_response(request, canonical_json(view), f'"{stored.version}-{view["status"]}"')


@participants.get(
    "/participants/{participant}/versions",
    response_model=Page[ParticipantVersionView],
    **may(*STAFF),
)
async def list_participant_versions(request: Request, participant: str, call: CallDep) -> Response:
    """List all versions of a participant's own record, the first first."""
    identity = await own_id(request, call, participant)
    async with held(request, Database).pooled() as connection:
        bodies = await read_versions(connection, call.study, identity, PARTICIPANT.name, identity)
    documents = [parse_json(body.encode()) for body in bodies]
    items = [canonical_json(_without_identifiers(call, document)) for document in documents]
    return page_response(request, items, None)
