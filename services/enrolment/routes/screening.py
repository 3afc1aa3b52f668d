"""The screening record: put whole, read as it stands or stood."""

from datetime import datetime

from fastapi import Request
from starlette.responses import Response

from services.enrolment.domain.eligibility_facts import (
    DiagnosisFacts,
    InvestigatorFacts,
    MedicalFacts,
    OtherTrialFacts,
    ReproductiveFacts,
    TherapyFacts,
)
from services.enrolment.domain.participant_file import SCREENING
from services.enrolment.domain.screening import (
    STATED,
    PutScreening,
    ScreeningForm,
    ScreeningOver,
    ScreeningPsych,
    decide_screening,
)
from services.enrolment.facts import load_files
from services.enrolment.routes.finding import BY_HAND, CLINICAL, own_id, read_file, study_of
from services.kernel.holdings import held
from services.kernel.http import Call, CallDep, IdempotencyKey, may, read_response, router
from services.kernel.records import Page, RecordBody, SourceAlreadyUsed, Stored, StoredView
from services.kernel.refusals import NotFound
from services.kernel.resources import AsOf, past_moment, versions_response
from services.kernel.storage import Database
from services.kernel.values import CalendarDate, Flag, Instant, Reason
from services.kernel.writing import new_id, submit
from services.protocol.participation import NoConsentInForce

screening = router(prefix="/v1/studies/{study}", tags=["screening"])


class ScreeningBody(RecordBody):
    """What the criteria need and no other service owns; what is left out is unknown."""

    first_screening_procedure_datetime: Instant | None = None
    planned_first_infusion_date: CalendarDate | None = None
    diagnosis: DiagnosisFacts | None = None
    reproductive: ReproductiveFacts | None = None
    psych: ScreeningPsych | None = None
    medical: MedicalFacts | None = None
    other_trials: OtherTrialFacts | None = None
    therapies: TherapyFacts | None = None
    investigator: InvestigatorFacts | None = None
    change_reason: Reason | None = None


class ScreeningView(StoredView):
    """The screening record; `attested` where an investigator put it."""

    first_screening_procedure_datetime: Instant | None
    planned_first_infusion_date: CalendarDate | None
    diagnosis: DiagnosisFacts | None
    reproductive: ReproductiveFacts | None
    psych: ScreeningPsych | None
    medical: MedicalFacts | None
    other_trials: OtherTrialFacts | None
    therapies: TherapyFacts | None
    investigator: InvestigatorFacts | None
    attested: Flag


@screening.put(
    "/participants/{participant}/screening",
    response_model=ScreeningView,
    **may(*BY_HAND, version="optional", gives=(NoConsentInForce, ScreeningOver, SourceAlreadyUsed)),
)
async def put_screening(
    request: Request,
    participant: str,
    body: ScreeningBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Put the whole screening record; the first creates it, later ones name its version."""
    del idempotency_key
    order = PutScreening(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        source_system=body.source_system,
        source_ref=body.source_ref,
        form=ScreeningForm(**{name: getattr(body, name) for name in STATED}),
        stated=request.state.parsed,
        version=call.version,
        change_reason=body.change_reason,
        is_by_investigator=call.is_attested,
    )
    return await submit(
        request, call, [order], load=load_files, decide=decide_screening, location=call.path
    )


@screening.get(
    "/participants/{participant}/screening",
    response_model=ScreeningView,
    **may(*CLINICAL, is_tagged=True),
)
async def read_screening(
    request: Request, participant: str, call: CallDep, as_of: AsOf = None
) -> Response:
    """Return the screening record as it stands, or as it stood."""
    stored = await _screening(request, call, participant, past_moment(as_of))
    return read_response(request, stored.body.encode(), stored.etag)


@screening.get(
    "/participants/{participant}/screening/versions",
    response_model=Page[ScreeningView],
    **may(*CLINICAL),
)
async def list_screening_versions(request: Request, participant: str, call: CallDep) -> Response:
    """List all versions of the screening record, the first first."""
    stored = await _screening(request, call, participant, None)
    return await versions_response(request, call, stored.participant, SCREENING, stored.id)


async def _screening(request: Request, call: Call, participant: str, at: datetime | None) -> Stored:
    identity = await own_id(request, call, participant)
    async with held(request, Database).pooled() as connection:
        file = await read_file(connection, call.study, identity, at)
    standing = file.stored(SCREENING)
    if not standing:
        raise NotFound
    return standing[-1]
