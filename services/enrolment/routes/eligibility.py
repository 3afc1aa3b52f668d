"""Eligibility explained, and what investigators attest of it."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from starlette.responses import Response

from services.enrolment.domain.attestations import AttestationForm
from services.enrolment.domain.eligibility import AttestedResult
from services.enrolment.domain.judging_file import judge_file
from services.enrolment.domain.participant_file import ATTESTATION
from services.enrolment.domain.screening import Attest, ScreeningOver, decide_attestation
from services.enrolment.facts import FOLLOWED, gather, load_files, read_judged_files
from services.enrolment.routes.explained import EligibilityView, eligibility_view
from services.enrolment.routes.finding import CLINICAL, own_id, study_of
from services.kernel.exact_json import canonical_json
from services.kernel.feeds import Behind, Followers
from services.kernel.holdings import held
from services.kernel.http import Call, CallDep, IdempotencyKey, may, read_response, router, weak_tag
from services.kernel.records import RecordBody, SourceAlreadyUsed, StoredView
from services.kernel.refusals import NotFound
from services.kernel.resources import AsOf, add_reads, past_moment
from services.kernel.storage import Database
from services.kernel.values import Code, Instant, Reason
from services.kernel.writing import new_id, submit
from services.protocol.participation import NoConsentInForce

eligibility = router(prefix="/v1/studies/{study}", tags=["screening"])


class AttestationBody(RecordBody):
    """An investigator's dated statement on a criterion that a person must judge."""

    criterion: Code
    result: AttestedResult
    stated_at: Instant
    statement: Reason | None = None


class AttestationView(StoredView):
    """A statement, and whose it is."""

    criterion: str
    result: AttestedResult
    stated_at: Instant
    statement: str | None
    stated_by: str


@eligibility.get(
    "/participants/{participant}/eligibility",
    response_model=EligibilityView,
    **may(*CLINICAL, is_tagged=True),
)
async def read_eligibility(
    request: Request, participant: str, call: CallDep, as_of: AsOf = None
) -> Response:
    """Explain every criterion: result, rule in words, values used and their source; the verdict.

    The newest scores and laboratory results are asked for first; `facts` says whether they
    could be had.
    """
    identity = await own_id(request, call, participant)
    at = past_moment(as_of)
    behind = [] if at else await catch_up(request, call)
    async with held(request, Database).pooled() as connection:
        files = await read_judged_files(connection, call.study, [identity], at)
    if not files:
        raise NotFound
    study = study_of(request, call)
    judged = judge_file(gather(study, files[0], at or datetime.now(UTC)))
    body = canonical_json(
        {**eligibility_view(judged), "participant": str(identity), "facts": _freshness(behind)}
    )
    return read_response(request, body, weak_tag(body))


async def catch_up(request: Request, call: Call) -> list[str]:
    """Ask for the newest facts; return the services whose facts could not be had."""
    followers = held(request, Followers)
    services = list(FOLLOWED)
    tries = (followers.catch_up(call.study, service) for service in services)
    ended = await asyncio.gather(*tries, return_exceptions=True)
    behind = []
    for service, end in zip(services, ended, strict=True):
        if isinstance(end, Behind):
            behind.append(service)
        elif end is not None:
            raise end
    return behind


def _freshness(behind: list[str]) -> Mapping[str, Any]:
    return {"are_newest": not behind, "not_reached": behind}


@eligibility.post(
    "/participants/{participant}/eligibility/attestations",
    status_code=201,
    response_model=AttestationView,
    **may("investigator", gives=(NoConsentInForce, ScreeningOver, SourceAlreadyUsed)),
)
async def attest_criterion(
    request: Request,
    participant: str,
    body: AttestationBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Keep an investigator's statement on a criterion that a person must judge."""
    del idempotency_key
    order = Attest(
        study=study_of(request, call),
        participant=await own_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        source_system=body.source_system,
        source_ref=body.source_ref,
        form=AttestationForm(
            criterion=body.criterion,
            result=body.result,
            stated_at=body.stated_at,
            statement=body.statement,
        ),
        stated_by=call.caller.subject,
    )
    return await submit(request, call, [order], load=load_files, decide=decide_attestation)


add_reads(
    eligibility,
    "/participants/{participant}/eligibility/attestations",
    ATTESTATION,
    AttestationView,
    roles=CLINICAL,
    find=own_id,
)
