"""The statuses that a participant passes through: recorded, and as they follow."""

from datetime import date
from typing import Annotated, Any, Final
from uuid import NAMESPACE_URL, uuid5

from fastapi import Query, Request
from starlette.responses import Response

from services.enrolment.domain.enrolling import MoveParticipant, decide_move
from services.enrolment.domain.participant_file import (
    PERIOD_ENDED,
    STATUS,
    ParticipantFile,
)
from services.enrolment.domain.participants import (
    ChangeStatus,
    Departure,
    NeverConsented,
    Status,
    StatusNotAllowed,
)
from services.enrolment.facts import load_files
from services.enrolment.routes.finding import (
    BY_HAND,
    STAFF,
    own_id,
    read_file,
    study_of,
    today_at,
)
from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import (
    USUAL_LIMIT,
    After,
    CallDep,
    IdempotencyKey,
    Limit,
    may,
    page_response,
    parse_id,
    read_cursor,
    read_response,
    router,
)
from services.kernel.records import Page, RecordBody, SourceAlreadyUsed, StoredView
from services.kernel.resources import AsOf, list_page, past_moment, read_record, versions_response
from services.kernel.storage import Database
from services.kernel.values import CalendarDate, Reason
from services.kernel.writing import new_id, submit
from services.protocol.study import Study

statuses = router(prefix="/v1/studies/{study}", tags=["participants"])
_BY_ITSELF: Final = "schedule"
"""Recorded by nobody: it follows from the plan."""


class StatusBody(RecordBody):
    """That the participant left treatment or the study, when and why."""

    status: Departure
    date: CalendarDate
    reason: Reason | None = None


class StatusView(StoredView):
    """A status that was recorded."""

    status: Status | Departure
    date: CalendarDate
    reason: str | None


@statuses.post(
    "/participants/{participant}/status",
    status_code=201,
    response_model=StatusView,
    **may(*BY_HAND, gives=(StatusNotAllowed, NeverConsented, SourceAlreadyUsed)),
)
async def record_status(
    request: Request,
    participant: str,
    body: StatusBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Record that the participant left treatment or the study."""
    del idempotency_key
    order = MoveParticipant(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        source_system=body.source_system,
        source_ref=body.source_ref,
        form=ChangeStatus(status=body.status, date=body.date, reason=body.reason),
    )
    return await submit(request, call, [order], load=load_files, decide=decide_move)


class CourseStatusView(StatusView):
    """A status of a participant's course.

    `stands` is false for treatment of which every infusion was entered in error. Follow-up
    that begins by itself, because the treatment period ended, has version 0.
    """

    stands: bool


@statuses.get(
    "/participants/{participant}/status", response_model=Page[CourseStatusView], **may(*STAFF)
)
async def list_statuses(
    request: Request,
    participant: str,
    call: CallDep,
    limit: Annotated[Limit, Query()] = USUAL_LIMIT,
    after: Annotated[After, Query()] = None,
    as_of: AsOf = None,
) -> Response:
    """List the statuses that the participant passed through, the oldest first."""
    identity, at = await own_id(request, call, participant), past_moment(as_of)
    async with held(request, Database).pooled() as connection:
        page, following = await list_page(
            connection,
            call.study,
            STATUS.name,
            after=read_cursor(after),
            limit=limit,
            participant=identity,
            as_of=at,
        )
        file = await read_file(connection, call.study, identity, at)
    study = study_of(request, call)
    documents = [stored.document for stored in page]
    items = _course(study, file, documents, today_at(study, file.site, at))
    return page_response(request, [canonical_json(item) for item in items], following)


def _course(
    study: Study, file: ParticipantFile, documents: list[dict[str, Any]], today: date
) -> list[dict[str, Any]]:
    """Return recorded statuses as they stand, with the follow-up that begins by itself."""
    history = file.history(study, today)
    followed = next((change for change in history if change.reason == PERIOD_ENDED), None)
    items = []
    for document in documents:
        is_treatment = document["status"] == "on_treatment"
        began = file.first_infusion_on(study) if is_treatment else document["date"]
        items.append({**document, "date": began or document["date"], "stands": began is not None})
        if is_treatment and followed is not None:
            items.append(
                {
                    **document,
                    "id": uuid5(NAMESPACE_URL, f"{document['id']}/follow-up"),
                    "version": 0,
                    "recorded_by": _BY_ITSELF,
                    "status": followed.status,
                    "date": followed.date,
                    "reason": followed.reason,
                    "stands": True,
                }
            )
    return items


@statuses.get(
    "/participants/{participant}/status/{status}",
    response_model=StatusView,
    **may(*STAFF, is_tagged=True),
)
async def read_status(
    request: Request, participant: str, status: str, call: CallDep, as_of: AsOf = None
) -> Response:
    """Return a status as it was recorded."""
    identity = await own_id(request, call, participant)
    async with held(request, Database).pooled() as connection:
        stored = await read_record(
            connection,
            call.study,
            identity,
            STATUS.name,
            parse_id(status),
            as_of=past_moment(as_of),
        )
    return read_response(request, stored.body.encode(), stored.etag)


@statuses.get(
    "/participants/{participant}/status/{status}/versions",
    response_model=Page[StatusView],
    **may(*STAFF),
)
async def list_status_versions(
    request: Request, participant: str, status: str, call: CallDep
) -> Response:
    """List all versions of a status; it is never changed, so that there is one."""
    identity = await own_id(request, call, participant)
    return await versions_response(request, call, identity, STATUS, parse_id(status))
