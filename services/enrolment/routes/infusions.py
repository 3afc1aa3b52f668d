"""Infusions: recorded, corrected, retracted, and read with the dose that was planned."""

from typing import Annotated

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from services.enrolment.domain.infusing import (
    CorrectInfusion,
    InfusionRecorded,
    RecordInfusion,
    RetractInfusion,
    decide_infusion,
    decide_infusion_correction,
    decide_infusion_retraction,
)
from services.enrolment.domain.infusion_records import (
    STATED,
    InfusionForm,
    Positive,
    PositiveWhole,
    Viability,
)
from services.enrolment.domain.participant_file import INFUSION
from services.enrolment.facts import load_files
from services.enrolment.routes.finding import (
    CLINICAL,
    GATES,
    WRITERS,
    own_id,
    study_of,
)
from services.kernel.http import CallDep, IdempotencyKey, may, parse_id, router
from services.kernel.records import (
    RecordBody,
    RecordRetracted,
    RetractionBody,
    SourceAlreadyUsed,
    StoredView,
    Warned,
)
from services.kernel.resources import add_reads
from services.kernel.values import CalendarDate, Code, Instant, Reason
from services.kernel.writing import new_id, submit
from services.protocol.participation import NoConsentInForce, ParticipationEnded

infusions = router(prefix="/v1/studies/{study}", tags=["visits"])


class InfusionBody(RecordBody):
    """One infusion as it was given, and at which visit."""

    visit: Code
    started_at: Instant
    stopped_at: Instant | None = None
    cells_given: PositiveWhole | None = None
    volume_ml: Positive | None = None
    batch: Code | None = None
    viability_percent: Viability | None = None
    interruptions: Reason | None = None

    def form(self) -> InfusionForm:
        """Return what the sender states."""
        return InfusionForm(**{name: getattr(self, name) for name in STATED})


class InfusionCorrection(InfusionBody):
    """The whole infusion again, and why it changes."""

    change_reason: Reason | None = None


class InfusionView(StoredView):
    """An infusion, with the dose that was planned and what was odd."""

    visit: str
    started_at: Instant
    stopped_at: Instant | None
    cells_given: int | None
    cells_planned: Annotated[int | None, Field(description="Null without a usable weight.")]
    volume_ml: float | None
    batch: str | None
    viability_percent: float | None
    interruptions: str | None
    weight_kg: Annotated[float | None, Field(description="The weight that the plan follows.")]
    weighed_on: CalendarDate | None
    warnings: list[Warned]


@infusions.post(
    "/participants/{participant}/infusions",
    status_code=201,
    response_model=InfusionView,
    **may(*WRITERS, gives=(*GATES, InfusionRecorded, SourceAlreadyUsed)),
)
async def record_infusion(
    request: Request,
    participant: str,
    body: InfusionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Record an infusion; the first one begins the treatment period."""
    del idempotency_key
    order = RecordInfusion(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        source_system=body.source_system,
        source_ref=body.source_ref,
        visit=body.visit,
        form=body.form(),
        status_id=new_id(),
    )
    return await submit(request, call, [order], load=load_files, decide=decide_infusion)


@infusions.put(
    "/participants/{participant}/infusions/{infusion}",
    response_model=InfusionView,
    **may(
        *WRITERS,
        version="required",
        gives=(NoConsentInForce, ParticipationEnded, InfusionRecorded, RecordRetracted),
    ),
)
async def correct_infusion(
    request: Request,
    participant: str,
    infusion: str,
    body: InfusionCorrection,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Replace what an infusion's record states, for a reason."""
    del idempotency_key
    order = CorrectInfusion(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=parse_id(infusion),
        sites=call.caller.sites,
        visit=body.visit,
        form=body.form(),
        status_id=new_id(),
        version=call.version,
        change_reason=body.change_reason,
    )
    return await submit(request, call, [order], load=load_files, decide=decide_infusion_correction)


@infusions.post(
    "/participants/{participant}/infusions/{infusion}/retraction",
    response_model=InfusionView,
    **may(*WRITERS, version="required"),
)
async def retract_infusion(
    request: Request,
    participant: str,
    infusion: str,
    body: RetractionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Mark an infusion as entered in error; it stays readable."""
    del idempotency_key
    order = RetractInfusion(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=parse_id(infusion),
        sites=call.caller.sites,
        version=call.version,
        reason=body.reason,
    )
    return await submit(request, call, [order], load=load_files, decide=decide_infusion_retraction)


add_reads(
    infusions,
    "/participants/{participant}/infusions",
    INFUSION,
    InfusionView,
    roles=CLINICAL,
    find=own_id,
)
