"""Receipts of whole visits, kept for the gateway by the sender's idempotency key."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from services.enrolment.routes.finding import WRITERS
from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import Call, CallDep, may, router
from services.kernel.records import ClosedBody
from services.kernel.refusals import NotFound
from services.kernel.storage import Connection, Database

receipts = router(prefix="/v1/studies/{study}", tags=["receipts"])
_SPACE = "receipt "
"""Begins a receipt's key; no key of a caller holds a blank, so the two never meet."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ReceiptBody(ClosedBody):
    """A finished answer, and the digest of the request that it answers."""

    fingerprint: Digest
    status: Annotated[int, Field(ge=200, le=299)]
    body: str


@receipts.get("/receipts/{key}", **may(*WRITERS, is_internal=True))
async def read_receipt(request: Request, key: str, call: CallDep) -> Response:
    """Return the receipt that this caller's key was answered with."""
    async with held(request, Database).pooled() as connection:
        return await _standing_receipt(connection, call, key)


@receipts.put("/receipts/{key}", **may(*WRITERS, is_internal=True))
async def keep_receipt(request: Request, key: str, body: ReceiptBody, call: CallDep) -> Response:
    """Keep a receipt, and return the one that stands: the first one kept under the key."""
    async with held(request, Database).pooled() as connection:
        await connection.execute(
            "INSERT INTO idempotency (study, subject, key, fingerprint, status, headers, body, "
            "recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            call.study,
            call.caller.key_space,
            _SPACE + key,
            bytes.fromhex(body.fingerprint),
            body.status,
            {},
            body.body.encode(),
            datetime.now(UTC),
        )
        return await _standing_receipt(connection, call, key)


async def _standing_receipt(connection: Connection, call: Call, key: str) -> Response:
    row = await connection.fetchrow(
        "SELECT fingerprint, status, body FROM idempotency "
        "WHERE study = $1 AND subject = $2 AND key = $3",
        call.study,
        call.caller.key_space,
        _SPACE + key,
    )
    if row is None:
        raise NotFound
    body = {
        "fingerprint": row["fingerprint"].hex(),
        "status": row["status"],
        "body": row["body"].decode(),
    }
    return Response(canonical_json(body), media_type="application/json")
