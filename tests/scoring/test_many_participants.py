"""The benchmark's study, small: both ways to its outcomes meet in the same numbers."""

from statistics import mean, median
from typing import Any
from uuid import UUID

from benchmarks.outcomes import fill
from benchmarks.stage import PARTICIPANTS, participant
from tests.scoring.scoring_calls import Scoring

SO_MANY = 40


def owner(number: int) -> UUID:
    return participant(PARTICIPANTS + number)


async def test_a_studys_outcomes_are_those_of_its_participants(
    study_alone: Scoring, scoring_database: str
) -> None:
    await fill(scoring_database, study_alone.study, 1, SO_MANY)
    study = (await study_alone.get("/outcomes")).json()
    each: list[dict[str, Any]] = [
        (await study_alone.get(f"/participants/{owner(number)}/outcomes")).json()
        for number in range(1, SO_MANY + 1)
    ]
    assert study["analysis_sets"]["efficacy"]["n"] == SO_MANY
    cohort = study["cohort"]
    found = [one["improvement_percent"] for one in each if one["improvement_percent"] is not None]
    summary = cohort["improvement_percent_observed"]
    assert summary["n"] == len(found)
    assert abs(summary["mean"] - mean(found)) < 1e-9
    assert abs(summary["median"] - median(found)) < 1e-9
    for name in ("pasi50", "pasi75"):
        assert cohort[f"{name}_nri"]["k"] == sum(one["responders_nri"][name] for one in each)
    periods = [one["relapse"]["follow_up_period"] for one in each]
    rate = cohort["relapse_follow_up_period"]["primary_relapsed_over_pasi50_achievers"]
    assert rate["k"] == sum(one["relapsed"] for one in periods)
    assert rate["n"] == sum(one["at_risk"] for one in periods)
    measures = {one["id"]: one for one in study["measures"]}
    for name in ("vas", "dlqi"):
        changes = [one[name]["change"] for one in each if one[name]["change"] is not None]
        assert abs(measures[name]["summary"]["mean"] - mean(changes)) < 1e-9
