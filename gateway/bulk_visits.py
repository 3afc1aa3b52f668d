"""Many visits in one request: each row goes the way of a single visit, a few at a time.

Rows of one participant are settled one after the other, in the order given; those of several
side by side. Only so many are under way at once in this process, whoever sent them, so that
single visits are not held up. Each row's answer leaves as soon as those before it have left.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from gateway.forwarding import ServiceDown
from gateway.receipts import kept_receipt
from gateway.visit_parts import Visit
from gateway.visits import (
    SENDERS,
    Receipt,
    Settled,
    ValidateOnly,
    check_visit,
    read_members,
    replayed,
    settle_anew,
)
from services.kernel.exact_json import canonical_json, parse_json
from services.kernel.holdings import held
from services.kernel.http import (
    NDJSON,
    Call,
    CallDep,
    IdempotencyKey,
    KeyReused,
    Lines,
    TooManyRows,
    fingerprint,
    may,
    parse_participant,
    read_lines,
    router,
)
from services.kernel.observing import frames
from services.kernel.problems import InternalFault, problem_document, request_id_of
from services.kernel.records import Written
from services.kernel.refusals import Fault, Refusal

log = structlog.get_logger()

bulk_visits = router(prefix="/v1/studies/{study}", tags=["visits"])

MOST_VISITS: Final = 1000
_AT_ONCE: Final = 8
_LONGEST_PARTICIPANT: Final = 80
VISIT_ROW: Final = "VisitRow"
"""The name of the row's schema, which the contract puts together from a visit's."""


class BulkTurns(asyncio.Semaphore):
    """So many rows of bulk requests are settled at once in this process."""

    def __init__(self) -> None:
        super().__init__(_AT_ONCE)


class VisitRowAnswer(BaseModel):
    """What became of one row: the visit that was written, or the problem."""

    index: int
    write: Written | None = None
    id: Annotated[UUID | None, Field(description="The visit's id.")] = None
    version: int | None = None
    receipt: Annotated[Receipt | None, Field(description="As a single visit is answered.")] = None
    problem: Annotated[
        dict[str, Any] | None, Field(description="As a single visit is refused.")
    ] = None


_ROW: Final = {"$ref": f"#/components/schemas/{VISIT_ROW}"}
_RULES: Final = may(*SENDERS, is_bulk=True, gives=(KeyReused, TooManyRows))
_RULES["openapi_extra"]["requestBody"] = {
    "required": True,
    "content": {
        "application/json": {"schema": {"type": "array", "maxItems": MOST_VISITS, "items": _ROW}},
        NDJSON: {"schema": _ROW},
    },
}


@bulk_visits.post(
    "/visits/bulk", name="record_visits", response_model=list[VisitRowAnswer], **_RULES
)
async def record_visits(
    request: Request,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
    validate_only: ValidateOnly = False,  # noqa: FBT002 - a query parameter has a default
) -> Response:
    """Record up to 1,000 whole visits, as a JSON list or as NDJSON.

    A row is a visit with its `participant`. The answer has one row each, in order and in the
    request's media type: `{index, write, id, version, receipt}` or `{index, problem}`. The same
    request again completes what is not written yet, and writes nothing twice.
    """
    del idempotency_key
    lines = read_lines(request, MOST_VISITS)
    turns = held(request, BulkTurns)
    rows = [_row(request, call, lines, index) for index in range(len(lines.rows))]
    kept = [None] * len(rows) if validate_only else await _kept(rows, turns)
    settle = check_visit if validate_only else settle_anew
    settling = Settling(rows, kept, turns, settle)
    headers = {"Cache-Control": "no-store"}
    if rows and all(kept):
        headers["Idempotency-Replayed"] = "true"
    kind = NDJSON if lines.is_ndjson else "application/json"
    told = _told(request, lines, settling)
    return StreamingResponse(told, headers=headers, media_type=kind)


Row = Visit | Refusal
"""What a row asks for, or why it cannot be read."""


def _row(request: Request, call: Call, lines: Lines, index: int) -> Row:
    try:
        given = lines.read(lines.rows[index])
        members, faults = read_members(given, extra={"participant"})
        participant = given.get("participant")
        if not isinstance(participant, str) or len(participant) > _LONGEST_PARTICIPANT:
            detail = "The participant's id is needed, or `external:` and its own."
            faults = [*faults, Fault("/participant", "required", detail)]
            participant = ""
        else:
            parse_participant(participant)
    except Refusal as refusal:
        return refusal
    # No caller's key holds a blank: the rows' keys never meet those of other requests.
    key = None if call.key is None else f"{call.key.text} {index}"
    mark = fingerprint(call.path.encode(), request.state.raw)
    return Visit(request, call.study, participant, members, faults, key, mark)


async def _kept(rows: Sequence[Row], turns: asyncio.Semaphore) -> list[Settled | None]:
    """Return what rows were answered under this key before; raises KeyReused."""

    async def ask(row: Row) -> Settled | None:
        if isinstance(row, Refusal) or row.key is None:
            return None
        async with turns:
            try:
                kept = await kept_receipt(row)
            except ServiceDown:
                return None
        return None if kept is None else replayed(kept)

    return list(await asyncio.gather(*(ask(row) for row in rows)))


class Settling:
    """The rows on their way, participant by participant."""

    def __init__(
        self,
        rows: Sequence[Row],
        kept: Sequence[Settled | None],
        turns: asyncio.Semaphore,
        settle: Callable[[Visit], Awaitable[Settled]],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._turns = turns
        self._settle = settle
        self.done: list[asyncio.Future[Settled | Refusal]] = [loop.create_future() for _ in rows]
        chains: dict[str, list[tuple[int, Visit]]] = {}
        for index, row in enumerate(rows):
            known = kept[index]
            if isinstance(row, Refusal):
                self.done[index].set_result(row)
            elif known is not None:
                self.done[index].set_result(known)
            else:
                chains.setdefault(row.participant, []).append((index, row))
        self._chains = list(chains.values())
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to settle the rows."""
        self._tasks = [asyncio.create_task(self._walk(chain)) for chain in self._chains]

    def stop(self) -> None:
        """Give up what is not settled: who asked has gone away."""
        for task in self._tasks:
            task.cancel()

    async def _walk(self, chain: Sequence[tuple[int, Visit]]) -> None:
        for index, visit in chain:
            async with self._turns:
                self.done[index].set_result(await self._settled(visit))

    async def _settled(self, visit: Visit) -> Settled | Refusal:
        try:
            return await self._settle(visit)
        except Refusal as refusal:
            return refusal
        except Exception as crash:  # noqa: BLE001 - a faulty row costs itself only
            log.error("row", kind=type(crash).__name__, at=frames(crash))  # noqa: TRY400
            return InternalFault()


async def _told(request: Request, lines: Lines, settling: Settling) -> AsyncIterator[bytes]:
    opening, between, closing = (b"", b"\n", b"\n") if lines.is_ndjson else (b"[", b",", b"]")
    settling.start()
    try:
        yield opening
        for index, done in enumerate(settling.done):
            told = _answer(request, index, await done)
            yield (between if index else b"") + canonical_json(told)
        yield closing if settling.done or not lines.is_ndjson else b""
    finally:
        settling.stop()


def _answer(request: Request, index: int, settled: Settled | Refusal) -> dict[str, Any]:
    if isinstance(settled, Refusal):
        problem = problem_document(settled, request_id_of(request))
        return {"index": index, "problem": problem}
    document = parse_json(settled.body)
    if settled.is_refused:
        return {"index": index, "problem": document}
    visit = document["visit"]
    written = {"write": document["write"], "id": visit["id"], "version": visit["version"]}
    return {"index": index, **written, "receipt": document}
