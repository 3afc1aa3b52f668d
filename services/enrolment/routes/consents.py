"""Consents, and what participants take back of them."""

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from services.enrolment.domain.consenting import (
    RecordConsent,
    RetractRecord,
    WithdrawConsent,
    decide_consent,
    decide_consent_retraction,
    decide_consent_withdrawal,
)
from services.enrolment.domain.consents import (
    AlreadyWithdrawn,
    ConsentForm,
    Scopes,
    WithdrawalForm,
)
from services.enrolment.domain.participant_file import CONSENT
from services.enrolment.facts import load_files
from services.enrolment.routes.finding import BY_HAND, CLINICAL, own_id, study_of
from services.kernel.http import CallDep, IdempotencyKey, may, parse_id, router
from services.kernel.records import (
    ClosedBody,
    RecordBody,
    RecordRetracted,
    RetractionBody,
    SourceAlreadyUsed,
    StoredView,
)
from services.kernel.resources import add_reads
from services.kernel.values import Code, Instant, Name, Reason
from services.kernel.writing import new_id, submit
from services.protocol.participation import ParticipationEnded, Scope

consents = router(prefix="/v1/studies/{study}", tags=["consents"])


class ConsentBody(RecordBody):
    """A consent signed on paper."""

    document_version: Code
    signed_at: Instant
    obtained_by: Name
    scope: Scopes


class WithdrawalBody(ClosedBody):
    """What the participant takes back, from when on."""

    withdrawn_at: Instant
    scope: Scopes
    reason: Reason | None = None


class WithdrawalView(BaseModel):
    """What was taken back, and from when on."""

    withdrawn_at: Instant
    scope: list[Scope]
    reason: str | None


class ConsentView(StoredView):
    """A consent, with everything that was taken back of it."""

    document_version: str
    signed_at: Instant
    obtained_by: str
    scope: list[Scope]
    withdrawals: list[WithdrawalView]


@consents.post(
    "/participants/{participant}/consents",
    status_code=201,
    response_model=ConsentView,
    **may(*BY_HAND, gives=(SourceAlreadyUsed, ParticipationEnded)),
)
async def record_consent(
    request: Request,
    participant: str,
    body: ConsentBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Record a signed consent; another document version is another consent."""
    del idempotency_key
    order = RecordConsent(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        source_system=body.source_system,
        source_ref=body.source_ref,
        form=ConsentForm(
            document_version=body.document_version,
            signed_at=body.signed_at,
            obtained_by=body.obtained_by,
            scope=body.scope,
        ),
    )
    return await submit(request, call, [order], load=load_files, decide=decide_consent)


@consents.post(
    "/participants/{participant}/consents/{consent}/withdrawal",
    response_model=ConsentView,
    **may(*BY_HAND, gives=(AlreadyWithdrawn, RecordRetracted)),
)
async def withdraw_consent(
    request: Request,
    participant: str,
    consent: str,
    body: WithdrawalBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Record that the participant withdraws consent to treatment, to the use of data, or both."""
    del idempotency_key
    order = WithdrawConsent(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=parse_id(consent),
        sites=call.caller.sites,
        form=WithdrawalForm(withdrawn_at=body.withdrawn_at, scope=body.scope, reason=body.reason),
    )
    return await submit(request, call, [order], load=load_files, decide=decide_consent_withdrawal)


@consents.post(
    "/participants/{participant}/consents/{consent}/retraction",
    response_model=ConsentView,
    **may(*BY_HAND, version="required"),
)
async def retract_consent(
    request: Request,
    participant: str,
    consent: str,
    body: RetractionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Mark a consent as entered in error; it stays readable."""
    del idempotency_key
    order = RetractRecord(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=parse_id(consent),
        sites=call.caller.sites,
        version=call.version,
        reason=body.reason,
    )
    return await submit(request, call, [order], load=load_files, decide=decide_consent_retraction)


add_reads(
    consents,
    "/participants/{participant}/consents",
    CONSENT,
    ConsentView,
    roles=(*CLINICAL, "participant"),
    find=own_id,
)
