"""The numbers of a study's plots, from columns: courses, waterfall, time to relapse.

Source: rulebook section 2. Nobody is named but by the participant's id.
"""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import numpy as np

from services.protocol.settings import Settings
from services.protocol.study import Study, VisitPlan
from services.scoring.domain.cohort_columns import summarise_whole
from services.scoring.domain.columns import NONE, Scan, Whole, Windows, pick, week12_windows
from services.scoring.domain.improvement import as_number, improvement_percent, responders
from services.scoring.domain.instruments import INSTRUMENTS
from services.scoring.domain.outcome_columns import (
    Outcomes,
    derive_outcomes,
    derive_relapses,
    nearest,
)
from services.scoring.domain.participant_plots import title_of
from services.scoring.domain.statistics import kaplan_meier

MOST_COURSES: Final = 50
"""Participants up to whom each course is drawn by itself."""
MOST_BARS: Final = 500
_TICK_DAYS: Final = 28


def courses_plot(
    scan: Scan, instrument: str, owners: Sequence[UUID], study: Study, settings: Settings
) -> dict[str, Any]:
    """Return one instrument over time: a summary at each visit, and few participants' courses.

    A value counts at a visit when it is the nearest
    to the target in the visit's window; baseline stands at day 0.
    """
    outcomes = _outcomes(scan, instrument, study, settings)
    is_shown = outcomes.is_measured
    so_many = int(is_shown.sum())
    return {
        "kind": "courses",
        "name": instrument,
        "title": f"{title_of(study, instrument)} over time",
        "x": {"label": "Days since the first infusion", "unit": "d"},
        "y": {"label": instrument.upper(), "unit": INSTRUMENTS[instrument].unit},
        "n": so_many,
        "counted": "participants",
        "visits": _visits(outcomes, study, settings, instrument),
        "courses": _courses(outcomes, owners, instrument) if so_many <= MOST_COURSES else [],
    }


def _outcomes(scan: Scan, instrument: str, study: Study, settings: Settings) -> Outcomes:
    treatment = scan.treatment()
    windows = week12_windows(treatment, study, settings)
    return derive_outcomes(scan.values(instrument), treatment, windows, settings)


def _visits(
    outcomes: Outcomes, study: Study, settings: Settings, instrument: str
) -> list[dict[str, Any]]:
    parts = INSTRUMENTS[instrument].parts
    start = outcomes.baseline[outcomes.is_measured]
    found = [{"visit": "baseline", "day": 0, **summarise_whole(start, parts)}]
    for plan in study.visits:
        if not plan.offset_days:
            continue
        windows = _windows(plan, outcomes.treatment.first_on)
        at_visit = pick(outcomes.later.score, nearest(outcomes.later, windows, settings))
        values = at_visit[outcomes.is_measured & (at_visit != NONE)]
        summary = summarise_whole(values, parts)
        found.append({"visit": plan.code, "day": plan.offset_days, **summary})
    return found


def _windows(plan: VisitPlan, first_on: Whole) -> Windows:
    """Return everybody's window of a visit; nobody's value lies in that of an untreated one."""
    target = first_on + (plan.offset_days or 0)
    return Windows(
        target=target,
        first_day=target - (plan.window_before_days or 0),
        last_day=target + (plan.window_after_days or 0),
        follow_up_ends=target,
    )


def _courses(outcomes: Outcomes, owners: Sequence[UUID], instrument: str) -> list[dict[str, Any]]:
    parts = INSTRUMENTS[instrument].parts
    later, first_on = outcomes.later, outcomes.treatment.first_on
    found = []
    for number in np.flatnonzero(outcomes.is_measured).tolist():
        rows = np.flatnonzero(later.owner == number)
        days = (later.on[rows] - first_on[number]).tolist()
        values = [_shown(int(outcomes.baseline[number]), parts)]
        values += [_shown(score, parts) for score in later.score[rows].tolist()]
        points = [
            {"day": day, "value": value} for day, value in zip([0, *days], values, strict=True)
        ]
        found.append({"participant": owners[number], "points": points})
    return found


def waterfall_plot(
    scan: Scan, owners: Sequence[UUID], study: Study, settings: Settings
) -> dict[str, Any]:
    """Return the improvement at week 12 of everyone who has one, the best first.

    Of more than 500 every so manyth is given, with its rank.
    """
    outcomes = _outcomes(scan, "pasi", study, settings)
    numbers = np.flatnonzero(outcomes.is_observed)
    falls = outcomes.baseline[numbers] - outcomes.week12[numbers]
    ranked = numbers[np.argsort(-falls / outcomes.baseline[numbers], kind="stable")]
    shown = np.unique(np.linspace(0, max(len(ranked) - 1, 0), MOST_BARS).astype(np.int64))
    ranks = shown.tolist() if len(ranked) > MOST_BARS else list(range(len(ranked)))
    return {
        "kind": "waterfall",
        "name": "waterfall",
        "title": "PASI improvement from baseline to week 12",
        "x": {"label": "Participants, the best improved first", "unit": None},
        "y": {"label": "Improvement", "unit": "%"},
        "n": len(ranked),
        "counted": "participants with a value",
        "without_week12": int(outcomes.is_analysed.sum()) - len(ranked),
        "bars": [_bar(outcomes, int(ranked[rank]), rank, owners) for rank in ranks],
    }


def _bar(outcomes: Outcomes, number: int, rank: int, owners: Sequence[UUID]) -> dict[str, Any]:
    parts = INSTRUMENTS["pasi"].parts
    baseline, week12 = (
        _shown(int(column[number]), parts) for column in (outcomes.baseline, outcomes.week12)
    )
    improvement = improvement_percent(baseline, week12)
    reached = [name for name, is_reached in responders(improvement).items() if is_reached]
    return {
        "rank": rank + 1,
        "participant": owners[number],
        "baseline": baseline,
        "week12": week12,
        "improvement_percent": as_number(improvement),
        "response": reached[-1] if reached else None,
    }


def _shown(score: int, parts: int) -> Decimal:
    return Decimal(score) / parts


def survival_plot(scan: Scan, study: Study, settings: Settings) -> dict[str, Any]:
    """Return the share without relapse by the days since PASI-50, with the numbers at risk."""
    outcomes = _outcomes(scan, "pasi", study, settings)
    relapses = derive_relapses(outcomes, settings)
    days, events = relapses.followed
    censored = Counter(days[~events].tolist())
    longest = int(days.max()) if len(days) else 0
    return {
        "kind": "survival",
        "name": "kaplan-meier",
        "title": "Time from PASI-50 to relapse",
        "x": {"label": "Days since PASI-50 was reached", "unit": "d"},
        "y": {"label": "Share without relapse", "unit": None},
        "n": len(days),
        "counted": "participants with PASI-50",
        "definition": settings.relapse.definition,
        **kaplan_meier(zip(days.tolist(), events.tolist(), strict=True)),
        "censored": [{"time": day, "n": censored[day]} for day in sorted(censored)],
        "at_risk": [
            {"time": day, "n": int((days >= day).sum())}
            for day in range(0, longest + _TICK_DAYS, _TICK_DAYS)
        ],
        "last": longest,
    }
