"""Visits that were held, and those to come."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, TypeAdapter
from starlette.responses import Response

from services.enrolment.domain.conducting import deviations_of
from services.enrolment.domain.infusing import recorded_infusion
from services.enrolment.domain.infusion_records import InfusionForm
from services.enrolment.domain.participant_file import VISIT, ParticipantFile
from services.enrolment.domain.planning import schedule_of
from services.enrolment.domain.schedule import (
    UNSCHEDULED,
    Timing,
    VisitStatus,
    scheduled_visit_id,
)
from services.enrolment.domain.visiting import (
    RecordVisit,
    VisitForm,
    VitalSigns,
    decide_visit,
    recorded_visit,
)
from services.enrolment.facts import load_files
from services.enrolment.routes.finding import (
    GATES,
    STAFF,
    WRITERS,
    own_id,
    read_file,
    study_of,
    today_at,
)
from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import (
    Call,
    CallDep,
    IdempotencyKey,
    may,
    page_response,
    read_part,
    read_response,
    router,
    weak_tag,
)
from services.kernel.records import (
    Asker,
    Decision,
    DocumentedAs,
    Page,
    RecordBody,
    SourceAlreadyUsed,
    Stored,
    StoredView,
    Warned,
)
from services.kernel.refusals import Fault, Impossible, NotFound
from services.kernel.resources import AsOf, past_moment, versions_response
from services.kernel.storage import Database
from services.kernel.values import CalendarDate, Code, Instant, Reason
from services.kernel.writing import Answer, Outcome, new_id, submit
from services.protocol.study import Study

visits = router(prefix="/v1/studies/{study}", tags=["visits"])
ValidateOnly = Annotated[bool, Query(description="Say all that would be said, write nothing.")]


class VisitBody(RecordBody):
    """Enrolment's part of one visit, as the gateway hands it on; read part by part."""

    site: Code | None = None
    visit: Annotated[Any, DocumentedAs(VisitForm)] = None
    vital_signs: Annotated[Any, DocumentedAs(VitalSigns | None)] = None
    infusion: Annotated[Any, DocumentedAs(InfusionForm | None)] = None
    change_reason: Reason | None = None


_FORM: Final = TypeAdapter(VisitForm)
_VITAL_SIGNS: Final = TypeAdapter(VitalSigns)
_INFUSION: Final = TypeAdapter(InfusionForm)


class VisitView(BaseModel):
    """A visit of the schedule; what a record states stands beside once it was held."""

    id: UUID
    code: str
    title: str
    target_date: CalendarDate | None
    window_start: CalendarDate | None
    window_end: CalendarDate | None
    planned_date: CalendarDate | None
    actual_date: CalendarDate | None
    status: VisitStatus
    timing: Timing | None
    reason: str | None
    activities: list[str]
    is_projection: bool
    days_from_target: int | None
    participant: UUID | None = None
    site: str | None = None
    version: int | None = None
    recorded_at: Instant | None = None
    recorded_by: str | None = None
    record_status: Literal["entered", "retracted"] | None = None
    source_system: str | None = None
    source_ref: str | None = None
    date: CalendarDate | None = None
    started_at: Instant | None = None
    vital_signs: VitalSigns | None = None
    warnings: list[Warned] | None = None


class VisitVersionView(StoredView):
    """What the record of a visit states."""

    code: str
    date: CalendarDate
    started_at: Instant | None
    vital_signs: VitalSigns | None
    warnings: list[Warned]


def visit_views(study: Study, file: ParticipantFile, today: date) -> list[dict[str, Any]]:
    """Return every visit, held or to come, with what its record states."""
    records = {stored.id: stored.document for stored in file.stored(VISIT)}
    views = []
    for entry in schedule_of(study, file, today).visits:
        held_on, target = entry.actual_date, entry.target_date
        from_target = (held_on - target).days if held_on and target else None
        derived = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
        views.append({**derived, **records.get(entry.id, {}), "days_from_target": from_target})
    return views


@visits.get(
    "/participants/{participant}/visits",
    response_model=Page[VisitView],
    **may(*STAFF, "participant"),
)
async def list_visits(
    request: Request, participant: str, call: CallDep, as_of: AsOf = None
) -> Response:
    """List the visits that were held and those to come, by their dates."""
    views = await _views(request, call, participant, past_moment(as_of))
    return page_response(request, [canonical_json(view) for view in views], None)


@visits.get(
    "/participants/{participant}/visits/{visit}",
    response_model=VisitView,
    **may(*STAFF, "participant", is_tagged=True),
)
async def read_visit(
    request: Request, participant: str, visit: str, call: CallDep, as_of: AsOf = None
) -> Response:
    """Return one visit, by its id or by its code where only one visit has it."""
    body = canonical_json(await _view(request, call, participant, visit, past_moment(as_of)))
    return read_response(request, body, weak_tag(body))


@visits.get(
    "/participants/{participant}/visits/{visit}/versions",
    response_model=Page[VisitVersionView],
    **may(*STAFF, "participant"),
)
async def list_visit_versions(
    request: Request, participant: str, visit: str, call: CallDep
) -> Response:
    """List all versions of the record of a visit that was held, the first first."""
    identity = await own_id(request, call, participant)
    view = await _view(request, call, participant, visit, None)
    return await versions_response(request, call, identity, VISIT, UUID(str(view["id"])))


async def _view(
    request: Request, call: Call, participant: str, visit: str, at: datetime | None
) -> dict[str, Any]:
    views = await _views(request, call, participant, at)
    named = [view for view in views if visit in {str(view["id"]), view["code"]}]
    if len(named) != 1:
        raise NotFound
    return named[0]


async def _views(
    request: Request, call: Call, participant: str, at: datetime | None
) -> list[dict[str, Any]]:
    identity = await own_id(request, call, participant)
    study = study_of(request, call)
    async with held(request, Database).pooled() as connection:
        file = await read_file(connection, call.study, identity, at)
    return visit_views(study, file, today_at(study, file.site, at))


@visits.post(
    "/participants/{participant}/visits",
    **may(*WRITERS, gives=(*GATES, SourceAlreadyUsed), is_internal=True),
)
async def record_visit(
    request: Request,
    participant: str,
    body: VisitBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
    validate_only: ValidateOnly = False,  # noqa: FBT002 - a query parameter has a default
) -> Response:
    """Record enrolment's part of one visit: the visit, its vital signs, its infusion."""
    del idempotency_key
    identity = await own_id(request, call, participant)
    study = study_of(request, call)
    order = _visit_order(study, identity, call, body)
    files: dict[UUID, ParticipantFile] = {}

    def decide(file: ParticipantFile, asked: RecordVisit, now: datetime) -> Decision:
        files[file.participant] = file
        return decide_visit(file, asked, now)

    def render(outcomes: Sequence[Outcome]) -> Answer:
        return _receipt(outcomes[0], study, files[identity], order)

    return await submit(
        request,
        call,
        [order],
        load=load_files,
        decide=decide,
        render=render,
        is_rehearsal=validate_only,
    )


def _visit_order(study: Study, participant: UUID, call: Call, body: VisitBody) -> RecordVisit:
    faults: list[Fault] = []
    form = read_part(_FORM, body.visit, "/visit", faults)
    signs = infusion = None
    if body.vital_signs is not None:
        signs = read_part(_VITAL_SIGNS, body.vital_signs, "/vital_signs", faults)
    if body.infusion is not None:
        infusion = read_part(_INFUSION, body.infusion, "/infusion", faults)
    if form is None:
        raise Impossible("The visit cannot be so.", faults=faults)
    scheduled = scheduled_visit_id(study.number, participant, form.code)
    return RecordVisit(
        study=study,
        participant=participant,
        id=new_id() if form.code == UNSCHEDULED else scheduled,
        sites=call.caller.sites,
        source_system=body.source_system,
        source_ref=body.source_ref,
        site=body.site,
        form=form,
        vital_signs=signs,
        infusion=infusion,
        change_reason=body.change_reason,
        infusion_id=new_id(),
        status_id=new_id(),
        faults=tuple(faults),
    )


def _receipt(outcome: Outcome, study: Study, file: ParticipantFile, order: RecordVisit) -> Answer:
    write = outcome.decision.write if outcome.decision else "unchanged"
    visit = recorded_visit(file, order)
    views = visit_views(study, file, today_at(study, file.site))
    view = next(one for one in views if str(one["id"]) == str(visit.id))
    shown = ("id", "code", "target_date", "timing", "days_from_target", "version", "warnings")
    parts, records = [], [visit.id]
    if order.vital_signs is not None:
        parts.append(_part("/vital_signs", visit, outcome))
    if order.infusion is not None:
        infusion = recorded_infusion(file, order.form.code, order.infusion.started_at)
        parts.append(_part("/infusion", infusion, outcome, infusion.document))
        records.append(infusion.id)
    body = {
        "write": write,
        "visit": {name: view.get(name) for name in shown},
        "parts": parts,
        "deviations": [asdict(one) for one in deviations_of(study, file, records)],
        "queries": Asker(study.number, "enrolment").settled(outcome.recorded),
    }
    return Answer(201 if write == "created" else 200, canonical_json(body))


def _part(
    pointer: str, stored: Stored, outcome: Outcome, dosed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    made = any(one.change.id == stored.id for one in outcome.recorded)
    written = "created" if stored.version == 1 else "updated"
    return {
        "pointer": pointer,
        "id": str(stored.id),
        "version": stored.version,
        "write": written if made else "unchanged",
        "derived": {} if dosed is None else {"cells_planned": dosed["cells_planned"]},
        "warnings": [] if dosed is None else dosed["warnings"],
    }
