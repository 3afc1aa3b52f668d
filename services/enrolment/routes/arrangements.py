"""What becomes of planned visits: missed, cancelled, or moved to another date."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from services.enrolment.domain.arranging import PlanVisit, VisitHeld, decide_plan
from services.enrolment.domain.participant_file import PLAN
from services.enrolment.domain.schedule import scheduled_visit_id
from services.enrolment.facts import load_files
from services.enrolment.routes.finding import STAFF, WRITERS, own_id, read_file, study_of
from services.kernel.holdings import held
from services.kernel.http import Call, CallDep, IdempotencyKey, may, read_response, router
from services.kernel.records import ClosedBody, Page, Stored, StoredView
from services.kernel.refusals import NotFound
from services.kernel.resources import AsOf, past_moment, versions_response
from services.kernel.storage import Database
from services.kernel.values import CalendarDate, Reason
from services.kernel.writing import new_id, submit
from services.protocol.study import Study

arrangements = router(prefix="/v1/studies/{study}", tags=["visits"])


class PlanBody(ClosedBody):
    """What becomes of a planned visit, and why."""

    status: Literal["missed", "cancelled", "planned"]
    date: CalendarDate | None = None
    reason: Reason | None = None


class PlanView(StoredView):
    """What becomes of a planned visit, and why."""

    visit: str
    status: Literal["missed", "cancelled", "planned"]
    date: CalendarDate | None
    reason: str | None


@arrangements.post(
    "/participants/{participant}/visits/{visit}/plan",
    status_code=201,
    response_model=PlanView,
    **may(*WRITERS, gives=(VisitHeld,)),
)
async def plan_visit(
    request: Request,
    participant: str,
    visit: str,
    body: PlanBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Say that a planned visit was missed, is cancelled, or is moved to another date."""
    del idempotency_key
    identity = await own_id(request, call, participant)
    study = study_of(request, call)
    order = PlanVisit(
        study=study,
        participant=identity,
        id=new_id(),
        sites=call.caller.sites,
        visit=_planned_code(study, identity, visit),
        status=body.status,
        date=body.date,
        reason=body.reason,
    )
    return await submit(
        request, call, [order], load=load_files, decide=decide_plan, location=call.path
    )


def _planned_code(study: Study, participant: UUID, visit: str) -> str:
    """Return the code of the planned visit that a path names by code or id; raises NotFound."""
    codes = {str(scheduled_visit_id(study.number, participant, c)): c for c in study.visit_codes}
    code = codes.get(visit, visit)
    if code not in study.visit_codes:
        raise NotFound
    return code


@arrangements.get(
    "/participants/{participant}/visits/{visit}/plan",
    response_model=PlanView,
    **may(*STAFF, is_tagged=True),
)
async def read_plan(
    request: Request, participant: str, visit: str, call: CallDep, as_of: AsOf = None
) -> Response:
    """Return what was said last of a planned visit, or what had been said at a time."""
    stored = await _plan(request, call, participant, visit, past_moment(as_of))
    return read_response(request, stored.body.encode(), stored.etag)


@arrangements.get(
    "/participants/{participant}/visits/{visit}/plan/versions",
    response_model=Page[PlanView],
    **may(*STAFF),
)
async def list_plan_versions(
    request: Request, participant: str, visit: str, call: CallDep
) -> Response:
    """List all that was said of a planned visit, the first first."""
    stored = await _plan(request, call, participant, visit, None)
    return await versions_response(request, call, stored.participant, PLAN, stored.id)


async def _plan(
    request: Request, call: Call, participant: str, visit: str, at: datetime | None
) -> Stored:
    identity = await own_id(request, call, participant)
    code = _planned_code(study_of(request, call), identity, visit)
    async with held(request, Database).pooled() as connection:
        file = await read_file(connection, call.study, identity, at)
    for stored in file.stored(PLAN):
        if stored.document["visit"] == code:
            return stored
    raise NotFound
