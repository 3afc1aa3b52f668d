"""What scoring answers about outcomes of stored records, each with its derivation."""

from datetime import date as calendar_date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from services.kernel.values import Instant
from services.scoring.routes.answered import (
    CohortOutcomes,
    CohortProportion,
    DatedScore,
    OutcomeAnswer,
    RelapseFound,
    Responses,
    SignedRank,
    Summary,
)


class UsedRecord(BaseModel):
    """The version of a record that was used; an assessment with its value and rule."""

    record: Literal["assessment", "infusion"]
    id: UUID
    version: int
    date: calendar_date
    value: float | None = None
    rule: Annotated[
        str | None, Field(description="The version of the rule that made the score.")
    ] = None


class UsedSetting(BaseModel):
    """A setting that was read, and where it comes from; `request` where the caller chose it."""

    value: str | int | list[str]
    source: str | None


class Window(BaseModel):
    """Week 12 and the days that count as it."""

    target_date: calendar_date | None
    window_start: calendar_date
    window_end: calendar_date


class Derivation(BaseModel):
    """How one outcome came about."""

    rule: str
    inputs: list[UsedRecord]
    settings: dict[str, UsedSetting]
    window: Window | None = None


class Week12Found(BaseModel):
    """Week 12 as one anchor finds it."""

    window: Window | None
    week12: DatedScore | None
    improvement_percent: float | None
    change: float | None
    responders_observed: Responses
    responders_nri: Responses | None


class ScaleValue(BaseModel):
    """A value of another instrument than PASI, in its unit."""

    date: calendar_date
    value: float
    study_day: int | None


class CarriedChange(ScaleValue):
    """The last value carried forward, and the change to it."""

    change: float | None


class Change(BaseModel):
    """A change from baseline."""

    change: float


class MeaningfulImprovement(BaseModel):
    """Whether the DLQI fell by at least 4 points, and whether it could."""

    reached: bool | None
    possible: bool | None


class ScaleOutcome(BaseModel):
    """What another instrument's values came to."""

    baseline: ScaleValue | None
    week12: ScaleValue | None
    change: float | None
    improvement_percent: float | None
    locf: CarriedChange | None
    bocf: Change | None
    meaningful_improvement: MeaningfulImprovement | None = None
    derivation: dict[str, Derivation]


class ParticipantOutcomes(OutcomeAnswer):
    """A participant's outcomes by every reading, with what each was derived from."""

    participant: UUID
    as_of: Instant | None
    week12_by_anchor: dict[str, Week12Found]
    relapse_by_definition: dict[str, RelapseFound | None]
    vas: ScaleOutcome | None = None
    bsa: ScaleOutcome | None = None
    dlqi: ScaleOutcome | None = None
    derivation: dict[str, Derivation]


class MeaningfulCount(CohortProportion):
    """How many improved by a meaningful fall of the DLQI, and how many could not."""

    baseline_below_4: int


class MeasureEstimate(BaseModel):
    """A registered outcome measure: `summary` or `proportion` is its primary estimate."""

    id: str
    type: Literal["primary", "secondary"]
    title: str
    time_frame: str
    source: str
    n: int
    unit: str
    analysis_set: str
    summary: Summary | None = None
    proportion: CohortProportion | None = None
    sensitivity: dict[str, Summary | CohortProportion]
    wilcoxon_baseline_minus_week12: SignedRank | None = None
    meaningful_improvement: MeaningfulCount | None = None


class AnalysisSet(BaseModel):
    """Who belongs to an analysis set, and how many."""

    n: int
    definition: str


class StudyDerivation(BaseModel):
    """How the study's outcomes came about; `positions`: how far each service's feed had come."""

    rules: dict[str, str]
    settings: dict[str, UsedSetting]
    positions: dict[str, int]


class StudyOutcomes(BaseModel):
    """The registered outcome measures, and the cohort that they follow from."""

    as_of: Instant | None
    measures: list[MeasureEstimate]
    analysis_sets: dict[str, AnalysisSet]
    cohort: CohortOutcomes
    derivation: StudyDerivation
