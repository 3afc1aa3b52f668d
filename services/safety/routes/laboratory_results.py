"""Laboratory reports over HTTP."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass as form
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
from services.kernel.feeds import known_id, participant_id
from services.kernel.holdings import held
from services.kernel.http import Call, CallDep, IdempotencyKey, may, parse_id, router
from services.kernel.records import (
    RecordRetracted,
    RetractionBody,
    SourceAlreadyUsed,
    Stored,
    StoredView,
    Warned,
)
from services.kernel.resources import add_reads
from services.kernel.storage import Database
from services.kernel.values import Instant, Reason
from services.kernel.writing import new_id, submit
from services.protocol.loading import Studies
from services.protocol.participation import NoConsentInForce, ParticipationEnded
from services.safety.domain.dossier import LABORATORY_RESULT
from services.safety.domain.laboratory import LaboratoryReport, LaboratoryResult
from services.safety.domain.resulting import (
    CorrectResults,
    RecordResults,
    RetractResults,
    decide_correction,
    decide_results,
    decide_retraction,
    graded_results,
)
from services.safety.facts import load_dossiers, read_dossiers
from services.safety.routes.participants import READERS, WRITERS, asked_moment
from services.safety.routes.sources import CLOSED, Sourced, VisitSource

laboratory_results = router(prefix="/v1/studies/{study}", tags=["laboratory results"])
GATES = (NoConsentInForce, ParticipationEnded)


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryBody(Sourced, LaboratoryReport):
    """What was collected at one time, and its results."""


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryCorrection(LaboratoryBody):
    """The whole report again, and why it changes."""

    change_reason: Reason | None = None


class GradedResult(BaseModel):
    """The CTCAE version 5 grade of one result on one scale of its test."""

    pointer: Annotated[str, Field(description="The result that it is about (RFC 6901).")]
    test: str
    scale: str
    grade: Annotated[
        int | None, Field(ge=0, le=4, description="Null where a limit that decides is missing.")
    ]
    rule: Annotated[str, Field(description="The rule in words.")]


class LaboratoryView(StoredView):
    """A stored laboratory report: values and units as they came, and warnings."""

    collected_at: Instant
    visit: str
    results: list[LaboratoryResult]
    visit_source: VisitSource | None = None
    warnings: list[Warned]
    grades: list[GradedResult] | None = None


async def present_laboratory_results(
    request: Request, call: Call, stored: Sequence[Stored]
) -> list[bytes]:
    """Return laboratory reports with the grades of their results."""
    async with held(request, Database).pooled() as connection:
        dossiers = await read_dossiers(
            connection,
            call.study,
            {one.participant for one in stored},
            as_of=asked_moment(request),
        )
    study = held(request, Studies)[call.study]
    return [
        canonical_json(
            {**document, "grades": graded_results(dossiers[one.participant], study, document)}
        )
        for one in stored
        for document in [one.document]
    ]


@laboratory_results.post(
    "/participants/{participant}/laboratory-results",
    status_code=201,
    response_model=LaboratoryView,
    **may(*WRITERS, gives=(*GATES, SourceAlreadyUsed)),
)
async def record_laboratory_result(
    request: Request,
    participant: str,
    body: LaboratoryBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Record one laboratory report."""
    del idempotency_key
    command = RecordResults(
        study=held(request, Studies)[call.study],
        participant=await participant_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        source=body.source,
        report=body,
    )
    return await submit(request, call, [command], load=load_dossiers, decide=decide_results)


@laboratory_results.put(
    "/participants/{participant}/laboratory-results/{laboratory_result}",
    response_model=LaboratoryView,
    **may(*WRITERS, version="required", gives=(*GATES, RecordRetracted)),
)
async def correct_laboratory_result(
    request: Request,
    participant: str,
    laboratory_result: str,
    body: LaboratoryCorrection,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Replace what a laboratory report states, for a reason; earlier versions stay readable."""
    del idempotency_key
    command = CorrectResults(
        study=held(request, Studies)[call.study],
        participant=await participant_id(request, call, participant),
        id=parse_id(laboratory_result),
        sites=call.caller.sites,
        report=body,
        version=call.version,
        change_reason=body.change_reason,
    )
    return await submit(request, call, [command], load=load_dossiers, decide=decide_correction)


@laboratory_results.post(
    "/participants/{participant}/laboratory-results/{laboratory_result}/retraction",
    response_model=LaboratoryView,
    **may(*WRITERS, version="required"),
)
async def retract_laboratory_result(
    request: Request,
    participant: str,
    laboratory_result: str,
    body: RetractionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Mark a laboratory report as entered in error; it stays readable."""
    del idempotency_key
    command = RetractResults(
        study=held(request, Studies)[call.study],
        participant=await participant_id(request, call, participant),
        id=parse_id(laboratory_result),
        sites=call.caller.sites,
        version=call.version,
        reason=body.reason,
    )
    return await submit(request, call, [command], load=load_dossiers, decide=decide_retraction)


add_reads(
    laboratory_results,
    "/participants/{participant}/laboratory-results",
    LABORATORY_RESULT,
    LaboratoryView,
    roles=READERS,
    find=known_id,
    present=present_laboratory_results,
)
