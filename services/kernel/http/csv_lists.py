"""Lists as tables for a spreadsheet, by `Accept: text/csv` (RFC 4180).

A row is one item. A member of a member has a column of its own, named with a dot between;
a list stands as JSON in one cell. The page and its link to the next are those of the JSON.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from starlette.requests import Request

from services.kernel.exact_json import canonical_json, parse_json
from services.kernel.http.accepting import accepted

CSV: Final = "text/csv"
_JSON: Final = "application/json"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(request: Request) -> bool:
    """Tell whether the caller would rather read a table than JSON (RFC 9110, section 12.5.1).

    What services tell each other is JSON whatever the first caller accepts.
    """
    rules = getattr(request.scope.get("route"), "openapi_extra", None) or {}
    weights = accepted(request)
    asked = weights.get(CSV, Decimal(0))
    any_kind = max(weights.get("*/*", Decimal(0)), weights.get("application/*", Decimal(0)))
    is_rather = asked > weights[_JSON] if _JSON in weights else asked >= any_kind
    return asked > 0 and is_rather and not rules.get("x-internal")


def columns_of(request: Request) -> list[str]:
    """Return the members that the operation documents for an item, in their order."""
    page = getattr(request.scope.get("route"), "response_model", None)
    items = getattr(page, "model_fields", {}).get("items")
    arguments = getattr(getattr(items, "annotation", None), "__args__", ())
    return [name for view in arguments[:1] for name in getattr(view, "model_fields", ())]


def write_csv(items: Iterable[bytes], documented: Sequence[str]) -> bytes:
    """Return JSON objects as a table; documented columns stand also where no item has them."""
    rows = [dict(_cells(parse_json(item))) for item in items]
    columns = _columns(rows, documented)
    written = io.StringIO()
    lines = csv.writer(written)
    if columns:
        lines.writerow([csv_cell(name) for name in columns])
    lines.writerows([csv_cell(row.get(name)) for name in columns] for row in rows)
    return written.getvalue().encode()


def _cells(members: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in members.items():
        if isinstance(value, Mapping):
            yield from _cells(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", value


def _columns(rows: Iterable[Mapping[str, Any]], documented: Sequence[str]) -> list[str]:
    """Return the columns in the documented order; a member that has parts is its parts."""
    found = list(dict.fromkeys(name for row in rows for name in row))
    whole = {name.partition(".")[0] for name in found if "." in name}
    ordered = []
    for member in dict.fromkeys([*documented, *(name.partition(".")[0] for name in found)]):
        parts = [name for name in found if name.startswith(f"{member}.")]
        ordered += parts if member in whole else [member]
    return ordered


def csv_cell(value: Any) -> str:
    """Return a cell that no spreadsheet takes for a formula; numbers stand as they are."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = value if isinstance(value, str) else canonical_json(value).decode()
    return f"'{text}" if text.startswith(_FORMULA) else text
