"""Reading what was sent: at most so much, in time, and parsed exactly."""

import asyncio
from typing import Any, Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from services.kernel.exact_json import TooManyMembers, parse_json
from services.kernel.http.calls import ExactRequest
from services.kernel.problems import BadRequest, TooLarge, TooSlow, UnsupportedMediaType

LARGEST_BODY: Final = 2 * 1024 * 1024
LARGEST_BULK: Final = 16 * 1024 * 1024
LONGEST_BODY_SECONDS: Final = 60
MOST_VALUES: Final = 200_000
_AT_ONCE: Final = 64 * 1024
"""So much is parsed in a millisecond; more would hold up the requests of others."""
NDJSON: Final = "application/x-ndjson"


async def read_body(request: ExactRequest, *, is_bulk: bool) -> None:
    """Keep the body in the request's state, as bytes and parsed; a bulk's lines are not parsed.

    Raises UnsupportedMediaType, TooLarge, TooSlow, TooManyMembers, BadRequest and NotJson.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    allowed = {"application/json", NDJSON} if is_bulk else {"application/json"}
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if kind not in allowed or encoding not in {"", "identity"}:
        raise UnsupportedMediaType(f"Send {' or '.join(sorted(allowed))}, not compressed.")
    largest = LARGEST_BULK if is_bulk else LARGEST_BODY
    request.state.raw = await read_bytes(request, largest)
    if is_bulk:
        # In a thread of its own: 16 MiB would hold up everybody else for most of a second.
        read = bytes if kind == NDJSON else parse_json
        request.state.parsed = await asyncio.to_thread(read, request.state.raw)
    else:
        request.state.parsed = await _parse_record(request.state.raw)


async def _parse_record(raw: bytes) -> Any:
    if sum(map(raw.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise TooManyMembers("The body holds more values than any record.")
    if len(raw) <= _AT_ONCE:
        return parse_json(raw)
    return await asyncio.to_thread(parse_json, raw)


async def read_bytes(request: Request, largest: int) -> bytes:
    """Return the body's bytes; raises TooLarge as soon as there are more than allowed.

    Raises TooSlow, and BadRequest for a client that went away.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > largest:
        raise TooLarge(f"At most {largest} bytes are read.")
    try:
        async with asyncio.timeout(LONGEST_BODY_SECONDS):
            return await _read_at_most(request, largest)
    except ClientDisconnect:
        raise BadRequest("The request ended before its body did.") from None
    except TimeoutError:
        raise TooSlow(f"A body is waited for {LONGEST_BODY_SECONDS} seconds.") from None


async def _read_at_most(request: Request, largest: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest:
            raise TooLarge(f"At most {largest} bytes are read.")
        chunks.append(chunk)
    return b"".join(chunks)
