"""One EDC visit in one request: checked whole, written by three services, answered once.

Nothing is written before every service has said yes to its part. Enrolment writes first,
because it knows whether participant, consent and visit allow it; then scoring and safety
side by side. Whatever breaks in between, the same request again completes the rest: parts
that stand are recognised and written once. Adverse events pass every gate.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Body, Query, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from gateway.forwarding import Reply, ServiceDown
from gateway.receipts import Kept, keep_receipt, kept_receipt, receipt_of
from gateway.visit_parts import Said, Visit
from services.kernel.exact_json import canonical_json
from services.kernel.http import CallDep, IdempotencyKey, KeyReused, fingerprint, may, router
from services.kernel.identity import Role
from services.kernel.problems import (
    MEDIA_TYPE,
    InvalidRequest,
    Unavailable,
    faults_of,
    problem_document,
    refusal_headers,
    request_id_of,
)
from services.kernel.records import DocumentedAs, RecordBody, SettledQueries, Warned, Written
from services.kernel.refusals import Conflict, Fault, Refusal
from services.kernel.values import CalendarDate, Code, Reason

visits = router(prefix="/v1/studies/{study}", tags=["visits"])

SENDERS: Final[tuple[Role, ...]] = ("edc", "coordinator", "investigator")
MOST_PARTS: Final = 200
_SOURCE: Final = ("source_system", "source_ref")
_UNPROCESSABLE: Final = 422
_NOT_FOR_YOU: Final = frozenset({401, 403, 404})
"""A stranger learns nothing from a later check: these go before every fault."""
_CONFLICT: Final = 409
_CREATED: Final = 201

Parts = Annotated[tuple[dict[str, Any], ...], Field(max_length=MOST_PARTS)]
ValidateOnly = Annotated[bool, Query(description="Say all that would be said, and write nothing.")]


class VisitBody(RecordBody):
    """Everything of one visit; each part is what its own operation takes, without `visit`."""

    site: Code | None = None
    visit: dict[str, Any]
    assessments: Parts | None = ()
    vital_signs: dict[str, Any] | None = None
    laboratory_results: Parts | None = ()
    infusion: dict[str, Any] | None = None
    adverse_events: Parts | None = ()
    change_reason: Reason | None = None


class ReceivedVisit(BaseModel):
    """The visit, and how it lies to its target."""

    id: UUID
    code: str
    target_date: CalendarDate | None
    timing: Literal["early", "in_window", "late"] | None
    days_from_target: int | None
    version: int | None


class ReceivedPart(BaseModel):
    """What became of one part of the visit."""

    pointer: Annotated[str, Field(description="The part in the request (RFC 6901).")]
    id: Annotated[UUID | None, Field(description="Null where nothing was written.")]
    version: int
    write: Written
    derived: Annotated[dict[str, Any], Field(description="What follows from it.")] = {}
    warnings: list[Warned]


class EventPosition(BaseModel):
    """Up to where a service's audit trail tells of the visit."""

    service: str
    seq: int


class Receipt(BaseModel):
    """What a visit was answered: each part with what was done."""

    write: Written
    visit: ReceivedVisit
    parts: list[ReceivedPart]
    deviations: list[dict[str, Any]]
    warnings: list[Warned]
    queries: SettledQueries
    events: list[EventPosition]


class VisitRefused(Conflict):
    """The record does not allow the visit; its adverse events were recorded.

    Resolve what `detail` says, and post the visit again; nothing is written twice.
    """


class VisitInterrupted(Unavailable):
    """A service went away in between; the same request again completes the rest.

    Wait as long as `Retry-After` says, and send the same request with the same key.
    """


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer to one visit, in one request or as a row among others."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_refused(self) -> bool:
        """Tell whether the body is a problem."""
        return self.status >= 400  # noqa: PLR2004 - where refusals begin

    def response(self) -> Response:
        """Return the answer to a single visit."""
        headers = {"cache-control": "no-store", **self.headers}
        headers["content-type"] = MEDIA_TYPE if self.is_refused else "application/json"
        return Response(self.body, self.status, headers=headers)


@visits.post(
    "/participants/{participant}/visits",
    status_code=201,
    name="record_visit",
    response_model=Receipt,
    **may(*SENDERS, gives=(VisitRefused, VisitInterrupted, KeyReused)),
)
async def record_visit(
    request: Request,
    participant: str,
    body: Annotated[Any, DocumentedAs(VisitBody), Body()],
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
    validate_only: ValidateOnly = False,  # noqa: FBT002 - a query parameter has a default
) -> Response:
    """Record everything of one visit: all of it is checked before anything is written."""
    del idempotency_key
    members, faults = read_members(body)
    mark = fingerprint(call.path.encode(), request.state.raw)
    key = None if call.key is None else call.key.text
    visit = Visit(request, call.study, participant, members, faults, key, mark)
    settled = await (check_visit(visit) if validate_only else settle_visit(visit))
    return settled.response()


def read_members(given: Any, extra: Collection[str] = ()) -> tuple[Any, list[Fault]]:
    """Return the members that can be handed on, and what is wrong with the others.

    `extra` are members of a row that are not the visit's own.
    """
    if not isinstance(given, dict):
        raise InvalidRequest(faults=[Fault("", "TYPE", "An object is needed.")])
    members = {name: value for name, value in given.items() if name not in extra}
    errors: list[Any] = []
    try:
        VisitBody.model_validate(members)
    except ValidationError as invalid:
        errors = list(invalid.errors(include_url=False))
    wrong = {error["loc"][0] for error in errors if error["loc"]}
    faults = [*faults_of({**error, "loc": ("body", *error["loc"])} for error in errors)]
    if _is_half_a_source(members):
        wrong |= {*_SOURCE}
        faults.append(Fault("", "source", "source_system and source_ref go together."))
    kept = {name: value for name, value in members.items() if name not in wrong}
    return kept, list(dict.fromkeys(faults))


def _is_half_a_source(members: Mapping[str, Any]) -> bool:
    # Looked at here too: the body's own rule is not asked while a member is wrong.
    return sum(members.get(name) is not None for name in _SOURCE) == 1


async def check_visit(visit: Visit) -> Settled:
    """Answer what the visit would be answered, with nothing written."""
    said = await visit.rehearse()
    refused = _refused(visit, said)
    if refused is not None:
        return refused
    obstacle = _obstacle(said)
    if obstacle is not None:
        return _told(visit, obstacle, [])
    receipt = receipt_of(_good(said))
    parts = [
        {**part, "id": None} if part["write"] == "created" else part for part in receipt["parts"]
    ]
    return Settled(200, canonical_json({**receipt, "parts": parts}))


async def settle_visit(visit: Visit) -> Settled:
    """Write the visit, or say why not; a finished visit is answered from its receipt.

    Raises KeyReused.
    """
    kept = await _kept(visit)
    return await settle_anew(visit) if kept is None else kept


async def _kept(visit: Visit) -> Settled | None:
    try:
        kept = await kept_receipt(visit)
    except ServiceDown:
        return None  # It is tried again below, by whoever is asked first.
    return None if kept is None else replayed(kept)


def replayed(kept: Kept) -> Settled:
    """Return an answer that was given before under the key."""
    return Settled(kept.status, kept.body, {"Idempotency-Replayed": "true"})


async def settle_anew(visit: Visit) -> Settled:
    """Write a visit whose key was not answered before, or say why not."""
    said = await visit.rehearse()
    refused = _refused(visit, said)
    if refused is not None:
        return refused
    obstacle = _obstacle(said)
    if obstacle is not None:
        return _told(visit, obstacle, await visit.save_adverse_events())
    return await _write(visit)


async def _write(visit: Visit) -> Settled:
    said = await visit.write()
    written = _good(said)
    obstacle = _obstacle(said)
    if obstacle is not None:
        has_safety = any(reply.service == "safety" for reply in written)
        saved = [] if has_safety else await visit.save_adverse_events()
        return _told(visit, obstacle, [*written, *saved])
    receipt = receipt_of(written)
    is_new = receipt["write"] == "created"
    try:
        kept = await keep_receipt(visit, _CREATED if is_new else 200, canonical_json(receipt))
    except ServiceDown as down:
        return _told(visit, down, written)
    headers = {"Location": f"{visit.path}/{receipt['visit']['id']}"} if is_new else {}
    return Settled(kept.status, kept.body, headers)


def _good(said: Sequence[Said]) -> list[Reply]:
    return [reply for reply in said if isinstance(reply, Reply) and reply.is_good]


def _refused(visit: Visit, said: Sequence[Said]) -> Settled | None:
    """Return the answer to a visit of which nothing may be written, its adverse events included."""
    replies = [reply for reply in said if isinstance(reply, Reply)]
    # Of a row that names nobody there is nobody to hide.
    asked = replies if visit.participant else []
    hidden = _first(asked, lambda status: status in _NOT_FOR_YOU)
    impossible = [reply for reply in replies if reply.status == _UNPROCESSABLE]
    if hidden is None and (visit.faults or impossible):
        return _problem(visit, _impossible(visit, impossible))
    allowed = (*range(200, 300), _CONFLICT)
    other = hidden or _first(replies, lambda status: status not in allowed)
    return None if other is None else Settled(other.status, other.body, other.passed_headers)


def _first(replies: Sequence[Reply], is_meant: Callable[[int], bool]) -> Reply | None:
    return next((reply for reply in replies if is_meant(reply.status)), None)


def _impossible(visit: Visit, impossible: Sequence[Reply]) -> InvalidRequest:
    faults = [
        *visit.faults,
        *(
            Fault(_place(error), error["code"], error["detail"])
            for reply in impossible
            for error in _errors(reply)
        ),
    ]
    # What all parts share is checked by each service, in words of its own.
    once = {(fault.pointer, fault.code): fault for fault in reversed(faults)}
    return InvalidRequest(
        "The visit holds values that cannot be; nothing of it was written.",
        faults=list(reversed(once.values())),
    )


def _errors(reply: Reply) -> list[dict[str, str]]:
    errors: Any = reply.document.get("errors", [])
    return list(errors)


def _place(error: Mapping[str, str]) -> str:
    return error.get("pointer", f"?{error.get('parameter', '')}")


def _obstacle(said: Sequence[Said]) -> Said | None:
    """Return why the visit cannot be written now, if something is in its way: first, a refusal."""
    bad = [one for one in said if isinstance(one, ServiceDown) or not one.is_good]
    return min(bad, key=lambda one: isinstance(one, ServiceDown), default=None)


def _told(visit: Visit, obstacle: Said, written: Sequence[Reply]) -> Settled:
    """Return what is in the visit's way, with the parts that were written all the same."""
    receipt = receipt_of(written)
    if isinstance(obstacle, Reply):
        document = {**obstacle.document, "parts": receipt["parts"], "events": receipt["events"]}
        return Settled(obstacle.status, canonical_json(document))
    refusal = VisitInterrupted("A service cannot be reached; send the same request again.")
    return _problem(visit, refusal, parts=receipt["parts"], receipt=receipt)


def _problem(visit: Visit, refusal: Refusal, **more: Any) -> Settled:
    document = {**problem_document(refusal, request_id_of(visit.request)), **more}
    return Settled(refusal.status, canonical_json(document), refusal_headers(refusal))
