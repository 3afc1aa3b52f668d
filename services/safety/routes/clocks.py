"""Reporting clocks over HTTP: of one adverse event, of the study, and their closure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query, Request
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
    read_response,
    router,
    weak_tag,
)
from services.kernel.records import ClosedBody, Page, StoredView
from services.kernel.refusals import NotFound
from services.kernel.resources import AsOf, past_moment
from services.kernel.storage import Database
from services.kernel.values import Code, Instant, Reason
from services.kernel.writing import Answer, Outcome, answer_record, submit
from services.protocol.loading import Studies
from services.protocol.study import Study
from services.safety.domain.cases import Case, case_clocks, case_of, clock_item
from services.safety.domain.clocks import Clock
from services.safety.domain.closing import ClockClosed, CloseClock, decide_closure, find_clock
from services.safety.domain.dossier import ADVERSE_EVENT, Dossier
from services.safety.facts import load_dossiers, read_dossiers, read_study
from services.safety.routes.adverse_events import asked_sites
from services.safety.routes.answered import StartedClock
from services.safety.routes.participants import (
    READERS,
    SAFETY_ROLES,
    reported_id,
    safety_id,
)

clocks = router(prefix="/v1/studies/{study}", tags=["reporting clocks"])
_CASE: Final = "/participants/{participant}/adverse-events/{adverse_event}"
_EPOCH: Final = datetime(1899, 1, 1, tzinfo=UTC)
"""Before every time that is kept, so that no cursor is negative."""


class ClosureBody(ClosedBody):
    """Why a clock is closed, and what was submitted when, if anything was."""

    submitted_at: Instant | None = None
    reference: Code | None = None
    reason: Reason


class ClosureView(StoredView):
    """A closure as it is stored."""

    adverse_event: UUID
    clock: str
    submitted_at: Instant | None
    reference: str | None
    reason: str


class ClockView(StartedClock):
    """A clock, and whether its time has passed while it is open."""

    is_overdue: bool


class DeadlineView(ClockView):
    """A clock with the adverse event that it belongs to."""

    adverse_event: UUID
    participant: UUID
    site: str | None


@dataclass(frozen=True, slots=True)
class _Deadline:
    """A clock of a case, and its place in the order of deadlines."""

    participant: UUID
    case: Case
    clock: Clock

    @property
    def expires_at(self) -> datetime:
        return self.clock.expires_at(self.case.time_zone)

    @property
    def place(self) -> int:
        """A number that grows with the time, and differs between clocks."""
        seconds = int((self.expires_at - _EPOCH).total_seconds())
        return (seconds << 64) + (self.clock.id_in(self.case.id).int >> 64)

    def item(self, now: datetime) -> dict[str, Any]:
        return {
            **shown_clock(self.case, self.clock, now),
            "adverse_event": str(self.case.id),
            "participant": str(self.participant),
            "site": self.case.site,
        }


def shown_clock(case: Case, clock: Clock, now: datetime) -> dict[str, Any]:
    """Return a clock, and whether it is open and its time has passed."""
    item = clock_item(case, clock)
    is_overdue = item["status"] == "open" and clock.expires_at(case.time_zone) < now
    return {**item, "is_overdue": is_overdue}


async def _case(
    request: Request, call: Call, participant: str, adverse_event: str, as_of: datetime | None
) -> Case:
    owner = await safety_id(request, call, participant)
    record = parse_id(adverse_event)
    async with held(request, Database).pooled() as connection:
        dossiers = await read_dossiers(connection, call.study, [owner], as_of=as_of)
    dossiers[owner].standing(ADVERSE_EVENT, record)
    return case_of(dossiers[owner], held(request, Studies)[call.study], record)


@clocks.get(f"{_CASE}/clocks", response_model=Page[ClockView], **may(*READERS))
async def list_clocks(
    request: Request, participant: str, adverse_event: str, call: CallDep, as_of: AsOf = None
) -> Response:
    """List every clock that an adverse event started, open and closed."""
    case = await _case(request, call, participant, adverse_event, past_moment(as_of))
    now = as_of or datetime.now(UTC)
    items = [canonical_json(shown_clock(case, clock, now)) for clock in case_clocks(case)]
    return page_response(request, items, None)


@clocks.get(f"{_CASE}/clocks/{{clock}}", response_model=ClockView, **may(*READERS, is_tagged=True))
async def read_clock(
    request: Request,
    participant: str,
    adverse_event: str,
    clock: str,
    call: CallDep,
    as_of: AsOf = None,
) -> Response:
    """Return one clock of an adverse event."""
    case = await _case(request, call, participant, adverse_event, past_moment(as_of))
    found = find_clock(case, parse_id(clock))
    body = canonical_json(shown_clock(case, found, as_of or datetime.now(UTC)))
    return read_response(request, body, weak_tag(body))


@clocks.post(
    f"{_CASE}/clocks/{{clock}}/closure",
    status_code=201,
    response_model=ClosureView,
    **may("safety_officer", gives=(ClockClosed,)),
)
async def close_clock(
    request: Request,
    participant: str,
    adverse_event: str,
    clock: str,
    body: ClosureBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Close a clock: what was submitted when, or why nothing has to be."""
    del idempotency_key
    command = CloseClock(
        study=held(request, Studies)[call.study],
        participant=await reported_id(request, call, participant),
        id=parse_id(clock),
        sites=call.caller.sites,
        adverse_event=parse_id(adverse_event),
        submitted_at=body.submitted_at,
        reference=body.reference,
        reason=body.reason,
    )
    collection = call.path.rstrip("/").rsplit("/", 2)[0]

    def render(outcomes: Any) -> Answer:
        outcome: Outcome = outcomes[0]
        return answer_record(outcome, collection)

    return await submit(
        request, call, [command], load=load_dossiers, decide=decide_closure, render=render
    )


@clocks.get("/safety/deadlines", response_model=Page[DeadlineView], **may(*READERS))
async def list_deadlines(
    request: Request,
    call: CallDep,
    status: Annotated[
        Literal["open", "closed", "overdue"] | None,
        Query(description="Only clocks that are so; overdue ones are open, too."),
    ] = None,
    due_before: Annotated[
        Instant | None, Query(description="Only what is due before this time.")
    ] = None,
    participant: Annotated[
        str | None, Query(max_length=73, description="Only of this participant.")
    ] = None,
    site: Annotated[Code | None, Query(description="Only of this site.")] = None,
    limit: Annotated[Limit, Query()] = USUAL_LIMIT,
    after: Annotated[After, Query()] = None,
) -> Response:
    """List the study's clocks by the time at which they are due, the most urgent first."""
    sites = asked_sites(call, site)
    owner = None if participant is None else await _asked_participant(request, call, participant)
    async with held(request, Database).pooled() as connection:
        dossiers = await (
            read_study(connection, call.study)
            if participant is None
            else read_dossiers(connection, call.study, [] if owner is None else [owner])
        )
    visible = {at: dossier for at, dossier in dossiers.items() if _is_visible(call, dossier)}
    found = [
        deadline
        for deadline in _deadlines(visible, held(request, Studies)[call.study])
        if (sites is None or deadline.case.site in sites)
        and (due_before is None or deadline.expires_at < due_before)
    ]
    return _page(request, found, status, read_cursor(after), limit)


async def _asked_participant(request: Request, call: Call, text: str) -> UUID | None:
    try:
        return await safety_id(request, call, text)
    except NotFound:
        return None


def _is_visible(call: Call, dossier: Dossier) -> bool:
    return dossier.participation is not None or call.caller.has_role(*SAFETY_ROLES)


def _deadlines(dossiers: dict[UUID, Dossier], study: Study) -> Iterable[_Deadline]:
    for participant, dossier in dossiers.items():
        for record in dossier.of_kind(ADVERSE_EVENT):
            case = case_of(dossier, study, record)
            for clock in case_clocks(case):
                yield _Deadline(participant, case, clock)


def _page(
    request: Request, found: list[_Deadline], status: str | None, after: int, limit: int
) -> Response:
    now = datetime.now(UTC)
    waiting = sorted((one for one in found if one.place > after), key=lambda one: one.place)
    items = [(one.place, one.item(now)) for one in waiting]
    shown = [(place, item) for place, item in items if _is_asked_for(status, item)]
    page = shown[:limit]
    following = page[-1][0] if len(shown) > limit else None
    return page_response(request, [canonical_json(item) for _, item in page], following)


def _is_asked_for(status: str | None, item: dict[str, Any]) -> bool:
    if status == "overdue":
        return bool(item["is_overdue"])
    return status in {None, item["status"]}
