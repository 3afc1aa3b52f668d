"""The investigator's signed decision: to enrol, or that the screening failed."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from services.enrolment.domain.criteria.findings import Result
from services.enrolment.domain.eligibility import Verdict
from services.enrolment.domain.enrolling import DecideEnrolment, decide_signed_decision
from services.enrolment.domain.participant_file import DECISION, ParticipantFile
from services.enrolment.domain.participants import (
    AlreadyEnrolled,
    EnrolmentDecision,
    NotEligible,
    ScreeningEnded,
    SiteClosed,
    Status,
    StudyFull,
)
from services.enrolment.facts import gather, load_files
from services.enrolment.routes.eligibility import catch_up
from services.enrolment.routes.finding import CLINICAL, own_id, study_of
from services.kernel.http import CallDep, IdempotencyKey, may, router
from services.kernel.records import Decision, RecordBody, SourceAlreadyUsed, StoredView
from services.kernel.resources import add_reads
from services.kernel.values import Instant, Name, Reason
from services.kernel.writing import new_id, submit
from services.protocol.participation import NoConsentInForce

decisions = router(prefix="/v1/studies/{study}", tags=["screening"])


class DecisionBody(RecordBody):
    """The investigator's signed decision."""

    decision: Literal["enrol", "screen_fail"]
    decided_at: Instant
    signed_by: Name
    reason: Reason | None = None


class DecisionView(StoredView):
    """A signed decision, with the verdict and criteria on which it was taken."""

    decision: Literal["enrol", "screen_fail"]
    decided_at: Instant
    signed_by: str
    reason: str | None
    verdict: Verdict
    criteria: dict[str, Result]
    failed: list[str]
    unknown: list[str]
    status: Annotated[Status | None, Field(description="In the answer: what now stands.")] = None


def decide_order(file: ParticipantFile, order: DecideEnrolment, now: datetime) -> Decision:
    """Decide with the eligibility that stands in this transaction."""
    return decide_signed_decision(file, order, now, gather(order.study, file, now))


@decisions.post(
    "/participants/{participant}/enrolment",
    status_code=201,
    response_model=DecisionView,
    **may(
        "investigator",
        gives=(
            AlreadyEnrolled,
            NotEligible,
            NoConsentInForce,
            ScreeningEnded,
            SiteClosed,
            SourceAlreadyUsed,
            StudyFull,
        ),
    ),
)
async def decide_enrolment(
    request: Request,
    participant: str,
    body: DecisionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Enrol the participant by a signed decision, or declare the screening failed."""
    del idempotency_key
    await catch_up(request, call)
    order = DecideEnrolment(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        source_system=body.source_system,
        source_ref=body.source_ref,
        counts_places=True,
        judges=True,
        form=EnrolmentDecision(
            decision=body.decision,
            decided_at=body.decided_at,
            signed_by=body.signed_by,
            reason=body.reason,
        ),
        status_id=new_id(),
    )
    return await submit(request, call, [order], load=load_files, decide=decide_order)


add_reads(
    decisions,
    "/participants/{participant}/enrolment",
    DECISION,
    DecisionView,
    roles=CLINICAL,
    find=own_id,
)
