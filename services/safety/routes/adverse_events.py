"""Adverse events over HTTP: reports, follow-up information, retraction, reads."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import Query, Request
from pydantic import Field
from pydantic.dataclasses import dataclass as form
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
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
    parse_id,
    read_cursor,
    router,
)
from services.kernel.identity import NotPermitted
from services.kernel.records import (
    Page,
    RecordRetracted,
    RetractionBody,
    SourceAlreadyUsed,
    Stored,
    StoredView,
    Warned,
)
from services.kernel.refusals import NotAllowed
from services.kernel.resources import AsOf, add_reads, past_moment
from services.kernel.storage import Database
from services.kernel.values import Code, Instant, Moment, Reason
from services.kernel.writing import new_id, submit
from services.protocol.loading import Studies
from services.safety.domain.adverse_events import ActionTaken, AdverseEventReport, Coding, Outcome
from services.safety.domain.case_updates import Causality
from services.safety.domain.cases import case_of, follows_today
from services.safety.domain.classification import Classification
from services.safety.domain.dossier import ADVERSE_EVENT, Dossier
from services.safety.domain.reporting import (
    FollowUpAdverseEvent,
    ReportAdverseEvent,
    RetractAdverseEvent,
    decide_follow_up,
    decide_report,
    decide_retraction,
)
from services.safety.domain.seriousness import Seriousness
from services.safety.domain.statements import Author
from services.safety.facts import StudyFilter, list_adverse_events, load_dossiers, read_dossiers
from services.safety.routes.answered import StartedClock, StatementView
from services.safety.routes.participants import (
    READERS,
    SAFETY_ROLES,
    WRITERS,
    asked_moment,
    reported_id,
    safety_id,
)
from services.safety.routes.sources import CLOSED, Sourced, VisitSource

adverse_events = router(prefix="/v1/studies/{study}", tags=["adverse events"])
UNVERIFIED: Final = "participant_unverified"


@form(frozen=True, kw_only=True, config=CLOSED)
class AdverseEventBody(Sourced, AdverseEventReport):
    """An adverse event as it is reported; only `term` is required."""


@form(frozen=True, kw_only=True, config=CLOSED)
class AdverseEventFollowUp(AdverseEventBody):
    """The whole adverse event as it is known now, and why it changes."""

    change_reason: Reason | None = None


class AdverseEventView(StoredView):
    """A stored adverse event: what was stated, its class, and what follows today."""

    term: str
    onset: Moment | None
    end: Moment | None
    ongoing: bool | None
    ctcae_grade: int | None
    seriousness: Seriousness | None
    investigator_causality: Causality | None
    sponsor_causality: Causality | None
    expected: bool | None
    action_taken: ActionTaken | None
    outcome: Outcome | None
    investigator_aware_at: Instant | None
    sponsor_aware_at: Instant | None
    new_information_at: Instant | None
    handling_completed_at: Instant | None
    worsened_after_first_infusion: bool | None
    soc: str | None
    coding: Coding | None
    other_treatment: str | None
    narrative: str | None
    visit: str | None
    visit_source: Annotated[
        VisitSource | None, Field(description="The visit's own reference, if it came with one.")
    ] = None
    classification: Classification
    serious: bool | None
    suspected: bool
    unexpected: bool
    notes: list[str]
    unattested: Annotated[list[str], Field(description="Members that no investigator attested.")]
    transcribed: Annotated[list[str], Field(description="The sponsor's members, as the site sent.")]
    warnings: list[Warned]
    statements: list[StatementView] | None = None
    clocks: list[StartedClock] | None = None
    treatment_emergent: bool | None = None
    within_24h_of_infusion: bool | None = None


def author_of(call: Call) -> Author:
    """Return on whose behalf the caller reports."""
    return Author(
        subject=call.by.actor,
        is_investigator=call.is_attested,
        is_of_site=call.caller.has_role(*WRITERS),
        is_of_sponsor=call.caller.has_role("safety_officer"),
    )


async def present_adverse_events(
    request: Request, call: Call, stored: Sequence[Stored]
) -> list[bytes]:
    """Return adverse events with their clocks and timing, as known now or at `as_of`."""
    as_of = asked_moment(request)
    async with held(request, Database).pooled() as connection:
        dossiers = await read_dossiers(
            connection, call.study, {one.participant for one in stored}, as_of=as_of
        )
    study = held(request, Studies)[call.study]
    return [canonical_json(_shown(one, dossiers[one.participant], study)) for one in stored]


def _shown(stored: Stored, dossier: Dossier, study: Any) -> dict[str, Any]:
    document = stored.document
    if dossier.participation is not None:
        document["site"] = dossier.participation.site
        document["warnings"] = [one for one in document["warnings"] if one["code"] != UNVERIFIED]
    case = case_of(dossier, study, stored.id, up_to=stored.version)
    return {**document, **follows_today(case)}


@adverse_events.post(
    "/participants/{participant}/adverse-events",
    status_code=201,
    response_model=AdverseEventView,
    **may(*WRITERS, gives=(SourceAlreadyUsed,)),
)
async def report_adverse_event(
    request: Request,
    participant: str,
    body: AdverseEventBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Report an adverse event; it passes no gate, and only its term is required."""
    del idempotency_key
    command = ReportAdverseEvent(
        study=held(request, Studies)[call.study],
        participant=await reported_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        source=body.source,
        report=body,
        author=author_of(call),
    )
    return await submit(request, call, [command], load=load_dossiers, decide=decide_report)


@adverse_events.put(
    "/participants/{participant}/adverse-events/{adverse_event}",
    response_model=AdverseEventView,
    **may(*WRITERS, "safety_officer", version="required", gives=(NotAllowed, RecordRetracted)),
)
async def follow_up_adverse_event(
    request: Request,
    participant: str,
    adverse_event: str,
    body: AdverseEventFollowUp,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Add follow-up information: the whole record as it is known now, as a new version.

    A safety officer changes the sponsor's members only, and alone changes them.
    """
    del idempotency_key
    command = FollowUpAdverseEvent(
        study=held(request, Studies)[call.study],
        participant=await reported_id(request, call, participant),
        id=parse_id(adverse_event),
        sites=call.caller.sites,
        report=body,
        author=author_of(call),
        version=call.version,
        change_reason=body.change_reason,
    )
    return await submit(request, call, [command], load=load_dossiers, decide=decide_follow_up)


@adverse_events.post(
    "/participants/{participant}/adverse-events/{adverse_event}/retraction",
    response_model=AdverseEventView,
    **may(*WRITERS, version="required"),
)
async def retract_adverse_event(
    request: Request,
    participant: str,
    adverse_event: str,
    body: RetractionBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Mark an adverse event as entered in error; it stays readable, and its clocks run on."""
    del idempotency_key
    command = RetractAdverseEvent(
        study=held(request, Studies)[call.study],
        participant=await reported_id(request, call, participant),
        id=parse_id(adverse_event),
        sites=call.caller.sites,
        by=call.by.actor,
        version=call.version,
        reason=body.reason,
    )
    return await submit(request, call, [command], load=load_dossiers, decide=decide_retraction)


add_reads(
    adverse_events,
    "/participants/{participant}/adverse-events",
    ADVERSE_EVENT,
    AdverseEventView,
    roles=READERS,
    find=safety_id,
    present=present_adverse_events,
)


@adverse_events.get(
    "/adverse-events",
    response_model=Page[AdverseEventView],
    **may(*READERS),
)
async def list_study_adverse_events(
    request: Request,
    call: CallDep,
    site: Annotated[Code | None, Query(description="Only of this site.")] = None,
    limit: Annotated[Limit, Query()] = USUAL_LIMIT,
    after: Annotated[After, Query()] = None,
    as_of: AsOf = None,
) -> Response:
    """List the study's adverse events of the caller's sites, the first reported first."""
    async with held(request, Database).pooled() as connection:
        page, following = await list_adverse_events(
            connection,
            call.study,
            StudyFilter(asked_sites(call, site), call.caller.has_role(*SAFETY_ROLES)),
            after=read_cursor(after),
            limit=limit,
            as_of=past_moment(as_of),
        )
    return page_response(request, await present_adverse_events(request, call, page), following)


def asked_sites(call: Call, site: str | None) -> list[str] | None:
    """Return the sites that a list shows; raises NotPermitted for one that is not the caller's."""
    allowed = call.caller.sites
    if site is None:
        return None if allowed is None else sorted(allowed)
    if not call.caller.covers_site(site):
        raise NotPermitted("The token does not cover this site.")
    return [site]
