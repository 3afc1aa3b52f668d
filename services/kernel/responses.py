"""What leaves: the answer to a write, and a resource with its entity tag."""

import hashlib

from fastapi import Request
from fastapi.responses import Response

from services.kernel.units import Answer


def answer_response(request: Request, answer: Answer) -> Response:
    """Return a write's answer with the headers that the contract gives it."""
    headers = {**answer.headers, "Cache-Control": "no-store"}
    if answer.is_replay:
        headers["Idempotency-Replayed"] = "true"
    if answer.position:
        headers["X-Feed-Position"] = f"{request.app.state.service}={answer.position}"
    media_type = headers.pop("Content-Type", "application/json")
    return Response(answer.body, answer.status, headers=headers, media_type=media_type)


def read_response(request: Request, body: bytes, etag: str, *, cache: str = "no-store") -> Response:
    """Return a resource with its entity tag, or 304 where the caller holds it already."""
    headers = {"ETag": etag, "Cache-Control": cache}
    held = request.headers.get("if-none-match", "")
    weak = etag.removeprefix("W/")
    if held == "*" or weak in {tag.strip().removeprefix("W/") for tag in held.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def weak_tag(body: bytes) -> str:
    """Return an entity tag that follows the content, for what is derived when it is read."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
