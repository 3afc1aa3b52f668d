"""What leaves: a resource with its entity tag."""

import hashlib

from fastapi import Request
from fastapi.responses import Response


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
