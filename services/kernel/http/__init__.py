"""Requests and answers: how an operation is declared, guarded, read and answered.

An operation stands on a `router()`, and names with `may(...)` who may call it. What it gets is
a `Call` that is permitted already. The server's own part is `server`, which uvicorn loads by
its name; `health` is joined by the application.
"""

from services.kernel.http.accepting import (
    preferred,
)
from services.kernel.http.binding import (
    KEY_HEADER,
)
from services.kernel.http.calls import (
    Call,
    CallDep,
    Find,
    IdempotencyKey,
    Key,
    KeyReused,
    WrongKey,
    fingerprint,
)
from services.kernel.http.csv_lists import (
    CSV,
    csv_cell,
    wants_csv,
    write_csv,
)
from services.kernel.http.declaring import (
    documented,
    may,
    open_router,
    router,
)
from services.kernel.http.guarding import (
    Guard,
)
from services.kernel.http.paging import (
    LARGEST_LIMIT,
    USUAL_LIMIT,
    After,
    Limit,
    WrongCursor,
    page_response,
    read_cursor,
    write_cursor,
)
from services.kernel.http.parts import (
    read_part,
)
from services.kernel.http.paths import (
    parse_id,
    parse_participant,
)
from services.kernel.http.receiving import (
    LARGEST_BODY,
    LARGEST_BULK,
    NDJSON,
    read_bytes,
)
from services.kernel.http.responses import (
    read_response,
    weak_tag,
)
from services.kernel.http.rows import (
    Lines,
    TooManyRows,
    read_lines,
)

__all__ = [
    "CSV",
    "KEY_HEADER",
    "LARGEST_BODY",
    "LARGEST_BULK",
    "LARGEST_LIMIT",
    "NDJSON",
    "USUAL_LIMIT",
    "After",
    "Call",
    "CallDep",
    "Find",
    "Guard",
    "IdempotencyKey",
    "Key",
    "KeyReused",
    "Limit",
    "Lines",
    "TooManyRows",
    "WrongCursor",
    "WrongKey",
    "csv_cell",
    "documented",
    "fingerprint",
    "may",
    "open_router",
    "page_response",
    "parse_id",
    "parse_participant",
    "preferred",
    "read_bytes",
    "read_cursor",
    "read_lines",
    "read_part",
    "read_response",
    "router",
    "wants_csv",
    "weak_tag",
    "write_csv",
    "write_cursor",
]
