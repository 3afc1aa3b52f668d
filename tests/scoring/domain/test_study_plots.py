"""Plots of many participants stay small, and say the same as the outcomes."""

from typing import Any
from uuid import UUID

import numpy as np

from services.protocol.loading import load_studies
from services.scoring.domain.cohort_columns import study_view_of_columns
from services.scoring.domain.study_plots import (
    MOST_BARS,
    courses_plot,
    survival_plot,
    waterfall_plot,
)
from services.scoring.figures import draw
from tests.scoring.domain.test_columns import as_scan, course

STUDY = load_studies()["NCT03745417"]


def many(so_many: int) -> list[Any]:
    """Return participants with values at baseline and weeks 4, 12, 16 and 20."""
    chance = np.random.default_rng(5)
    return [
        course(int(chance.integers(1, 721)), *(int(one) for one in chance.integers(0, 400, 4)))
        for _ in range(so_many)
    ]


def owners(so_many: int) -> list[UUID]:
    return [UUID(int=number) for number in range(so_many)]


def test_of_many_every_so_manyth_bar_is_given() -> None:
    scan = as_scan(many(1300))
    plot = waterfall_plot(scan, owners(1300), STUDY, STUDY.settings)
    ranks = [bar["rank"] for bar in plot["bars"]]
    values = [bar["improvement_percent"] for bar in plot["bars"]]
    assert (len(ranks), ranks[0], ranks[-1]) == (MOST_BARS, 1, plot["n"])
    assert b"</svg>" in draw(plot, "of many")
    assert ranks == sorted(set(ranks))
    assert values == sorted(values, reverse=True)
    cohort = study_view_of_columns(scan, STUDY, STUDY.settings)["cohort"]
    assert (values[0], values[-1]) == (
        cohort["improvement_percent_observed"]["max"],
        cohort["improvement_percent_observed"]["min"],
    )


def test_of_many_no_course_is_given_by_itself() -> None:
    plot = courses_plot(as_scan(many(60)), "pasi", owners(60), STUDY, STUDY.settings)
    assert plot["courses"] == []
    assert [visit["n"] for visit in plot["visits"] if visit["visit"] == "W12"] == [60]


def test_the_curve_is_that_of_the_outcomes() -> None:
    scan = as_scan(many(200))
    plot = survival_plot(scan, STUDY, STUDY.settings)
    cohort = study_view_of_columns(scan, STUDY, STUDY.settings)["cohort"]
    curve = cohort["kaplan_meier_time_to_relapse"]
    assert {name: plot[name] for name in curve} == curve
    lost = sum(one["n"] for one in plot["censored"])
    assert lost + sum(step["events"] for step in plot["steps"]) == plot["n"]
    assert plot["at_risk"][0]["n"] == plot["n"]
    at_risk = {one["time"]: one["n"] for one in plot["at_risk"]}
    for step in plot["steps"]:
        assert at_risk.get(step["time"], step["at_risk"]) == step["at_risk"]
