"""The safety parts of a visit, for the gateway: one request, all parts or none."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from fastapi import Query, Request
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass as form
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import Call, CallDep, IdempotencyKey, may, read_part, router
from services.kernel.records import (
    Asker,
    ChangeReasonRequired,
    DocumentedAs,
    RecordRetracted,
    SourceAlreadyUsed,
)
from services.kernel.refusals import Fault, NotAllowed
from services.kernel.values import CalendarDate, Code, Instant, Reason
from services.kernel.writing import Answer, Outcome, asker_of, new_id, submit
from services.protocol.loading import Studies
from services.safety.domain.dossier import UNSCHEDULED
from services.safety.domain.laboratory import LaboratoryReport, LaboratoryResult
from services.safety.domain.reporting import ReportAdverseEvent
from services.safety.domain.resulting import RecordResults
from services.safety.domain.visiting import PartOrder, RecordSafetyVisit, decide_visit
from services.safety.facts import load_dossiers
from services.safety.routes.adverse_events import AdverseEventBody, author_of
from services.safety.routes.laboratory_results import GATES
from services.safety.routes.participants import WRITERS, reported_id
from services.safety.routes.sources import CLOSED, Sourced

visits = router(prefix="/v1/studies/{study}", tags=["visits"])
MOST_PARTS: Final = 500
Results = Annotated[tuple[LaboratoryResult, ...], Field(min_length=1, max_length=500)]
Parts = Annotated[tuple[Any, ...], Field(max_length=MOST_PARTS)]


@form(frozen=True, kw_only=True, config=CLOSED)
class VisitHead:
    """Which visit was held, and when."""

    code: Code
    date: CalendarDate
    started_at: Instant | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryPart(Sourced):
    """A laboratory report without its visit."""

    collected_at: Instant
    results: Results


LaboratoryParts = Annotated[tuple[LaboratoryPart, ...], Field(max_length=MOST_PARTS)]
AdverseEventParts = Annotated[tuple[AdverseEventBody, ...], Field(max_length=MOST_PARTS)]


@form(frozen=True, kw_only=True, config=CLOSED)
class SafetyVisitBody(Sourced):
    """A visit's laboratory reports and adverse events, which are read one by one."""

    visit: Annotated[Any, DocumentedAs(VisitHead)] = None
    laboratory_results: Annotated[Parts, DocumentedAs(LaboratoryParts)] = ()
    adverse_events: Annotated[Parts, DocumentedAs(AdverseEventParts)] = ()
    change_reason: Reason | None = None


_HEAD: Final = TypeAdapter(VisitHead)
_LABORATORY: Final = TypeAdapter(LaboratoryPart)
_ADVERSE_EVENT: Final = TypeAdapter(AdverseEventBody)


@visits.post(
    "/participants/{participant}/visits/safety",
    status_code=201,
    response_model=dict[str, Any],
    **may(
        *WRITERS,
        gives=(*GATES, SourceAlreadyUsed, RecordRetracted, ChangeReasonRequired, NotAllowed),
        is_internal=True,
    ),
)
async def record_safety_visit(
    request: Request,
    participant: str,
    body: SafetyVisitBody,
    call: CallDep,
    validate_only: Annotated[bool, Query(description="Decide, and write nothing.")] = False,  # noqa: FBT002 - a query parameter
    only: Literal["adverse_events"] | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Record the safety parts of one visit, all or none; the answer has a line for each."""
    del idempotency_key
    head = RecordSafetyVisit(
        study=held(request, Studies)[call.study],
        participant=await reported_id(request, call, participant),
        id=new_id(),
        sites=call.caller.sites,
        parts={},
        change_reason=body.change_reason,
    )
    faults: list[Fault] = []
    visited = read_part(_HEAD, body.visit, "/visit", faults)
    code = UNSCHEDULED if visited is None else visited.code
    parts: dict[str, PartOrder] = {}
    if only is None:
        parts |= _laboratory_parts(head, body, code, faults)
    parts |= _reports(head, body, code, faults, call)
    return await submit(
        request,
        call,
        [replace(head, parts=parts, faults=tuple(faults))],
        load=load_dossiers,
        decide=decide_visit,
        render=lambda outcomes: _receipt(outcomes, asker_of(request, call)),
        is_rehearsal=validate_only,
    )


def _laboratory_parts(
    head: RecordSafetyVisit, body: SafetyVisitBody, visit: str, faults: list[Fault]
) -> dict[str, PartOrder]:
    found: dict[str, PartOrder] = {}
    for at, given in enumerate(body.laboratory_results):
        pointer = f"/laboratory_results/{at}"
        one = read_part(_LABORATORY, given, pointer, faults)
        if one is not None:
            found[pointer] = RecordResults(
                study=head.study,
                participant=head.participant,
                id=new_id(),
                sites=head.sites,
                source=one.source,
                report=LaboratoryReport(
                    collected_at=one.collected_at, visit=visit, results=one.results
                ),
                visit_source=body.source,
            )
    return found


def _reports(
    head: RecordSafetyVisit, body: SafetyVisitBody, visit: str, faults: list[Fault], call: Call
) -> dict[str, PartOrder]:
    found: dict[str, PartOrder] = {}
    for at, given in enumerate(body.adverse_events):
        pointer = f"/adverse_events/{at}"
        one = read_part(_ADVERSE_EVENT, given, pointer, faults)
        if one is None:
            continue
        if one.visit is not None:
            detail = "The visit says it for all parts."
            faults.append(Fault(f"{pointer}/visit", "unknown_member", detail))
        found[pointer] = ReportAdverseEvent(
            study=head.study,
            participant=head.participant,
            id=new_id(),
            sites=head.sites,
            source=one.source,
            report=replace(one, visit=visit),
            author=author_of(call),
            visit_source=body.source,
        )
    return found


def _receipt(outcomes: Sequence[Outcome], asker: Asker) -> Answer:
    decision = outcomes[0].decision
    if decision is None:
        raise LookupError
    queries = asker.settled(outcomes[0].recorded)
    body = {"write": decision.write, "parts": decision.derived["parts"], "queries": queries}
    return Answer(201 if decision.write == "created" else 200, canonical_json(body))
