"""Scoring's part of one visit, as the gateway hands it on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Request
from pydantic import Field, TypeAdapter
from starlette.responses import Response

from services.kernel.exact_json import canonical_json, parse_json
from services.kernel.feeds import participant_id
from services.kernel.holdings import held
from services.kernel.http import CallDep, IdempotencyKey, may, read_part, router
from services.kernel.records import Asker, Decision, DocumentedAs, RecordBody, Standing
from services.kernel.refusals import Fault
from services.kernel.resources import standing_records
from services.kernel.storage import Connection
from services.kernel.values import CalendarDate, Code, Instant, Name, Reason
from services.kernel.writing import Answer, Outcome, asker_of, new_id, submit
from services.protocol.loading import Studies
from services.scoring.domain.assessments import (
    ASSESSMENT,
    UNSCHEDULED,
    AssessmentForm,
    Dossier,
)
from services.scoring.domain.visiting import (
    Part,
    RecordVisitAssessments,
    Settled,
    decision_of,
    settle_parts,
)
from services.scoring.facts import load_participations
from services.scoring.routes.answered import Answers
from services.scoring.routes.assessments import GATES, WRITERS, records_beside
from services.scoring.tables import records_in_slots

visits = router(prefix="/v1/studies/{study}", tags=["visits"])
MOST_PARTS: Final = 100


class HeldVisit(RecordBody):
    """Which visit was held, and when."""

    code: Code
    date: CalendarDate
    started_at: Instant | None = None


class PartBody(RecordBody):
    """One instrument filled in at the visit."""

    instrument: Code
    assessed_at: Instant
    answers: Answers
    assessor: Name | None = None


class VisitAssessmentsBody(RecordBody):
    """All assessments of one visit; its parts are read one by one."""

    visit: Annotated[Any, DocumentedAs(HeldVisit)] = None
    assessments: Annotated[
        list[Any],
        DocumentedAs(Annotated[list[PartBody], Field(max_length=MOST_PARTS)]),
        Field(max_length=MOST_PARTS),
    ]
    change_reason: Reason | None = None


_HELD: Final = TypeAdapter(HeldVisit)
_PART: Final = TypeAdapter(PartBody)


async def load_visit_dossiers(
    connection: Connection, study: str, commands: Sequence[RecordVisitAssessments]
) -> dict[UUID, Dossier]:
    """Load the participants' gates, and the records that the parts may be."""
    participants = [command.participant for command in commands]
    participations = await load_participations(connection, study, participants)
    parts = [(command.participant, part) for command in commands for part in command.parts]
    slots = [(at, part.form.instrument, part.form.assessed_at) for at, part in parts]
    sources = [
        (part.source_system, part.source_ref)
        for _, part in parts
        if part.source_system is not None and part.source_ref is not None
    ]
    named = await records_in_slots(connection, study, slots) if slots else []
    named += await records_beside(connection, study, [(at, part.form) for at, part in parts])
    standing = Standing(await standing_records(connection, study, ASSESSMENT.name, named, sources))
    return {at: Dossier(participations.get(at), standing) for at in participants}


@visits.post(
    "/participants/{participant}/visits/assessments",
    **may(*WRITERS, gives=GATES, is_internal=True),
)
async def record_visit_assessments(
    request: Request,
    participant: str,
    body: VisitAssessmentsBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
    validate_only: Annotated[bool, Query()] = False,  # noqa: FBT002 - a query parameter
) -> Response:
    """Record all assessments of one visit, or none."""
    del idempotency_key
    parts, faults = _read_parts(body)
    command = RecordVisitAssessments(
        study=held(request, Studies)[call.study],
        participant=await participant_id(request, call, participant),
        sites=call.caller.sites,
        parts=tuple(parts),
        change_reason=body.change_reason,
        faults=tuple(faults),
    )
    settled: list[Settled] = []

    def decide(dossier: Dossier, asked: RecordVisitAssessments, now: datetime) -> Decision:
        settled[:] = settle_parts(dossier, asked, now)
        return decision_of(settled)

    return await submit(
        request,
        call,
        [command],
        load=load_visit_dossiers,
        decide=decide,
        render=lambda outcomes: _receipt(outcomes[0], settled, asker_of(request, call)),
        is_rehearsal=validate_only,
    )


def _read_parts(body: VisitAssessmentsBody) -> tuple[list[Part], list[Fault]]:
    """Return the parts that can be read, and the faults of the others."""
    faults: list[Fault] = []
    visited = read_part(_HELD, body.visit, "/visit", faults)
    code = UNSCHEDULED if visited is None else visited.code
    pointers = [f"/assessments/{at}" for at in range(len(body.assessments))]
    parts = [
        _part(part, code, pointer)
        for pointer, given in zip(pointers, body.assessments, strict=True)
        if (part := read_part(_PART, given, pointer, faults)) is not None
    ]
    return parts, faults


def _part(part: PartBody, visit: str, pointer: str) -> Part:
    form = AssessmentForm(
        instrument=part.instrument,
        visit=visit,
        assessed_at=part.assessed_at,
        answers=part.answers,
        assessor=part.assessor,
    )
    return Part(
        pointer=pointer,
        id=new_id(),
        form=form,
        source_system=part.source_system,
        source_ref=part.source_ref,
    )


def _receipt(outcome: Outcome, settled: Sequence[Settled], asker: Asker) -> Answer:
    written = iter(outcome.recorded)
    parts = []
    for one in settled:
        body = one.stored.body.encode() if one.change is None and one.stored else None
        document = parse_json(body or next(written).body)
        parts.append(
            {
                "pointer": one.pointer,
                "id": document["id"],
                "version": document["version"],
                "write": one.write,
                "derived": document["derived"],
                "warnings": document["warnings"],
            }
        )
    write = outcome.decision.write if outcome.decision else "unchanged"
    queries = asker.settled(outcome.recorded)
    body = canonical_json({"write": write, "parts": parts, "queries": queries})
    return Answer(201 if write == "created" else 200, body)
