"""The study's signals over HTTP: stopping rules that hold, and their acknowledgement."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.kernel.exact_json import canonical_json, stamp
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
from services.kernel.storage import STUDY_STREAM, Database
from services.kernel.values import Instant, Reason
from services.kernel.writing import Answer, Outcome, answer_record, new_id, submit
from services.protocol.loading import Studies
from services.safety.domain.classification import Classification
from services.safety.domain.signals import (
    AcknowledgeSignal,
    SignalAcknowledged,
    SignalFile,
    decide_acknowledgement,
)
from services.safety.domain.stopping import SafetyFact, Signal
from services.safety.facts import read_signal_file
from services.safety.routes.participants import READERS, SAFETY_ROLES

signals = router(prefix="/v1/studies/{study}/safety/signals", tags=["signals"])
_EPOCH: Final = datetime(1899, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = 1_000_000


class AcknowledgementBody(ClosedBody):
    """Why the facts of a signal need no further action; without `facts`, all of them."""

    reason: Reason
    facts: Annotated[list[UUID], Field(min_length=1, max_length=1000)] | None = None


class FactView(BaseModel):
    """What makes a rule hold: one adverse event as it stands."""

    id: Annotated[UUID, Field(description="Another grade or class makes another fact.")]
    adverse_event: UUID
    participant: UUID
    site: str | None
    version: int
    recorded_at: Instant
    term: str
    ctcae_grade: int | None
    classification: Classification
    suspected: bool
    is_new: Annotated[bool, Field(description="Nobody has acknowledged it yet.")]


class FactSeen(BaseModel):
    """A fact that was acknowledged."""

    id: UUID
    adverse_event: UUID
    version: int


class AcknowledgementView(StoredView):
    """An acknowledgement as it is stored: who has seen which facts, and why that is enough."""

    signal: UUID
    rule: str
    facts: list[FactSeen]
    reason: str


class SignalView(BaseModel):
    """A stopping rule that holds; it proposes and does nothing by itself."""

    id: Annotated[UUID, Field(description="The same whenever it is derived.")]
    rule: Annotated[str, Field(description="The rule's id in the study file.")]
    scope: Literal["study", "participant"]
    participant: UUID | None
    text: Annotated[str, Field(description="The rule in words.")]
    status: Literal["raised", "acknowledged"]
    proposal: Literal["pause_for_review"]
    raised_at: Annotated[Instant, Field(description="When the last of its facts was recorded.")]
    facts: list[FactView]
    facts_at_other_sites: Annotated[int, Field(description="Facts that the caller may not see.")]
    acknowledgements: list[AcknowledgementView]


@signals.get("", response_model=Page[SignalView], **may(*READERS))
async def list_signals(
    request: Request,
    call: CallDep,
    status: Annotated[
        Literal["raised", "acknowledged"] | None, Query(description="Only signals that are so.")
    ] = None,
    limit: Annotated[Limit, Query()] = USUAL_LIMIT,
    after: Annotated[After, Query()] = None,
    as_of: AsOf = None,
) -> Response:
    """List the stopping rules that hold, each with the facts that make it hold."""
    file = await _file(request, call, past_moment(as_of))
    after_place = read_cursor(after)
    found = sorted((_place(signal), item) for signal, item in _shown(file, call))
    items = [
        (place, item)
        for place, item in found
        if place > after_place and status in {None, item["status"]}
    ]
    following = items[limit - 1][0] if len(items) > limit else None
    return page_response(request, [canonical_json(item) for _, item in items[:limit]], following)


@signals.get("/{signal}", response_model=SignalView, **may(*READERS, is_tagged=True))
async def read_signal(request: Request, signal: str, call: CallDep, as_of: AsOf = None) -> Response:
    """Return one signal."""
    file = await _file(request, call, past_moment(as_of))
    _, item = _find(file, call, parse_id(signal))
    body = canonical_json(item)
    return read_response(request, body, weak_tag(body))


@signals.post(
    "/{signal}/acknowledgement",
    status_code=201,
    response_model=AcknowledgementView,
    **may("safety_officer", "investigator", gives=(SignalAcknowledged,)),
)
async def acknowledge_signal(
    request: Request,
    signal: str,
    body: AcknowledgementBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Say that a signal's facts were reviewed, and why that is enough; new facts raise it again."""
    del idempotency_key
    found, _ = _find(await _file(request, call, None), call, parse_id(signal))
    command = AcknowledgeSignal(
        study=held(request, Studies)[call.study],
        participant=found.participant or STUDY_STREAM,
        id=new_id(),
        sites=call.caller.sites,
        signal=found.id,
        facts=None if body.facts is None else tuple(body.facts),
        reason=body.reason,
    )
    location = call.path.removesuffix("/").removesuffix("/acknowledgement")

    async def load(connection: Any, study: str, orders: Sequence[AcknowledgeSignal]) -> Any:
        file = await read_signal_file(connection, study, held(request, Studies)[study])
        return {order.participant: file for order in orders}

    def render(outcomes: Sequence[Outcome]) -> Answer:
        answer = answer_record(outcomes[0], location)
        moved = {"Location": location} if "Location" in answer.headers else {}
        return replace(answer, headers={**answer.headers, **moved})

    return await submit(
        request, call, [command], load=load, decide=decide_acknowledgement, render=render
    )


async def _file(request: Request, call: Call, as_of: datetime | None) -> SignalFile:
    study = held(request, Studies)[call.study]
    async with held(request, Database).pooled() as connection:
        file = await read_signal_file(connection, call.study, study, as_of=as_of)
    if call.caller.has_role(*SAFETY_ROLES):
        return file
    confirmed = {
        at: dossier for at, dossier in file.dossiers.items() if dossier.participation is not None
    }
    return replace(file, dossiers=confirmed)


def _find(file: SignalFile, call: Call, wanted: UUID) -> tuple[Signal, dict[str, Any]]:
    for signal, item in _shown(file, call):
        if signal.id == wanted:
            return signal, item
    raise NotFound


def _shown(file: SignalFile, call: Call) -> Iterator[tuple[Signal, dict[str, Any]]]:
    """Yield the signals that the caller may know of: those with a fact of its sites."""
    for signal in file.signals():
        facts = file.visible(signal.facts, call.caller.sites)
        if facts:
            yield signal, _item(file, signal, facts)


def _item(file: SignalFile, signal: Signal, facts: Sequence[SafetyFact]) -> dict[str, Any]:
    return {
        "id": str(signal.id),
        "rule": signal.rule,
        "scope": signal.scope,
        "participant": None if signal.participant is None else str(signal.participant),
        "text": signal.text,
        "status": signal.status,
        "proposal": signal.proposal,
        "raised_at": stamp(signal.latest_fact_at),
        "facts": [
            {
                "id": str(fact.key),
                "adverse_event": str(fact.adverse_event),
                "participant": str(fact.participant),
                "site": file.site_of(fact),
                "version": fact.version,
                "recorded_at": stamp(fact.recorded_at),
                "term": fact.terms[0],
                "ctcae_grade": fact.grade,
                "classification": fact.classification,
                "suspected": fact.suspected,
                "is_new": fact in signal.new_facts,
            }
            for fact in facts
        ],
        "facts_at_other_sites": len(signal.facts) - len(facts),
        "acknowledgements": [one.document for one in file.of_signal(signal.id)],
    }


def _place(signal: Signal) -> int:
    """Return a number that grows with the time of the first fact, and differs between signals."""
    since = signal.facts[0].recorded_at - _EPOCH
    return (int(since.total_seconds() * _MICROSECOND) << 64) + (signal.id.int >> 64)
