"""Scoring's operations: bodies in, commands to the writer, stored records out."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from services.kernel.feeds import known_id, participant_id
from services.kernel.holdings import held
from services.kernel.http import CallDep, IdempotencyKey, may, parse_id, router
from services.kernel.identity import Role
from services.kernel.records import (
    RecordBody,
    RecordRetracted,
    RetractionBody,
    SourceAlreadyUsed,
    Standing,
    StoredView,
    Warned,
)
from services.kernel.resources import add_reads, standing_records
from services.kernel.storage import Connection
from services.kernel.values import Code, Instant, Name, Reason
from services.kernel.writing import new_id, submit
from services.protocol.loading import Studies
from services.protocol.participation import NoConsentInForce, ParticipationEnded
from services.scoring.domain.agreement import OTHER, may_disagree
from services.scoring.domain.assessments import (
    ASSESSMENT,
    AssessmentForm,
    CorrectAssessment,
    Dossier,
    RecordAssessment,
    RetractAssessment,
    decide_correction,
    decide_record,
    decide_retraction,
)
from services.scoring.facts import load_participations
from services.scoring.routes.answered import Answers, Derived
from services.scoring.tables import records_of_visits

assessments = router(prefix="/v1/studies/{study}", tags=["assessments"])

WRITERS: Final[tuple[Role, ...]] = ("edc", "coordinator", "investigator")
READERS: Final[tuple[Role, ...]] = (*WRITERS, "statistician", "auditor")
GATES: Final = (NoConsentInForce, ParticipationEnded, SourceAlreadyUsed)


class AssessmentBody(RecordBody):
    """One instrument as it was filled in."""

    instrument: Code
    visit: Code = Field(description="A visit's code, or `unscheduled`.")
    assessed_at: Instant
    answers: Answers
    assessor: Name | None = None

    def form(self) -> AssessmentForm:
        """Return what the sender states."""
        return AssessmentForm(
            instrument=self.instrument,
            visit=self.visit,
            assessed_at=self.assessed_at,
            answers=self.answers,
            assessor=self.assessor,
        )


class AssessmentCorrection(AssessmentBody):
    """The whole assessment again, and why it changes."""

    change_reason: Reason | None = None


class AssessmentView(StoredView):
    """A stored assessment: the answers as entered, and the scores with their rule's version."""

    instrument: str
    visit: str
    assessed_at: Instant
    assessor: str | None
    answers: Answers
    derived: Annotated[Derived, Field(description="The scores, as the instrument has them.")]
    rule: Annotated[str, Field(description="The rule that scored it, and its version.")]
    warnings: list[Warned]


async def records_beside(
    connection: Connection, study: str, forms: Sequence[tuple[UUID, AssessmentForm]]
) -> list[tuple[UUID, UUID]]:
    """Return (participant, id) of the records that say something about the same skin."""
    wanted = [
        (participant, OTHER[form.instrument], form.visit, form.assessed_at)
        for participant, form in forms
        if may_disagree(form.instrument, form.answers)
    ]
    return await records_of_visits(connection, study, wanted) if wanted else []


async def load_dossiers(
    connection: Connection, study: str, commands: Sequence[RecordAssessment | RetractAssessment]
) -> dict[UUID, Dossier]:
    """Load what the decisions about these commands need, once for all."""
    participations = await load_participations(
        connection, study, [command.participant for command in commands]
    )
    named = [c for c in commands if isinstance(c, CorrectAssessment | RetractAssessment)]
    sources = [
        (command.source_system, command.source_ref)
        for command in commands
        if isinstance(command, RecordAssessment)
        and command.source_system is not None
        and command.source_ref is not None
    ]
    forms = [(one.participant, one.form) for one in commands if isinstance(one, RecordAssessment)]
    records = [(command.participant, command.id) for command in named]
    records += await records_beside(connection, study, forms)
    standing = Standing(
        await standing_records(connection, study, ASSESSMENT.name, records, sources)
    )
    return {
        command.participant: Dossier(participations.get(command.participant), standing)
        for command in commands
    }


@assessments.post(
    "/participants/{participant}/assessments",
    status_code=201,
    response_model=AssessmentView,
    **may(*WRITERS, gives=GATES),
)
async def record_assessment(
    request: Request,
    participant: str,
    body: AssessmentBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Record one filled-in instrument, and score it."""
    del idempotency_key
    command = RecordAssessment(
        study=held(request, Studies)[call.study],
        participant=await participant_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        form=body.form(),
        source_system=body.source_system,
        source_ref=body.source_ref,
    )
    return await submit(request, call, [command], load=load_dossiers, decide=decide_record)


@assessments.put(
    "/participants/{participant}/assessments/{assessment}",
    response_model=AssessmentView,
    **may(*WRITERS, version="required", gives=(*GATES, RecordRetracted)),
)
async def correct_assessment(
    request: Request,
    participant: str,
    assessment: str,
    body: AssessmentCorrection,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Replace what an assessment states, for a reason; the earlier version stays readable."""
    del idempotency_key
    command = CorrectAssessment(
        study=held(request, Studies)[call.study],
        participant=await participant_id(request, call, participant),
        id=parse_id(assessment),
        sites=call.caller.sites,
        form=body.form(),
        version=call.version,
        change_reason=body.change_reason,
    )
    return await submit(request, call, [command], load=load_dossiers, decide=decide_correction)


@assessments.post(
    "/participants/{participant}/assessments/{assessment}/retraction",
    response_model=AssessmentView,
    **may(*WRITERS, version="required"),
)
async def retract_assessment(
    request: Request,
    participant: str,
    assessment: str,
    body: RetractionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Mark an assessment as entered in error; it stays readable."""
    del idempotency_key
    command = RetractAssessment(
        participant=await participant_id(request, call, participant),
        id=parse_id(assessment),
        sites=call.caller.sites,
        version=call.version,
        reason=body.reason,
    )
    return await submit(request, call, [command], load=load_dossiers, decide=decide_retraction)


add_reads(
    assessments,
    "/participants/{participant}/assessments",
    ASSESSMENT,
    AssessmentView,
    roles=READERS,
    find=known_id,
)
