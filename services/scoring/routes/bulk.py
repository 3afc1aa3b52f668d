"""Many assessments in one request: each row is accepted or refused by itself, or all are."""

import asyncio
from typing import Annotated, Final

from fastapi import Query, Request
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
from services.kernel.feeds import FACTS_HEADER, Behind, Followers
from services.kernel.holdings import Holdings, held
from services.kernel.http import NDJSON, Call, CallDep, IdempotencyKey, may, read_lines, router
from services.kernel.openapi import SCHEMA_REFERENCE
from services.kernel.problems import (
    MEDIA_TYPE,
    Unavailable,
    problem_document,
    request_id_of,
)
from services.kernel.refusals import Conflict
from services.kernel.writing import ROWS_A_TRANSACTION, Answer, BulkWriter, Writer, answer_response
from services.scoring.routes.answered import RowAnswer
from services.scoring.routes.assessments import GATES, WRITERS
from services.scoring.routes.bulk_pieces import AssessmentRow, Piece

bulk = router(prefix="/v1/studies/{study}", tags=["assessments"])

MOST_ROWS: Final = 10_000


class RowsRefused(Conflict):
    """All rows were to be written or none, and some were refused.

    Correct the rows that have a `problem`, and send all of them again.
    """


Atomic = Annotated[bool, Query(description="Write all rows, or none and answer 409 with all rows.")]


async def keep_bulk_writer(holdings: Holdings) -> None:
    """Keep the process's writer of bulk requests for as long as the process lives."""
    bulk_writer = BulkWriter(holdings[Writer])
    holdings.add(bulk_writer)
    try:
        await asyncio.Event().wait()
    finally:
        await bulk_writer.close()


_ROW_SCHEMA: Final = AssessmentRow.model_json_schema(ref_template=SCHEMA_REFERENCE)
_RULES: Final = may(*WRITERS, is_bulk=True, gives=(*GATES, RowsRefused))
_RULES["openapi_extra"]["requestBody"] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "array", "maxItems": MOST_ROWS, "items": _ROW_SCHEMA}
        },
        NDJSON: {"schema": _ROW_SCHEMA},
    },
}


@bulk.post("/assessments/bulk", response_model=list[RowAnswer], **_RULES)
async def record_assessments(
    request: Request,
    call: CallDep,
    atomic: Atomic = False,  # noqa: FBT002 - a query parameter
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Record up to 10,000 filled-in instruments, as a JSON list or as NDJSON.

    The answer has one row each, in order and in the request's media type: `{index, write,
    id, version}`, with `warnings` and `queries` where there are any, or `{index, problem}`.
    Rows of one source reference and the same content are one record: the second is `unchanged`.
    """
    del idempotency_key
    lines = read_lines(request, MOST_ROWS)
    is_behind = await _is_behind(request, call)
    parts: list[bytes] = []
    answers: list[Answer] = []
    for first, rows in lines.pieces(MOST_ROWS if atomic else ROWS_A_TRANSACTION):
        piece = Piece(request, call, lines, first, is_behind=is_behind, is_atomic=atomic)
        try:
            answer = await piece.write(rows)
        except Unavailable as gone:
            if first == 0:
                raise
            # What was written before must be told, row by row.
            answer = Answer(200, piece.refuse(rows, gone))
        if piece.is_refused and atomic:
            return _refused(request, lines.join([answer.body]), is_ndjson=lines.is_ndjson)
        answers.append(answer)
        parts.append(answer.body)
    whole = Answer(
        200,
        lines.whole(parts),
        {"Content-Type": NDJSON} if lines.is_ndjson else {},
        is_replay=bool(answers) and all(one.is_replay for one in answers),
        position=max((one.position for one in answers), default=0),
    )
    return answer_response(request, whole)


async def _is_behind(request: Request, call: Call) -> bool:
    """Catch up once for all rows, so that none is refused for want of facts."""
    followers = held(request, Followers)
    await followers.at_least(call.study, request.headers.get(FACTS_HEADER))
    try:
        await followers.catch_up(call.study, "enrolment")
    except Behind:
        return True
    return False


def _refused(request: Request, rows: bytes, *, is_ndjson: bool) -> Response:
    listed = b"[" + (rows.replace(b"\n", b",") if is_ndjson else rows) + b"]"
    problem = canonical_json(problem_document(RowsRefused(), request_id_of(request)))
    body = problem[:-1] + b',"rows":' + listed + b"}"
    return Response(body, 409, headers={"Cache-Control": "no-store"}, media_type=MEDIA_TYPE)
