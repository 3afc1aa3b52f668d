"""JSON in and out, exactly: numbers as decimals, one canonical encoding (RFC 8785).

Refused as malformed: what RFC 8259 and I-JSON (RFC 7493) do not allow: NaN, magnitudes no
double holds, a member twice, bytes that are not UTF-8, lone surrogates, nesting below 32.
"""

import json
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson
import rfc8785

from services.kernel.refusals import Fault, Impossible, Refusal

DEEPEST: Final = 32
MOST_MEMBERS: Final = 1000
_LARGEST_EXPONENT: Final = 308
_MOST_DIGITS: Final = 400


class NotJson(Refusal):
    """The request body is not JSON.

    Send JSON in UTF-8, with no member twice, no `NaN`, at most 32 deep.
    """

    status = 400


class TooManyMembers(Refusal):
    """An object has more members than any record.

    Send the members that the contract names, 1,000 at most.
    """

    status = 413


def parse_json(raw: bytes) -> Any:
    """Return the value with `int` and `Decimal` numbers.

    Raises NotJson for malformed bytes, TooManyMembers, and Impossible for U+0000 in a text.
    """
    try:
        text = raw.decode("utf-8")
        _refuse_deep(text)
        value = _DECODER(text)
        if "\\u" in text:
            text = json.dumps(value, ensure_ascii=False, default=str)
            text.encode("utf-8")
    except Refusal:
        raise
    # An exponent that no decimal holds is an arithmetic error.
    except (UnicodeError, ValueError, RecursionError, ArithmeticError):
        raise NotJson("The bytes are not JSON as RFC 8259 and I-JSON have it.") from None
    if "\\u0000" in text:
        _refuse_nul(value)
    return value


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 encoding; dates as ISO text, decimals as numbers."""
    try:
        return orjson.dumps(value, default=_plain, option=_CANONICAL)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, _NeedsSlowEncoding):
            return rfc8785.dumps(plain_json(value))
        raise


def plain_json(value: Any) -> Any:
    """Return the value as `dict`, `list`, `str`, `int`, `float`, `bool` and `None` only."""
    if isinstance(value, dict):
        return {str(name): plain_json(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | UUID):
        return value.isoformat() if isinstance(value, date) else str(value)
    return value


def stamp(moment: datetime) -> str:
    """Return the system's own time text: UTC, always six decimals."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class _NeedsSlowEncoding(Exception):  # noqa: N818 - a signal between two encoders
    """Very small numbers are written differently by RFC 8785 and the fast encoder."""


_CANONICAL: Final = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
_SMALLEST_FAST: Final = Decimal("0.00001")


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        if abs(value) < _SMALLEST_FAST:
            raise _NeedsSlowEncoding
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(type(value).__name__)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if number.adjusted() > _LARGEST_EXPONENT or len(text) > _MOST_DIGITS:
        raise NotJson("A number is larger than any reader of JSON keeps.")
    return number


def _integer(text: str) -> int:
    if len(text) > _LARGEST_EXPONENT:
        raise NotJson("A number is larger than any reader of JSON keeps.")
    return int(text)


def _constant(_text: str) -> None:
    raise NotJson("NaN and Infinity are not JSON.")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_MEMBERS:
        raise TooManyMembers(f"An object has at most {MOST_MEMBERS} members.")
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJson("A member stands twice in one object.")
    return members


def _refuse_deep(text: str) -> None:
    if text.count("{") + text.count("[") <= DEEPEST:
        return
    depth = 0
    for bracket in _BRACKET.findall(_TEXT.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        if depth > DEEPEST:
            raise NotJson("The JSON is nested deeper than 32 levels.")


_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[{\]}]")


def _refuse_nul(value: Any) -> None:
    faults = [
        Fault(pointer, "nul", "A text cannot hold U+0000.") for pointer in _nul_pointers(value, "")
    ]
    if faults:
        raise Impossible("A text holds a character that cannot be stored.", faults=faults)


def _nul_pointers(value: Any, at: str) -> list[str]:
    if isinstance(value, str):
        return [at] if "\0" in value else []
    if isinstance(value, list):
        parts = [(f"{at}/{index}", item) for index, item in enumerate(value)]
    elif isinstance(value, dict):
        named = [at] if any("\0" in name for name in value) else []
        inner = [
            pointer
            for name, member in value.items()
            if "\0" not in name
            for pointer in _nul_pointers(member, f"{at}/{escape_pointer(name)}")
        ]
        return named + inner
    else:
        return []
    return [pointer for where, item in parts for pointer in _nul_pointers(item, where)]


def escape_pointer(name: str) -> str:
    """Return the name as a reference token of RFC 6901."""
    return name.replace("~", "~0").replace("/", "~1")


_DECODER: Final[Callable[[str], Any]] = json.JSONDecoder(
    parse_float=_number,
    parse_int=_integer,
    parse_constant=_constant,
    object_pairs_hook=_members,
    strict=True,
).decode
