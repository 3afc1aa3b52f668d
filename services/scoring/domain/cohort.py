"""Outcomes of all participants together, with the members of the cohort vectors.

Source: rulebook section 2. Analysis set for efficacy: at least one infusion, and a baseline
that is not zero.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as form

from services.scoring.domain.courses import CourseInput
from services.scoring.domain.improvement import THRESHOLDS
from services.scoring.domain.outcomes import Outcome
from services.scoring.domain.relapse_periods import Period, Relapse
from services.scoring.domain.statistics import (
    kaplan_meier,
    proportion,
    signed_rank,
    summarise,
)

MOST_PARTICIPANTS: Final = 10_000


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CohortInput:
    """The participants of a study."""

    participants: Annotated[tuple[CourseInput, ...], Field(max_length=MOST_PARTICIPANTS)]


def derive_cohort(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return the cohort's outcomes; always with n."""
    analysed = [outcome for outcome in outcomes if outcome.is_analysed]
    observed = [outcome for outcome in analysed if outcome.improvement is not None]
    cohort: dict[str, Any] = {"n_analysed": len(analysed)}
    for percent in THRESHOLDS:
        k = sum(outcome.has_response(percent) for outcome in analysed)
        cohort[f"pasi{percent}_nri"] = proportion(k, len(analysed))
        cohort[f"pasi{percent}_observed"] = proportion(k, len(observed))
    return {
        **cohort,
        "improvement_percent_observed": summarise(one.improvement for one in observed),
        "improvement_percent_locf": summarise(one.improvement_locf for one in analysed),
        "improvement_percent_bocf": summarise(one.improvement_bocf for one in analysed),
        "pasi_change_observed": summarise(one.change for one in observed),
        "wilcoxon_baseline_minus_week12": signed_rank(_falls(observed)),
        **_relapses([one.relapse for one in analysed if one.relapse is not None]),
    }


def _falls(observed: Sequence[Outcome]) -> list[Fraction]:
    return [-Fraction(one.change) for one in observed if one.change is not None]


def _relapses(relapses: Sequence[Relapse]) -> dict[str, Any]:
    treatment = _rates(relapses, lambda relapse: relapse.treatment)
    follow_up = _rates(relapses, lambda relapse: relapse.follow_up)
    at_risk = [one.follow_up for one in relapses if one.follow_up.at_risk]
    lost = sum(one.relapsed_on is not None or not one.evaluable for one in at_risk)
    follow_up["sensitivity_missing_is_relapse"] = proportion(lost, len(at_risk))
    return {
        "relapse_treatment_period": treatment,
        "relapse_follow_up_period": follow_up,
        "kaplan_meier_time_to_relapse": kaplan_meier(
            (one.days, one.is_event) for one in relapses if one.days is not None
        ),
    }


def _rates(relapses: Sequence[Relapse], period_of: Callable[[Relapse], Period]) -> dict[str, Any]:
    at_risk = [period for one in relapses if (period := period_of(one)).at_risk]
    evaluable = [period for period in at_risk if period.evaluable]
    k = sum(period.relapsed_on is not None for period in at_risk)
    return {
        "primary_relapsed_over_pasi50_achievers": proportion(k, len(at_risk)),
        "sensitivity_evaluable_only": proportion(k, len(evaluable)),
    }
