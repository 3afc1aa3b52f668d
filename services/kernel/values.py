"""The scalar types of the contract: what a date, a time, a number and a text may be.

Every body and every domain type is built from these, so that each rule about a scalar
("a time needs an offset", "2.0 is a whole number, true is not") stands in one place.
Imports nothing of ours. Bad values raise pydantic errors whose type is the fault's code.
"""

import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2199
MOST_DIGITS: Final = 15
"""Significant digits that a JSON number keeps in every reader (RFC 8785 uses doubles)."""

_YEAR = r"(?:19\d\d|2[01]\d\d)"
_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = r"(?:0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?"
_OFFSET = r"(?:Z|z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
DATE_PATTERN: Final = f"^{_YEAR}-{_MONTH}-{_DAY}$"
PARTIAL_DATE_PATTERN: Final = f"^{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?$"
INSTANT_PATTERN: Final = f"^{_YEAR}-{_MONTH}-{_DAY}[Tt]{_CLOCK}{_OFFSET}$"
_DATE = re.compile(DATE_PATTERN[:-1] + r"\Z", re.ASCII)
_PARTIAL = re.compile(PARTIAL_DATE_PATTERN[:-1] + r"\Z", re.ASCII)
_INSTANT = re.compile(INSTANT_PATTERN[:-1] + r"\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A calendar date of which the day, or the month and day, may be unknown.

    `text` is as given: `2021`, `2021-08` or `2021-08-31`.
    """

    text: str

    @property
    def earliest(self) -> date:
        """The first day that it may mean."""
        return date.fromisoformat((self.text + "-01-01")[:10])

    @property
    def latest(self) -> date:
        """The last day that it may mean."""
        first = self.earliest
        if self.is_full:
            return first
        month = 12 if len(self.text) == len("2021") else first.month
        return date(first.year, month, monthrange(first.year, month)[1])

    @property
    def is_full(self) -> bool:
        """Tell whether the day is known."""
        return len(self.text) == len("2021-08-31")

    def __str__(self) -> str:
        return self.text


def read_date(value: object) -> date:
    """Return a calendar date from `2021-08-31`; nothing else is one."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _DATE.match(value):
        raise PydanticCustomError("date", "A calendar date is needed, such as 2021-08-31.")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise PydanticCustomError("date", "The calendar has no such date.") from None


def read_partial_date(value: object) -> PartialDate:
    """Return a partial date from `2021`, `2021-08` or `2021-08-31`."""
    if isinstance(value, PartialDate):
        return value
    if not isinstance(value, str) or not _PARTIAL.match(value):
        raise PydanticCustomError("partial_date", "A date is needed: 2021, 2021-08 or 2021-08-31.")
    partial = PartialDate(value)
    try:
        partial.earliest  # noqa: B018 - the property asks the calendar
    except ValueError:
        raise PydanticCustomError("partial_date", "The calendar has no such date.") from None
    return partial


def read_instant(value: object) -> datetime:
    """Return an aware time from RFC 3339 text with an offset, which is kept."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if not isinstance(value, str) or not _INSTANT.match(value):
        raise PydanticCustomError(
            "instant", "A time with date, seconds and offset is needed: 2021-08-31T09:00:00+08:00."
        )
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise PydanticCustomError("instant", "The calendar has no such time.") from None


def read_moment(value: object) -> PartialDate | datetime:
    """Return a time with offset, or a date of which parts may be unknown."""
    if isinstance(value, str) and len(value) <= len("2021-08-31"):
        return read_partial_date(value)
    if isinstance(value, PartialDate):
        return value
    return read_instant(value)


_SMALLEST_TOO_LONG: Final = 10**MOST_DIGITS


def read_number(value: object) -> Decimal:
    """Return an exact number; text and booleans are none."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PydanticCustomError("TYPE", "A number is needed.")
    number = Decimal(value)
    if isinstance(value, int) and abs(value) < _SMALLEST_TOO_LONG:
        return number
    if not number.is_finite() or len(number.normalize().as_tuple().digits) > MOST_DIGITS:
        raise PydanticCustomError("PRECISION", "At most 15 significant digits are kept exactly.")
    if number and not -MOST_DIGITS <= number.adjusted() <= MOST_DIGITS:
        raise PydanticCustomError("RANGE", "No measurement is of this magnitude.")
    return number


def read_whole(value: object) -> int:
    """Return a whole number; 2.0 is one, 2.5, true and text are none."""
    if type(value) is int and abs(value) < _SMALLEST_TOO_LONG:
        return value
    number = read_number(value)
    if number != number.to_integral_value():
        raise PydanticCustomError("NOT_INTEGER", "A whole number is needed.")
    return int(number)


def read_flag(value: object) -> bool:
    """Return true or false; nothing else stands for them."""
    if not isinstance(value, bool):
        raise PydanticCustomError("TYPE", "true or false is needed.")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("blank", "A text is needed that is not blank.")
    return value


def instant_text(moment: datetime) -> str:
    """Return RFC 3339 text with the offset that the sender gave."""
    return moment.isoformat()


def _moment_text(moment: PartialDate | datetime) -> str:
    return moment.text if isinstance(moment, PartialDate) else moment.isoformat()


def _schema(**keywords: Any) -> WithJsonSchema:
    return WithJsonSchema(keywords)


class _Exact:
    """Reads a JSON number exactly; documents it as a number, with the limits beside it."""

    def __init__(self, read: Callable[[object], Decimal | int]) -> None:
        self.read = read

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        documented = handler(schema)
        forms = documented.get("anyOf", [documented])
        return next((form for form in forms if form.get("type") != "string"), {"type": "number"})


NUMBER = _Exact(read_number)
"""To limit a number: `Annotated[Decimal, Field(gt=0), NUMBER]`; the limits come first."""
WHOLE = _Exact(read_whole)
"""To limit a whole number: `Annotated[int, Field(ge=0, le=4), WHOLE]`."""

CalendarDate = Annotated[
    date,
    BeforeValidator(read_date),
    _schema(type="string", format="date", pattern=DATE_PATTERN, examples=["2021-08-31"]),
]
HistoryDate = Annotated[
    PartialDate,
    BeforeValidator(read_partial_date),
    PlainSerializer(str),
    _schema(type="string", pattern=PARTIAL_DATE_PATTERN, examples=["2021-08", "2021"]),
]
"""A date of a history, of which parts may be unknown."""
Instant = Annotated[
    datetime,
    BeforeValidator(read_instant),
    PlainSerializer(instant_text),
    _schema(
        type="string",
        format="date-time",
        pattern=INSTANT_PATTERN,
        examples=["2021-08-31T09:00:00+08:00"],
    ),
]
Moment = Annotated[
    PartialDate | datetime,
    BeforeValidator(read_moment),
    PlainSerializer(_moment_text),
    _schema(
        type="string",
        pattern=f"(?:{PARTIAL_DATE_PATTERN})|(?:{INSTANT_PATTERN})",
        examples=["2021-10-13T13:00:00+08:00", "2021-10"],
    ),
]
"""An onset or end: a time with offset, or a date of which parts may be unknown."""
Number = Annotated[Decimal, NUMBER]
Whole = Annotated[int, WHOLE]
Flag = Annotated[bool, BeforeValidator(read_flag)]
Code = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_not_blank)]
"""A code or a reference of another system."""
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_not_blank)]
"""A name as on paper, or a term."""
Reason = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_not_blank)]
Narrative = Annotated[str, Field(max_length=20_000)]
