"""The cohort's outcomes from columns, exact however many there are; the twin of `cohort`.

Sums are of whole numbers, grouped by baseline, so that no fraction grows beyond reason.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from services.protocol.settings import Settings
from services.protocol.study import Study
from services.scoring.domain.columns import NONE, Flags, Scan, Whole, week12_windows
from services.scoring.domain.dlqi import MEANINGFUL_FALL
from services.scoring.domain.improvement import THRESHOLDS, as_number
from services.scoring.domain.instruments import INSTRUMENTS
from services.scoring.domain.measures import study_view
from services.scoring.domain.outcome_columns import (
    Outcomes,
    Periods,
    Relapses,
    derive_outcomes,
    derive_relapses,
)
from services.scoring.domain.statistics import (
    LARGEST_EXACT,
    approximate_p,
    kaplan_meier,
    proportion,
    signed_rank,
    summary,
)


def study_view_of_columns(scan: Scan, study: Study, settings: Settings) -> dict[str, Any]:
    """Return the registered outcome measures and the cohort.

    One instrument is looked at after the other, so that no more than one of them is held in
    its order.
    """
    treatment = scan.treatment()
    windows = week12_windows(treatment, study, settings)
    changes = {}
    for instrument in scan.instruments:
        outcomes = derive_outcomes(scan.values(instrument), treatment, windows, settings)
        changes[instrument] = derive_changes(outcomes, instrument)
        if instrument == "pasi":
            cohort = derive_cohort_of_columns(outcomes, settings)
            counts = {
                "registered": len(treatment.first_on),
                "treated": int(treatment.is_treated.sum()),
                "efficacy": int(outcomes.is_analysed.sum()),
                "observed": int(outcomes.is_observed.sum()),
            }
    return study_view(study, settings, cohort, changes, counts)


def derive_changes(outcomes: Outcomes, instrument: str) -> dict[str, Any]:
    """Return the change from baseline to week 12 by one instrument, and what it depends on."""
    parts = INSTRUMENTS[instrument].parts
    at_week12 = outcomes.changes_to(outcomes.week12)
    is_known = outcomes.is_measured & (outcomes.week12 != NONE)
    to_baseline = np.where(is_known, outcomes.week12, outcomes.baseline)
    found = {
        "summary": summarise_whole(at_week12, parts),
        "sensitivity": {
            "locf": summarise_whole(outcomes.changes_to(outcomes.carried), parts),
            "bocf": summarise_whole(outcomes.changes_to(to_baseline), parts),
        },
        "wilcoxon_baseline_minus_week12": signed_rank_of_whole(-at_week12, parts),
    }
    if instrument != "dlqi":
        return found
    starts = outcomes.baseline[is_known]
    return {
        **found,
        "meaningful_improvement": {
            **proportion(int((-at_week12 >= MEANINGFUL_FALL).sum()), len(at_week12)),
            "baseline_below_4": int((starts < MEANINGFUL_FALL).sum()),
        },
    }


def derive_cohort_of_columns(outcomes: Outcomes, settings: Settings) -> dict[str, Any]:
    """Return the members of the cohort vectors."""
    parts = INSTRUMENTS["pasi"].parts
    is_observed, is_analysed = outcomes.is_observed, outcomes.is_analysed
    baseline, week12 = outcomes.baseline[is_observed], outcomes.week12[is_observed]
    falls = baseline - week12
    cohort: dict[str, Any] = {"n_analysed": int(is_analysed.sum())}
    for percent in THRESHOLDS:
        k = int((100 * falls >= percent * baseline).sum())
        cohort[f"pasi{percent}_nri"] = proportion(k, int(is_analysed.sum()))
        cohort[f"pasi{percent}_observed"] = proportion(k, len(falls))
    is_carried = is_analysed & (outcomes.carried != NONE)
    start = outcomes.baseline[is_analysed]
    end = np.where(is_observed, outcomes.week12, outcomes.baseline)[is_analysed]
    return {
        **cohort,
        "improvement_percent_observed": summarise_improvement(baseline, week12),
        "improvement_percent_locf": summarise_improvement(
            outcomes.baseline[is_carried], outcomes.carried[is_carried]
        ),
        "improvement_percent_bocf": summarise_improvement(start, end),
        "pasi_change_observed": summarise_whole(-falls, parts),
        "wilcoxon_baseline_minus_week12": signed_rank_of_whole(falls, parts),
        **_relapses(derive_relapses(outcomes, settings)),
    }


def _relapses(relapses: Relapses) -> dict[str, Any]:
    is_defined = relapses.is_defined
    follow_up = relapses.follow_up
    is_lost = (follow_up.relapsed_on != NONE) | ~follow_up.evaluable
    at_risk = is_defined & follow_up.at_risk
    days, events = relapses.followed
    return {
        "relapse_treatment_period": _rates(relapses.treatment, is_defined),
        "relapse_follow_up_period": {
            **_rates(follow_up, is_defined),
            "sensitivity_missing_is_relapse": proportion(
                int((at_risk & is_lost).sum()), int(at_risk.sum())
            ),
        },
        "kaplan_meier_time_to_relapse": kaplan_meier(
            zip(days.tolist(), events.tolist(), strict=True)
        ),
    }


def _rates(period: Periods, is_defined: Flags) -> dict[str, Any]:
    at_risk = is_defined & period.at_risk
    k = int((at_risk & (period.relapsed_on != NONE)).sum())
    return {
        "primary_relapsed_over_pasi50_achievers": proportion(k, int(at_risk.sum())),
        "sensitivity_evaluable_only": proportion(k, int((at_risk & period.evaluable).sum())),
    }


def summarise_whole(values: Whole, parts: int) -> dict[str, Any]:
    """Return the summary of whole numbers of parts."""
    ordered = np.sort(values)
    n = len(ordered)
    if n == 0:
        return summary(0, None, None, lambda _: Fraction(0))
    total = int(ordered.sum())
    squares = int((ordered * ordered).sum())
    return summary(
        n,
        Fraction(total, n * parts),
        Fraction(n * squares - total * total, n * parts * parts),
        lambda at: Fraction(int(ordered[at]), parts),
    )


def summarise_improvement(baseline: Whole, value: Whole) -> dict[str, Any]:
    """Return the summary of improvements in percent; no baseline is zero."""
    n = len(baseline)
    if n == 0:
        return summary(0, None, None, lambda _: Fraction(0))
    falls = baseline - value
    # Quotients of whole numbers below 2**20 are in the order of their doubles: equal ones are
    # equal doubles, and others differ by more than a double's last digit.
    order = np.argsort(falls / baseline, kind="stable")
    total, squares = _sums_by_baseline(baseline, falls)
    return summary(
        n,
        total / n,
        squares - total * total / n,
        lambda at: 100 * Fraction(int(falls[order[at]]), int(baseline[order[at]])),
    )


def _sums_by_baseline(baseline: Whole, falls: Whole) -> tuple[Fraction, Fraction]:
    """Return the sums of the improvements in percent, and of their squares."""
    order = np.argsort(baseline, kind="stable")
    known, starts = np.unique(baseline[order], return_index=True)
    sums = np.add.reduceat(falls[order], starts)
    squares = np.add.reduceat(falls[order] ** 2, starts)
    total = sum(
        (Fraction(100 * int(s), int(b)) for b, s in zip(known, sums, strict=True)), Fraction()
    )
    square = sum(
        (Fraction(10_000 * int(s), int(b) ** 2) for b, s in zip(known, squares, strict=True)),
        Fraction(),
    )
    return total, square


def signed_rank_of_whole(differences: Whole, parts: int) -> dict[str, Any]:
    """Return Wilcoxon's signed rank test of whole numbers of parts."""
    used = differences[differences != 0]
    if len(used) <= LARGEST_EXACT:
        return signed_rank(Fraction(one, parts) for one in used.tolist())
    _, place, counts = np.unique(np.abs(used), return_inverse=True, return_counts=True)
    doubled = 2 * (np.cumsum(counts) - counts) + counts + 1
    positive = int(doubled[place][used > 0].sum())
    pairs = list(zip(doubled.tolist(), counts.tolist(), strict=True))
    return {
        "n_used": len(used),
        "w_plus": as_number(Fraction(positive, 2)),
        **approximate_p(
            sum(rank * count for rank, count in pairs),
            sum(rank * rank * count for rank, count in pairs),
            positive,
        ),
    }
