"""What scoring answers beside stored records: scores, outcomes, statistics."""

from datetime import date as calendar_date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from services.kernel.records import DocumentedAs, SettledQueries, Warned, Written
from services.scoring.domain.bsa import BsaAnswers
from services.scoring.domain.dlqi import DlqiAnswers
from services.scoring.domain.pasi import PasiAnswers
from services.scoring.domain.vas import VasAnswers
from services.scoring.domain.zung import ZungForm

AnyAnswers = PasiAnswers | VasAnswers | DlqiAnswers | ZungForm | BsaAnswers
Answers = Annotated[
    dict[str, Any],
    DocumentedAs(AnyAnswers),
    Field(description="The answers as on the form of the instrument."),
]
Limits = Annotated[list[float], Field(min_length=2, max_length=2)]


class PasiScore(BaseModel):
    """A scored PASI form; null where not all of all regions was graded."""

    valid: Literal[True]
    complete: bool
    missing: list[str]
    pasi: float | None
    pasi_tenths: int | None
    region_tenths: dict[str, int]
    warnings: list[str]
    meets_trial_pasi_gt_7: bool | None
    bsa_percent_from_regions: float | None


class VasScore(BaseModel):
    """A mark on the itch scale in mm, and its band."""

    valid: Literal[True]
    vas_mm: float | None
    category: str | None


class DlqiScore(BaseModel):
    """A scored DLQI form; without a total where more than one item is unanswered."""

    valid: Literal[True]
    total: int | None
    band: str | None
    missing_items: list[int]
    item7_score: int | None
    domains: dict[str, int | None]


class DlqiChanged(BaseModel):
    """The change between two totals, and whether it is a meaningful fall."""

    change: int | None
    mcid_improved: bool | None


class ZungIndex(BaseModel):
    """One of Zung's scales: raw score and index, with bounds where items are unanswered."""

    valid: Literal[True]
    missing_items: list[int]
    raw: int | None
    index: int | None
    index_min: int
    index_max: int
    exceeds_cutoff: bool | None


class BsaScore(BaseModel):
    """The skin affected, in percent of the body surface."""

    valid: Literal[True]
    bsa_percent: float | None


Derived = PasiScore | VasScore | DlqiScore | ZungIndex | BsaScore


class RowAnswer(BaseModel):
    """What became of one row: written, or why not."""

    index: Annotated[int, Field(ge=0, description="The row's place in the request, from 0.")]
    write: Written | None = None
    id: UUID | None = None
    version: int | None = None
    warnings: list[Warned] | None = None
    queries: SettledQueries | None = None
    problem: Annotated[
        dict[str, Any] | None, Field(description="As of a refusal of the row by itself.")
    ] = None


class Responses(BaseModel):
    """Responses by threshold; null where the improvement is undefined."""

    pasi50: bool | None
    pasi75: bool | None
    pasi90: bool | None
    pasi100: bool | None


class Improvement(Responses):
    """The improvement against baseline, and the response that it makes."""

    improvement_percent: float | None
    change: float | None
    worsened: bool | None
    reason: Literal["BASELINE_MISSING", "VALUE_MISSING", "BASELINE_ZERO"] | None


class FirstRelapse(BaseModel):
    """The place of the first relapse among the values by each definition, from 0."""

    literal: int | None
    npf: int | None
    ema: int | None


class DatedScore(BaseModel):
    """A PASI, and on which day of the study it was taken."""

    date: calendar_date
    pasi: float
    study_day: int | None


class CarriedScore(BaseModel):
    """The last PASI carried forward to week 12, and the improvement by it."""

    date: calendar_date
    pasi: float
    improvement_percent: float | None


class CarriedBaseline(BaseModel):
    """The improvement with a missing week 12 counted as none."""

    improvement_percent: float | None


class RelapsePeriod(BaseModel):
    """Relapse within one period, both ends included."""

    start: calendar_date
    end: calendar_date
    at_risk: bool
    evaluable: bool
    relapsed: bool
    relapse_date: calendar_date | None


class TimeToRelapse(BaseModel):
    """The days from the first response to the relapse, or to the last value."""

    origin_date: calendar_date
    event: bool
    days: int
    end_date: calendar_date


class RelapseFound(BaseModel):
    """Relapse in both periods."""

    treatment_period: RelapsePeriod
    follow_up_period: RelapsePeriod
    time_to_relapse: TimeToRelapse | None
    first_pasi50_date: calendar_date | None


class OutcomeAnswer(BaseModel):
    """A participant's outcomes: baseline, week 12, response, relapse; null where undefined."""

    baseline: DatedScore | None
    week12: DatedScore | None
    improvement_percent: float | None
    change: float | None
    responders_observed: Responses
    responders_nri: Responses | None
    locf: CarriedScore | None
    bocf: CarriedBaseline | None
    relapse: RelapseFound | None


class ProportionLimits(BaseModel):
    """A proportion with its exact limits, and those by score; null without anyone."""

    proportion: float | None
    clopper_pearson: Limits | None
    wilson: Limits | None


class CohortProportion(BaseModel):
    """A proportion of a cohort in percent, with its 95 % limits."""

    k: int
    n: int
    percent: float | None
    clopper_pearson_95: Limits | None
    wilson_95: Limits | None


class SignedRank(BaseModel):
    """Wilcoxon's signed rank test; no p without pairs that differ."""

    n_used: int
    w_plus: float
    p_two_sided: float | None
    method: Literal["exact", "normal"] | None = None


class SurvivalStep(BaseModel):
    """Survival after the events of one day."""

    time: int
    at_risk: int
    events: int
    survival: float


class Survival(BaseModel):
    """Survival at each event, and the median, null where it is not reached."""

    steps: list[SurvivalStep]
    median: int | None


class Summary(BaseModel):
    """n, mean, SD (n - 1), median, quartiles of type 7, and the extremes."""

    n: int
    mean: float | None
    sd: float | None
    median: float | None
    q1_type7: float | None
    q3_type7: float | None
    min: float | None
    max: float | None


class RelapseRates(BaseModel):
    """Relapse among those who had reached PASI-50, and among those who were seen again."""

    primary_relapsed_over_pasi50_achievers: CohortProportion
    sensitivity_evaluable_only: CohortProportion
    sensitivity_missing_is_relapse: CohortProportion | None = None


class CohortOutcomes(BaseModel):
    """The outcomes of all participants together; always with n."""

    n_analysed: int
    pasi50_nri: CohortProportion
    pasi50_observed: CohortProportion
    pasi75_nri: CohortProportion
    pasi75_observed: CohortProportion
    pasi90_nri: CohortProportion
    pasi90_observed: CohortProportion
    pasi100_nri: CohortProportion
    pasi100_observed: CohortProportion
    improvement_percent_observed: Summary
    improvement_percent_locf: Summary
    improvement_percent_bocf: Summary
    pasi_change_observed: Summary
    wilcoxon_baseline_minus_week12: SignedRank
    relapse_treatment_period: RelapseRates
    relapse_follow_up_period: RelapseRates
    kaplan_meier_time_to_relapse: Survival
