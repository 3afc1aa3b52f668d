import csv
import io
from typing import Any
from uuid import uuid4

import pytest

from tests.scoring.scoring_calls import (
    OTHER_SITE,
    Scoring,
    assessment,
    faults,
    identity,
    kind,
    pasi_of,
)

BASE, WEEK_12 = "2021-09-15T08:30:00+08:00", "2021-12-08T08:30:00+08:00"
WHY = "transcribed wrongly"
VECTOR_MEMBERS = (
    "baseline",
    "week12",
    "improvement_percent",
    "change",
    "responders_observed",
    "responders_nri",
    "locf",
    "bocf",
    "relapse",
)


def at(day: str, points: int) -> dict[str, Any]:
    return pasi_of(points, visit="unscheduled", assessed_at=f"{day}T08:30:00+08:00")


async def respond(scoring: Scoring, path: str, *tenths: int) -> list[dict[str, Any]]:
    """Record values at baseline, weeks 4, 12, 16 and 20."""
    days = ("2021-09-15", "2021-10-13", "2021-12-08", "2022-01-05", "2022-02-02")
    return [
        await scoring.assessed(path, at(day, value))
        for day, value in zip(days, tenths, strict=False)
    ]


async def outcome(scoring: Scoring, path: str, query: str = "") -> Any:
    answer = await scoring.get(f"{path}/outcomes{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def week12_version(found: Any) -> int:
    version: int = found["derivation"]["week12"]["inputs"][-1]["version"]
    return version


async def test_an_outcome_names_the_records_rules_and_settings_it_used(scoring: Scoring) -> None:
    path = await scoring.treated()
    base, between, week_12 = await respond(scoring, path, 200, 120, 48)
    found = await outcome(scoring, path)
    assert found["participant"] == str(identity(path))
    assert found["improvement_percent"] == 76
    assert found["responders_nri"] == {
        "pasi50": True,
        "pasi75": True,
        "pasi90": False,
        "pasi100": False,
    }
    derivation = found["derivation"]
    assert set(derivation) == set(VECTOR_MEMBERS)
    infusion, baseline = derivation["baseline"]["inputs"]
    assert (infusion["record"], infusion["version"]) == ("infusion", 1)
    assert baseline == {
        "record": "assessment",
        "id": base["id"],
        "version": 1,
        "rule": "pasi/1",
        "date": "2021-09-15",
        "value": 20,
    }
    assert derivation["week12"]["inputs"][-1]["id"] == week_12["id"]
    assert derivation["week12"]["window"] == {
        "target_date": "2021-12-08",
        "window_start": "2021-12-05",
        "window_end": "2021-12-11",
    }
    anchor = derivation["week12"]["settings"]["week12.anchor"]
    assert anchor["value"] == "first_infusion"
    assert anchor["source"].startswith("assumption: ")
    used = [one["id"] for one in derivation["relapse"]["inputs"]]
    assert {made["id"] for made in (base, between, week_12)} < set(used)
    assert len(set(used)) == len(used)
    assert all(one["rule"] for one in derivation.values())


async def test_every_reading_of_week_12_and_of_relapse_is_answered(scoring: Scoring) -> None:
    path = await scoring.treated("2021-09-15", "2021-11-10")
    for day, tenths in (("2021-09-15", 200), ("2021-12-08", 60), ("2022-02-02", 120)):
        await scoring.assessed(path, at(day, tenths))
    found = await outcome(scoring, path)
    assert {
        anchor: (one["window"]["target_date"], one["improvement_percent"])
        for anchor, one in found["week12_by_anchor"].items()
    } == {
        "first_infusion": ("2021-12-08", 70),
        "last_infusion": ("2022-02-02", 40),
        "end_of_treatment_period": ("2022-03-02", None),
    }
    assert found["week12_by_anchor"]["end_of_treatment_period"]["responders_nri"]["pasi50"] is False
    dates = {
        definition: one["follow_up_period"]["relapse_date"]
        for definition, one in found["relapse_by_definition"].items()
    }
    assert dates == {
        "improvement_below_50_percent": "2022-02-02",
        "npf_loss_of_50_percent_of_improvement": None,
        "ema_more_than_50_percent_of_best_improvement": None,
    }
    assert found["relapse"] == found["relapse_by_definition"]["improvement_below_50_percent"]


async def test_an_outcome_has_a_tag_of_its_content(scoring: Scoring) -> None:
    path = await scoring.treated()
    await respond(scoring, path, 200, 120, 48)
    for where in (f"{path}/outcomes", "/outcomes"):
        first = await scoring.get(where)
        again = await scoring.get(where, If_None_Match=first.headers["ETag"])
        assert (again.status_code, again.content) == (304, b"")


async def test_a_correction_shows_in_the_version_that_the_outcome_used(scoring: Scoring) -> None:
    path = await scoring.treated()
    *_, week_12 = await respond(scoring, path, 200, 120, 48)
    one = f"{path}/assessments/{week_12['id']}"
    body = at("2021-12-08", 120) | {"change_reason": WHY}
    assert (await scoring.put(one, body, If_Match='"1"')).status_code == 200
    now = await outcome(scoring, path)
    assert (now["improvement_percent"], week12_version(now)) == (40, 2)
    then = await outcome(scoring, path, f"?as_of={week_12['recorded_at']}")
    assert (then["improvement_percent"], week12_version(then)) == (76, 1)


async def test_what_was_retracted_is_left_out(scoring: Scoring) -> None:
    path = await scoring.treated()
    *_, week_12 = await respond(scoring, path, 200, 120, 48)
    one = f"{path}/assessments/{week_12['id']}/retraction"
    await scoring.post(one, {"reason": WHY}, If_Match='"1"')
    found = await outcome(scoring, path)
    assert found["week12"] is None
    assert found["responders_observed"]["pasi50"] is None
    assert found["responders_nri"]["pasi50"] is False
    assert found["locf"]["improvement_percent"] == 40
    assert found["bocf"] == {"improvement_percent": 0}


async def test_without_an_infusion_there_is_no_outcome_yet(scoring: Scoring) -> None:
    path = await scoring.consented()
    await respond(scoring, path, 200)
    found = await outcome(scoring, path)
    assert found["baseline"] == {"date": "2021-09-15", "pasi": 20, "study_day": None}
    assert found["week12"] is found["relapse"] is found["responders_nri"] is None
    assert found["derivation"]["week12"] == {
        "rule": found["derivation"]["week12"]["rule"],
        "inputs": [],
        "settings": found["derivation"]["week12"]["settings"],
        "window": None,
    }


async def test_the_order_of_entry_changes_nothing(scoring: Scoring) -> None:
    forward, backward = await scoring.treated(), await scoring.treated()
    values = [("2021-09-15", 200), ("2021-12-08", 100), ("2022-01-05", 120), ("2021-10-13", 80)]
    for day, tenths in values:
        await scoring.assessed(forward, at(day, tenths))
    for day, tenths in reversed(values):
        await scoring.assessed(backward, at(day, tenths))
    one, other = await outcome(scoring, forward), await outcome(scoring, backward)
    assert {name: one[name] for name in VECTOR_MEMBERS} == {
        name: other[name] for name in VECTOR_MEMBERS
    }
    assert one["relapse"]["follow_up_period"]["relapse_date"] == "2022-01-05"


async def test_other_instruments_change_from_baseline(scoring: Scoring) -> None:
    path = await scoring.treated()
    for when, value in ((BASE, 80), (WEEK_12, 30)):
        stated = {"visit": "unscheduled", "assessed_at": when}
        await scoring.assessed(path, assessment("vas", {"value": value, "unit": "mm"}, **stated))
        await scoring.assessed(path, assessment("bsa", {"percent": value}, **stated))
        items = {str(n): value // 30 for n in range(1, 11) if n != 7}
        seven = {"7": {"prevented": "no", "problem": None}}
        await scoring.assessed(path, assessment("dlqi", {"items": items | seven}, **stated))
    found = await outcome(scoring, path)
    assert {name: found[name]["change"] for name in ("vas", "bsa", "dlqi")} == {
        "vas": -50,
        "bsa": -50,
        "dlqi": -9,
    }
    assert found["vas"]["baseline"] == {"date": "2021-09-15", "value": 80, "study_day": 1}
    assert found["vas"]["improvement_percent"] == 62.5
    assert found["vas"]["locf"]["change"] == found["vas"]["bocf"]["change"] == -50
    assert found["dlqi"]["meaningful_improvement"] == {"reached": True, "possible": True}
    assert found["dlqi"]["derivation"]["change"]["inputs"][0]["rule"] == "dlqi/1"


async def test_a_change_that_is_missing_is_carried_or_counted_as_none(scoring: Scoring) -> None:
    path = await scoring.treated()
    for when, value in ((BASE, 80), ("2021-11-10T08:30:00+08:00", 30)):
        stated = {"visit": "unscheduled", "assessed_at": when}
        await scoring.assessed(path, assessment("vas", {"value": value, "unit": "mm"}, **stated))
    vas = (await outcome(scoring, path))["vas"]
    assert vas["week12"] is vas["change"] is None
    assert vas["locf"] == {"date": "2021-11-10", "value": 30, "study_day": 57, "change": -50}
    assert vas["bocf"] == {"change": 0}


async def test_a_relapse_is_dated_by_the_studys_definition(scoring: Scoring) -> None:
    path = await scoring.treated()
    await respond(scoring, path, 200, 80, 100, 104)
    relapse = (await outcome(scoring, path))["relapse"]
    assert relapse["treatment_period"]["relapsed"] is False
    assert relapse["follow_up_period"]["relapse_date"] == "2022-01-05"
    assert relapse["time_to_relapse"] == {
        "origin_date": "2021-10-13",
        "event": True,
        "days": 84,
        "end_date": "2022-01-05",
    }


async def test_as_of_is_a_time_that_has_come(scoring: Scoring) -> None:
    path = await scoring.treated()
    for where in (f"{path}/outcomes", "/outcomes"):
        future = await scoring.get(f"{where}?as_of=2100-01-01T00:00:00Z")
        assert faults(future) == {("as_of", "in_the_future")}
        for wrong in ("2021-01-01", "yesterday", "1609459200", ""):
            refused = await scoring.get(f"{where}?as_of={wrong}")
            assert faults(refused) == {("as_of", "instant")}


async def test_an_unknown_participant_has_no_outcomes(scoring: Scoring) -> None:
    stranger = "/participants/00000000-0000-4000-8000-000000000000"
    assert kind(await scoring.get(f"{stranger}/outcomes")) == (404, "not-found")
    assert kind(await scoring.get("/participants/no-id/outcomes")) == (404, "not-found")


@pytest.mark.parametrize("where", ["/participants/00000000-0000-4000-8000-000000000000", ""])
@pytest.mark.parametrize("role", ["participant", "edc", "admin", "safety_officer"])
async def test_who_may_not_read_outcomes_learns_nothing(
    scoring: Scoring, where: str, role: str
) -> None:
    assert kind(await scoring.get(f"{where}/outcomes", role=role)) == (403, "not-permitted")


async def test_the_study_reports_every_registered_measure_with_n(study_alone: Scoring) -> None:
    scoring = study_alone
    for tenths in ((200, 120, 100), (200, 120, 48), (200, 240), (200,), (0, 0, 0)):
        await respond(scoring, await scoring.treated(), *tenths)
    await respond(scoring, await scoring.consented(), 200)
    found = (await scoring.get("/outcomes", role="statistician")).json()
    measures = {one["id"]: one for one in found["measures"]}
    assert set(measures) == {
        "improvement_rate",
        "pasi",
        "relapse_treatment",
        "relapse_follow_up",
        "pasi50",
        "pasi75",
        "vas",
        "bsa",
        "dlqi",
    }
    assert found["cohort"]["n_analysed"] == 4
    assert (measures["pasi50"]["proportion"]["k"], measures["pasi50"]["proportion"]["n"]) == (2, 4)
    assert measures["improvement_rate"]["summary"]["mean"] == 63
    assert measures["vas"]["summary"]["n"] == 0
    assert {name: one["n"] for name, one in found["analysis_sets"].items()} == {
        "registered": 6,
        "treated": 5,
        "efficacy": 4,
        "observed": 2,
    }
    assert measures["pasi"]["sensitivity"]["bocf"]["n"] == 5
    assert measures["pasi"]["wilcoxon_baseline_minus_week12"]["n_used"] == 2
    assert measures["pasi75"]["sensitivity"]["observed"]["n"] == 2
    assert set(measures["relapse_follow_up"]["sensitivity"]) == {
        "evaluable_only",
        "missing_is_relapse",
    }
    assert measures["dlqi"]["meaningful_improvement"]["baseline_below_4"] == 0
    assert all(one["unit"] and one["analysis_set"] for one in measures.values())
    settings = found["derivation"]["settings"]
    assert settings["relapse.definition"] == {
        "value": "improvement_below_50_percent",
        "source": "registry: secondary outcome, relapse rate",
    }
    assert found["derivation"]["positions"]["scoring"] == 13
    assert "significan" not in str(found)


async def test_a_site_sees_its_own_participants_only(study_alone: Scoring) -> None:
    scoring = study_alone
    await respond(scoring, await scoring.treated(), 200, 120, 100)
    await respond(scoring, await scoring.treated(site=OTHER_SITE), 200, 120, 200)
    counts = [
        (await scoring.get("/outcomes", sites=sites)).json()["cohort"]["pasi50_nri"]
        for sites in (None, ["GDTCM"], [OTHER_SITE], [])
    ]
    assert [(one["k"], one["n"]) for one in counts] == [(1, 2), (1, 1), (0, 1), (0, 0)]


async def test_the_studys_outcomes_can_be_asked_as_they_stood(study_alone: Scoring) -> None:
    scoring = study_alone
    path = await scoring.treated()
    *_, week_12 = await respond(scoring, path, 200, 120, 100)
    then = week_12["recorded_at"]
    one = f"{path}/assessments/{week_12['id']}"
    body = at("2021-12-08", 120) | {"change_reason": WHY}
    await scoring.put(one, body, If_Match='"1"')
    await respond(scoring, await scoring.treated(), 200, 120, 0)
    now = (await scoring.get("/outcomes")).json()["cohort"]["pasi50_nri"]
    past = (await scoring.get(f"/outcomes?as_of={then}")).json()["cohort"]["pasi50_nri"]
    assert (now["k"], now["n"]) == (1, 2)
    assert (past["k"], past["n"]) == (1, 1)


async def test_what_was_corrected_or_retracted_counts_as_it_stands(study_alone: Scoring) -> None:
    scoring = study_alone
    path = await scoring.treated()
    _, between, week_12 = await respond(scoring, path, 200, 120, 48)
    for made, tenths in ((between, 90), (week_12, 100)):
        one = f"{path}/assessments/{made['id']}"
        body = at(made["assessed_at"][:10], tenths) | {"change_reason": WHY}
        assert (await scoring.put(one, body, If_Match='"1"')).status_code == 200
    assert (await scoring.get("/outcomes")).json()["cohort"]["pasi50_nri"]["k"] == 1
    gone = f"{path}/assessments/{week_12['id']}/retraction"
    await scoring.post(gone, {"reason": WHY}, If_Match='"2"')
    cohort = (await scoring.get("/outcomes")).json()["cohort"]
    assert (cohort["pasi50_nri"]["k"], cohort["pasi50_observed"]["n"]) == (0, 0)
    assert cohort["improvement_percent_locf"]["mean"] == 55


async def test_an_infusion_counts_as_it_stands(study_alone: Scoring) -> None:
    scoring = study_alone
    path = await scoring.consented()
    infusion = uuid4()
    first: dict[str, Any] = {"started_at": "2021-08-15T10:00:00+08:00", "resource_id": infusion}
    await scoring.tell(identity(path), "infusion", **first)
    await respond(scoring, path, 200, 120, 48)
    assert (await scoring.get("/outcomes")).json()["analysis_sets"]["efficacy"]["n"] == 0
    moved = {**first, "started_at": "2021-09-15T10:00:00+08:00", "version": 2}
    await scoring.tell(identity(path), "infusion", **moved)
    assert (await scoring.get("/outcomes")).json()["cohort"]["pasi75_nri"]["k"] == 1
    gone = {**moved, "record_status": "retracted", "version": 3}
    await scoring.tell(identity(path), "infusion", **gone)
    assert (await scoring.get("/outcomes")).json()["analysis_sets"]["treated"]["n"] == 0


async def test_another_reading_can_be_asked_of_the_study(study_alone: Scoring) -> None:
    scoring = study_alone
    path = await scoring.treated("2021-09-15", "2021-11-10")
    for day, tenths in (("2021-09-15", 200), ("2021-12-08", 60), ("2022-02-02", 120)):
        await scoring.assessed(path, at(day, tenths))
    other = "?week12_anchor=last_infusion&relapse_definition=npf_loss_of_50_percent_of_improvement"
    usual, asked = [(await scoring.get(f"/outcomes{query}")).json() for query in ("", other)]
    assert [one["cohort"]["pasi50_nri"]["k"] for one in (usual, asked)] == [1, 0]
    relapses = [one["cohort"]["relapse_follow_up_period"] for one in (usual, asked)]
    assert [one["primary_relapsed_over_pasi50_achievers"]["k"] for one in relapses] == [1, 0]
    settings = asked["derivation"]["settings"]
    assert settings["week12.anchor"] == {"value": "last_infusion", "source": "request"}
    assert settings["week12.tie"]["source"].startswith("assumption: ")
    refused = await scoring.get("/outcomes?week12_anchor=today")
    assert {parameter for parameter, _ in faults(refused)} == {"week12_anchor"}


async def test_the_measures_are_a_table_too(study_alone: Scoring) -> None:
    await respond(study_alone, await study_alone.treated(), 200, 120, 48)
    answer = await study_alone.get("/outcomes", Accept="text/csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    assert rows["improvement_rate"]["summary.mean"] == "76"
    assert rows["pasi75"]["proportion.k"] == rows["pasi75"]["n"] == "1"
    assert rows["pasi75"]["proportion.clopper_pearson_95"].startswith("[0.025")
    assert rows["relapse_follow_up"]["sensitivity.evaluable_only.n"] == "0"
    held = await study_alone.get(
        "/outcomes", Accept="text/csv", If_None_Match=answer.headers["ETag"]
    )
    assert held.status_code == 304
