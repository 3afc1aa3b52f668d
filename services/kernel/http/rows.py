"""The rows of a bulk request as they came, as NDJSON or as a JSON list, and of its answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from services.kernel.exact_json import parse_json
from services.kernel.problems import InvalidRequest
from services.kernel.refusals import Fault, Impossible


class TooManyRows(Impossible):
    """The request has more rows than are taken at once.

    Send the rows in several requests.
    """


@dataclass(frozen=True, slots=True)
class Lines:
    """The rows of a request as they came, and how the answer's rows are put together."""

    rows: Sequence[Any]
    is_ndjson: bool

    def pieces(self, size: int) -> Iterator[tuple[int, Sequence[Any]]]:
        """Yield the rows in pieces, each with the index of its first row."""
        for first in range(0, len(self.rows), size):
            yield first, self.rows[first : first + size]

    def read(self, row: Any) -> Any:
        """Return a row's value; raises NotJson and Impossible."""
        return parse_json(row) if self.is_ndjson else row

    def join(self, parts: Sequence[bytes]) -> bytes:
        """Return answered rows in the request's media type, yet without brackets."""
        return (b"\n" if self.is_ndjson else b",").join(part for part in parts if part)

    def whole(self, parts: Sequence[bytes]) -> bytes:
        """Return the answer's body."""
        joined = self.join(parts)
        if self.is_ndjson:
            return joined + b"\n" if joined else b""
        return b"[" + joined + b"]"


def read_lines(request: Request, most: int) -> Lines:
    """Return the rows of a bulk request; raises InvalidRequest and TooManyRows."""
    parsed = request.state.parsed
    is_ndjson = isinstance(parsed, bytes)
    rows = [line for line in parsed.split(b"\n") if line.strip()] if is_ndjson else parsed
    if not isinstance(rows, list):
        raise InvalidRequest("A list is needed.", faults=[Fault("", "TYPE", "A list is needed.")])
    if len(rows) > most:
        fault = Fault("", "too_long", f"At most {most} rows are taken at once.")
        raise TooManyRows(faults=[fault])
    return Lines(rows, is_ndjson)
