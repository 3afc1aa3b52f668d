"""A participant's course by one instrument: infusions and values, on dates of the site.

Source: rulebook section 2. Nothing is compared after rounding.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass as form
from pydantic_core import PydanticCustomError

from services.kernel.values import CalendarDate, Code, Instant
from services.protocol.visit_calendar import site_date
from services.scoring.domain.improvement import Points

CLOSED = ConfigDict(extra="forbid")
MOST_VALUES: Final = 5000


@form(frozen=True, kw_only=True, config=CLOSED)
class ValueInput:
    """One value, with its time where that is known, else with its date."""

    datetime: Instant | None = None
    date: CalendarDate | None = None
    pasi: Points | None = None

    @model_validator(mode="after")
    def _is_dated(self) -> "ValueInput":
        if (self.datetime is None) == (self.date is None):
            raise PydanticCustomError("dated", "Either a datetime or a date is needed.")
        return self


@form(frozen=True, kw_only=True, config=CLOSED)
class CourseInput:
    """A participant's infusions and values, in any order."""

    first_infusion_datetime: Instant | None = None
    assessments: Annotated[tuple[ValueInput, ...], Field(max_length=MOST_VALUES)] = ()
    infusion_dates: Annotated[tuple[CalendarDate, ...], Field(max_length=MOST_VALUES)] = ()
    id: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The version of a stored record that something was derived from.

    `rule`: the version of the rule that made its score; None where it has none.
    """

    kind: str
    id: UUID
    version: int
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of an instrument on a date of the site; `record` names where it came from."""

    on: date
    at: datetime | None = None
    value: Decimal | None
    record: Record | None = None

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts by day; on one day, what has no time comes first."""
        return (self.on, self.at is not None, self.at or 0, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Infusion:
    """One infusion on a date of the site; `at` None where its time is not known."""

    on: date
    at: datetime | None = None
    record: Record | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What outcomes follow from: the infusions in the order of time, and all values."""

    infusions: tuple[Infusion, ...]
    values: tuple[Value, ...]

    @property
    def first_infusion(self) -> Infusion | None:
        """The infusion with which treatment began."""
        return self.infusions[0] if self.infusions else None

    @property
    def first_infusion_on(self) -> date | None:
        """The day on which treatment began."""
        return self.infusions[0].on if self.infusions else None

    @property
    def last_infusion(self) -> Infusion | None:
        """The latest infusion."""
        return max(self.infusions, key=lambda one: one.on, default=None)

    @property
    def known(self) -> list[Value]:
        """The values that are not missing, in the order of time."""
        return sorted((one for one in self.values if one.value is not None), key=lambda v: v.order)

    @property
    def baseline(self) -> Value | None:
        """The last value at or before the first infusion; of the same day if without a time."""
        return next((one for one in reversed(self.known) if self.is_before(one)), None)

    @property
    def later(self) -> list[Value]:
        """The values after treatment began, in the order of time."""
        return [one for one in self.known if not self.is_before(one)]

    def is_before(self, value: Value) -> bool:
        """Tell whether a value counts as taken before treatment."""
        first = self.first_infusion
        if first is None:
            return True
        if value.at is None or first.at is None:
            return value.on <= first.on
        return value.at <= first.at


def read_course(asked: CourseInput, time_zone: str) -> Course:
    """Return the course that an evaluation describes; without a first infusion there is none."""
    first = asked.first_infusion_datetime
    infusions = []
    if first is not None:
        infusions = [Infusion(on=day) for day in sorted(asked.infusion_dates)]
        infusions.insert(0, Infusion(on=site_date(first, time_zone), at=first))
    return Course(
        infusions=tuple(infusions),
        values=tuple(
            Value(
                on=one.date or site_date(one.datetime, time_zone),  # type: ignore[arg-type]
                at=one.datetime,
                value=one.pasi,
            )
            for one in asked.assessments
        ),
    )
