"""The numbers of plots, as scoring answers them."""

from datetime import date as calendar_date
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from services.kernel.values import Instant
from services.scoring.routes.answered import Summary, Survival


class Axis(BaseModel):
    """What an axis shows, and in which unit."""

    label: str
    unit: str | None


class Plot(BaseModel):
    """What every plot says of itself; `counted` tells what n counts."""

    study: str
    as_of: Instant | None
    name: str
    title: str
    x: Axis
    y: Axis
    n: int
    counted: str


class CoursePoint(BaseModel):
    """One value, and the version of the record that it came from."""

    day: int
    date: calendar_date
    value: float
    record: UUID
    version: int


class CourseInfusion(BaseModel):
    """The day of an infusion."""

    day: int
    date: calendar_date


class CourseWindow(BaseModel):
    """A visit's window, in days from the first infusion."""

    visit: str
    target_day: int | None
    first_day: int
    last_day: int


class ResponseLine(BaseModel):
    """The value at which a response begins."""

    response: str
    value: float


class CoursePlot(Plot):
    """One participant's values by one instrument."""

    kind: Literal["course"]
    origin_date: calendar_date | None
    points: list[CoursePoint]
    infusions: list[CourseInfusion]
    windows: list[CourseWindow]
    responses: list[ResponseLine]


class VisitSummary(Summary):
    """The values at one visit."""

    visit: str
    day: int


class DayValue(BaseModel):
    """A value on a day."""

    day: int
    value: float


class ParticipantCourse(BaseModel):
    """One participant's values from baseline on."""

    participant: UUID
    points: list[DayValue]


class CoursesPlot(Plot):
    """One instrument by visit; each course by itself where there are at most 50."""

    kind: Literal["courses"]
    visits: list[VisitSummary]
    courses: list[ParticipantCourse]


class Bar(BaseModel):
    """One participant's improvement, by its rank."""

    rank: int
    participant: UUID
    baseline: float
    week12: float
    improvement_percent: float
    response: str | None


class WaterfallPlot(Plot):
    """The improvement at week 12, the best first; of more than 500, every so manyth."""

    kind: Literal["waterfall"]
    without_week12: int
    bars: list[Bar]


class Counted(BaseModel):
    """How many at a time, in days."""

    time: int
    n: int


class SurvivalPlot(Plot, Survival):
    """The share without relapse by the days since PASI-50; `last` is the last day seen."""

    kind: Literal["survival"]
    definition: str
    censored: list[Counted]
    at_risk: list[Counted]
    last: int


StudyPlot = CoursesPlot | WaterfallPlot | SurvivalPlot
