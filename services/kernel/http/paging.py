"""Pages of a list: opaque cursors that never skip and never repeat a row.

A cursor holds the feed position of the last row's first version. Positions are given in
commit order, so what commits later always comes after every cursor handed out.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlencode

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
from services.kernel.http.csv_lists import CSV, columns_of, wants_csv, write_csv
from services.kernel.refusals import Fault, Impossible

USUAL_LIMIT: Final = 50
LARGEST_LIMIT: Final = 500

Limit = Annotated[
    int, Field(ge=1, le=LARGEST_LIMIT, description="At most so many rows, up to 500.")
]
After = Annotated[
    str | None, Field(max_length=64, description="The `next` of the page before; opaque.")
]


class WrongCursor(Impossible):
    """The cursor is none that was handed out.

    Begin the list anew, and pass on each `next` unchanged.
    """


def read_cursor(after: str | None) -> int:
    """Return the position that a cursor holds, 0 for none.

    Raises WrongCursor.
    """
    if after is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(after.encode("ascii") + b"==").decode("ascii")
        position = int(text.removeprefix("p"))
    except (ValueError, binascii.Error):
        position = -1
    if position < 0 or write_cursor(position) != after:
        fault = Fault("?after", "cursor", "Pass on the `next` of the page before, unchanged.")
        raise WrongCursor(faults=[fault])
    return position


def write_cursor(position: int) -> str:
    """Return the opaque cursor for a position."""
    return base64.urlsafe_b64encode(f"p{position}".encode()).decode().rstrip("=")


def page_response(request: Request, items: Sequence[bytes], following: int | None) -> Response:
    """Return one page of JSON documents, or as a table; with a link to the next, if any."""
    cursor = None if following is None else write_cursor(following)
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if cursor is not None:
        headers["Link"] = f'<{_next_path(request, cursor)}>; rel="next"'
    if wants_csv(request):
        return Response(write_csv(items, columns_of(request)), headers=headers, media_type=CSV)
    body = b'{"items":[' + b",".join(items) + b'],"next":' + canonical_json(cursor) + b"}"
    return Response(body, headers=headers, media_type="application/json")


def _next_path(request: Request, cursor: str) -> str:
    kept = [(name, value) for name, value in parse_qsl(request.url.query) if name != "after"]
    return f"{request.url.path}?{urlencode([*kept, ('after', cursor)])}"
