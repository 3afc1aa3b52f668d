"""Plots as a picture, as numbers and as a table."""

import asyncio
import csv
import io
import re
from typing import Any
from xml.etree import ElementTree as ET

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

SVG = "image/svg+xml"
STUDY_PLOTS = ("pasi", "waterfall", "kaplan-meier")
DAYS = ("2021-09-15", "2021-10-13", "2021-12-08", "2022-01-05", "2022-02-02")


async def respond(scoring: Scoring, path: str, *tenths: int) -> list[dict[str, Any]]:
    """Record values at baseline, weeks 4, 12, 16 and 20."""
    return [
        await scoring.assessed(
            path, pasi_of(value, visit="unscheduled", assessed_at=f"{day}T08:30:00+08:00")
        )
        for day, value in zip(DAYS, tenths, strict=False)
    ]


async def numbers(scoring: Scoring, path: str) -> Any:
    answer = await scoring.get(path, Accept="application/json")
    assert answer.status_code == 200, answer.text
    return answer.json()


def texts(picture: str) -> list[str]:
    """Return all that is written in a picture."""
    root = ET.fromstring(picture)  # noqa: S314 - our own
    written = (node.text for node in root.iter() if node.tag.endswith("text"))
    return [text for text in written if text]


@pytest.fixture
async def cohort(study_alone: Scoring) -> Scoring:
    """Four treated participants and one who is not."""
    for tenths in ((200, 120, 40, 48, 120), (200, 90, 100, 80), (200, 220, 240), (200, 100)):
        await respond(study_alone, await study_alone.treated(), *tenths)
    await respond(study_alone, await study_alone.consented(), 200)
    return study_alone


async def test_a_participants_course_has_values_windows_and_infusions(scoring: Scoring) -> None:
    path = await scoring.treated("2021-09-15", "2021-09-29")
    base, *_ = await respond(scoring, path, 200, 120, 48)
    plot = await numbers(scoring, f"{path}/plots/pasi")
    assert [(one["day"], one["value"]) for one in plot["points"]] == [(0, 20), (28, 12), (84, 4.8)]
    assert (plot["points"][0]["record"], plot["points"][0]["version"]) == (base["id"], 1)
    assert [one["day"] for one in plot["infusions"]] == [0, 14]
    assert {"visit": "W12", "target_day": 84, "first_day": 81, "last_day": 87} in plot["windows"]
    assert {"visit": "SCR", "target_day": None, "first_day": -28, "last_day": -1} in (
        plot["windows"]
    )
    assert [(one["response"], one["value"]) for one in plot["responses"]] == [
        ("PASI-50", 10),
        ("PASI-75", 5),
    ]
    assert (plot["n"], plot["y"]) == (3, {"label": "PASI", "unit": "points"})


async def test_before_an_infusion_days_count_from_the_first_value(scoring: Scoring) -> None:
    path = await scoring.consented()
    empty = await numbers(scoring, f"{path}/plots/pasi")
    assert (empty["points"], empty["origin_date"]) == ([], None)
    await respond(scoring, path, 200, 120)
    plot = await numbers(scoring, f"{path}/plots/pasi")
    assert [one["day"] for one in plot["points"]] == [0, 28]
    assert plot["windows"] == plot["infusions"] == plot["responses"] == []


async def test_every_instrument_has_its_course(scoring: Scoring) -> None:
    path = await scoring.treated()
    await scoring.assessed(path, assessment("vas", {"value": 41, "unit": "mm"}))
    plot = await numbers(scoring, f"{path}/plots/vas")
    assert (plot["points"][0]["value"], plot["y"]["unit"]) == (41, "mm")
    assert plot["responses"] == []


async def test_the_study_has_its_courses_by_visit(cohort: Scoring) -> None:
    plot = await numbers(cohort, "/plots/pasi")
    visits = {one["visit"]: one for one in plot["visits"]}
    assert [visits[code]["n"] for code in ("baseline", "W4", "W12", "W16", "W20", "W24")] == [
        4,
        4,
        3,
        2,
        1,
        0,
    ]
    assert (visits["W4"]["median"], visits["W12"]["min"]) == (11, 4)
    assert visits["W24"]["median"] is None
    assert (plot["n"], len(plot["courses"])) == (4, 4)
    assert sorted((len(one["points"]) for one in plot["courses"]), key=[4, 5, 3, 2].index) == [
        4,
        5,
        3,
        2,
    ]


async def test_the_waterfall_ranks_everyone_with_a_week_12(cohort: Scoring) -> None:
    plot = await numbers(cohort, "/plots/waterfall")
    assert [(one["rank"], one["improvement_percent"], one["response"]) for one in plot["bars"]] == [
        (1, 80, "pasi75"),
        (2, 50, "pasi50"),
        (3, -20, None),
    ]
    assert (plot["n"], plot["without_week12"]) == (3, 1)


async def test_survival_has_its_steps_and_the_numbers_at_risk(cohort: Scoring) -> None:
    plot = await numbers(cohort, "/plots/kaplan-meier")
    # Of three with PASI-50 one relapses on day 56; two are seen last on days 0 and 84.
    assert [(one["time"], one["at_risk"], one["events"]) for one in plot["steps"]] == [(56, 2, 1)]
    assert plot["censored"] == [{"time": 0, "n": 1}, {"time": 84, "n": 1}]
    assert [(one["time"], one["n"]) for one in plot["at_risk"]] == [
        (0, 3),
        (28, 2),
        (56, 2),
        (84, 1),
    ]
    assert plot["median"] == 56


async def test_a_picture_says_what_it_shows(cohort: Scoring) -> None:
    path = await cohort.treated()
    await respond(cohort, path, 200, 120, 48)
    expected = {
        f"{path}/plots/pasi": ("PASI (points)", "(values: n = 3)", "W12", "infusion", "PASI-50"),
        "/plots/pasi": ("PASI (points)", "(participants: n = 5)", "n = 4", "median, quartiles"),
        "/plots/waterfall": ("Improvement (%)", "n = 4)", "PASI-75", "no PASI-50"),
        "/plots/kaplan-meier": ("Share without relapse", "number at risk", "censored", "(d)"),
    }
    for where, words in expected.items():
        answer = await cohort.get(where, Accept=SVG)
        assert answer.headers["Content-Type"] == f"{SVG}; charset=utf-8"
        written = texts(answer.text)
        for word in (*words, cohort.study):
            assert any(word in text for text in written), (where, word)


async def test_a_picture_is_the_same_each_time_and_names_nobody(cohort: Scoring) -> None:
    path = await cohort.treated()
    await respond(cohort, path, 200, 120, 48)
    for where in (f"{path}/plots/pasi", *(f"/plots/{name}" for name in STUDY_PLOTS)):
        first, again = [await cohort.get(where, Accept=SVG) for _ in range(2)]
        assert first.content == again.content
        held = await cohort.get(where, Accept=SVG, If_None_Match=first.headers["ETag"])
        assert (held.status_code, held.content) == (304, b"")
        assert str(identity(path)) not in first.text
        assert not re.search(r"\b20\d\d-\d\d-\d\d", first.text)
        assert "atplotlib v" not in first.text


async def test_a_picture_differs_without_colour(cohort: Scoring) -> None:
    for name in STUDY_PLOTS:
        picture = (await cohort.get(f"/plots/{name}", Accept=SVG)).text
        colours = set(re.findall(r"#[0-9a-f]{6}", picture))
        assert all(colour[1:3] == colour[3:5] == colour[5:7] for colour in colours)


async def test_nothing_yet_is_a_picture_too(study_alone: Scoring) -> None:
    for name in STUDY_PLOTS:
        picture = (await study_alone.get(f"/plots/{name}", Accept=SVG)).text
        assert "nothing yet" in texts(picture)


async def test_before_an_infusion_a_course_is_a_picture_too(scoring: Scoring) -> None:
    path = await scoring.consented()
    await respond(scoring, path, 200)
    written = texts((await scoring.get(f"{path}/plots/pasi", Accept=SVG)).text)
    assert "Days (d)" in written
    assert "infusion" not in written


async def test_a_picture_says_as_of_when(cohort: Scoring) -> None:
    path = await cohort.treated()
    made = await respond(cohort, path, 200)
    picture = (await cohort.get(f"/plots/pasi?as_of={made[0]['recorded_at']}", Accept=SVG)).text
    await respond(cohort, path, 100)
    assert any(f"as of {made[0]['recorded_at'][:10]}" in text for text in texts(picture))
    future = await cohort.get("/plots/pasi?as_of=2100-01-01T00:00:00Z")
    assert faults(future) == {("as_of", "in_the_future")}


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("*/*", SVG),
        ("image/*", SVG),
        ("application/json", "application/json"),
        ("text/csv", "text/csv"),
        ("application/json, image/svg+xml;q=0.5", "application/json"),
        ("text/html, */*;q=0.8", SVG),
        ("application/pdf", SVG),
        ("application/json;q=x, image/svg+xml;q=0.1", SVG),
    ],
)
async def test_the_caller_chooses_what_it_gets(scoring: Scoring, accept: str, given: str) -> None:
    answer = await scoring.get("/plots/waterfall", Accept=accept)
    assert answer.headers["Content-Type"].partition(";")[0] == given
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_table_has_a_row_a_point(cohort: Scoring) -> None:
    for name, so_many in (("pasi", 9), ("waterfall", 3), ("kaplan-meier", 1)):
        table = (await cohort.get(f"/plots/{name}", Accept="text/csv")).text
        assert len(list(csv.DictReader(io.StringIO(table)))) == so_many


async def test_another_reading_can_be_drawn(study_alone: Scoring) -> None:
    path = await study_alone.treated("2021-09-15", "2021-11-10")
    await respond(study_alone, path, 200, 100, 40, 60, 120)
    usual = await numbers(study_alone, "/plots/waterfall")
    last = await numbers(study_alone, "/plots/waterfall?week12_anchor=last_infusion")
    assert [one["bars"][0]["improvement_percent"] for one in (usual, last)] == [80, 40]
    npf = "npf_loss_of_50_percent_of_improvement"
    survival = await numbers(study_alone, f"/plots/kaplan-meier?relapse_definition={npf}")
    assert (survival["definition"], survival["steps"][0]["time"]) == (npf, 112)


async def test_a_site_sees_its_own_participants_only(cohort: Scoring) -> None:
    for name, member in (("pasi", "n"), ("waterfall", "n"), ("kaplan-meier", "n")):
        answer = await cohort.get(f"/plots/{name}", sites=[OTHER_SITE], Accept="application/json")
        assert answer.json()[member] == 0
    path = await cohort.treated()
    assert kind(await cohort.get(f"{path}/plots/pasi", sites=[OTHER_SITE])) == (404, "not-found")


async def test_an_unknown_plot_is_not_found(scoring: Scoring) -> None:
    path = await scoring.treated()
    for where in (f"{path}/plots/waterfall", "/plots/pain", f"{path}/plots/pain"):
        assert kind(await scoring.get(where)) == (404, "not-found")


@pytest.mark.parametrize("role", ["edc", "participant", "admin", "safety_officer"])
async def test_who_may_not_read_outcomes_sees_no_plot(scoring: Scoring, role: str) -> None:
    path = await scoring.treated()
    for where in (f"{path}/plots/pasi", "/plots/pasi"):
        assert kind(await scoring.get(where, role=role)) == (403, "not-permitted")


async def test_drawing_holds_nobody_up(cohort: Scoring) -> None:
    pictures = asyncio.gather(*(cohort.get("/plots/waterfall", Accept=SVG) for _ in range(4)))
    path, reads = await cohort.consented(), 0
    while not pictures.done():
        assert (await cohort.get(f"{path}/assessments")).status_code == 200
        reads += 1
    assert {one.status_code for one in await pictures} == {200}
    assert reads > 4
