from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from services.kernel.values import (
    WHOLE,
    CalendarDate,
    Code,
    HistoryDate,
    Instant,
    Moment,
    Number,
    PartialDate,
    Whole,
)


def fault_of(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(value)
    return str(refused.value.errors()[0]["type"])


@pytest.mark.parametrize(
    "value",
    [
        "2021-02-30",
        "0000-01-01",
        "1985-4-12",
        "1985-04",
        "19850412",
        482112000,
        "1985-04-12T00:00:00Z",
        "1899-12-31",
        "2200-01-01",
        "２021-01-01",  # noqa: RUF001 - a full-width digit is no digit here
        "2021-01-01\n",
    ],
)
def test_only_a_calendar_date_is_a_date(value: object) -> None:
    assert fault_of(CalendarDate, value) == "date"


@pytest.mark.parametrize(
    "value",
    [
        "2021-10-13T08:20:00",
        "2021-10-13T24:00:00Z",
        "2021-10-13T08:20:00+99:99",
        "2021-10-13",
        "2021-10-13T08:20Z",
        1634113200,
        "2021-02-30T08:20:00Z",
    ],
)
def test_a_time_needs_date_seconds_and_offset(value: object) -> None:
    assert fault_of(Instant, value) == "instant"


def test_the_offset_of_a_time_is_kept() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Instant)
    text = "2021-10-13T08:20:00+08:00"
    assert adapter.dump_python(adapter.validate_python(text)) == text


@pytest.mark.parametrize(
    ("text", "earliest", "latest"),
    [
        ("2021", date(2021, 1, 1), date(2021, 12, 31)),
        ("2020-02", date(2020, 2, 1), date(2020, 2, 29)),
        ("2021-08-31", date(2021, 8, 31), date(2021, 8, 31)),
    ],
)
def test_a_partial_date_has_two_extremes(text: str, earliest: date, latest: date) -> None:
    partial = TypeAdapter(HistoryDate).validate_python(text)
    assert (partial.earliest, partial.latest) == (earliest, latest)
    assert str(partial) == text


@pytest.mark.parametrize("value", ["2021-13", "21", "2021-02-30", "", 2021])
def test_what_no_calendar_has_is_no_partial_date(value: object) -> None:
    assert fault_of(HistoryDate, value) == "partial_date"


def test_a_moment_is_a_time_or_a_partial_date() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Moment)
    assert adapter.validate_python("2021-10") == PartialDate("2021-10")
    assert adapter.dump_python(adapter.validate_python("2021")) == "2021"
    assert adapter.validate_python("2021-10-13T08:20:00Z").tzinfo is not None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (True, "TYPE"),
        ("7", "TYPE"),
        (None, "TYPE"),
        ([], "TYPE"),
        (Decimal("1.2345678901234567"), "PRECISION"),
        (Decimal("1e30"), "RANGE"),
    ],
)
def test_only_a_number_is_a_number(value: object, code: str) -> None:
    assert fault_of(Number, value) == code


def test_two_point_zero_is_a_whole_number_and_a_half_is_not() -> None:
    assert TypeAdapter(Whole).validate_python(Decimal("2.0")) == 2
    assert fault_of(Whole, Decimal("1.5")) == "NOT_INTEGER"


@given(st.integers(0, 4))
def test_limits_hold_after_reading(value: int) -> None:
    grade: Any = Annotated[int, Field(ge=0, le=4), WHOLE]
    assert TypeAdapter(grade).validate_python(Decimal(value)) == value
    assert fault_of(grade, value + 5) == "less_than_equal"
    assert TypeAdapter(grade).json_schema() == {"type": "integer", "minimum": 0, "maximum": 4}


def test_a_blank_text_is_none() -> None:
    assert fault_of(Code, "  ") == "blank"
