import json
from datetime import datetime
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import pytest

from tests.safety.safety_calls import Safety, faults, kind

VECTORS: Final = Path(__file__).parents[1] / "vectors"


def cases(suite: str) -> list[dict[str, Any]]:
    text = (VECTORS / f"{suite}.json").read_text("utf-8")
    found: list[dict[str, Any]] = json.loads(text, parse_float=Decimal)["cases"]
    return found


def agrees(found: Any, expected: Any, name: str = "") -> bool:
    """Compare as the vectors are compared: more members are welcome, times are instants."""
    if name == "notes":
        return True
    if isinstance(expected, dict):
        return all(agrees(found[key], value, key) for key, value in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(agrees, found, expected))
    if name == "due":
        return datetime.fromisoformat(found) == datetime.fromisoformat(expected)
    return bool(found == expected)


@pytest.mark.parametrize("case", cases("ae_clocks"), ids=lambda case: case["id"])
async def test_clock_vector_over_http(safety: Safety, case: dict[str, Any]) -> None:
    answer = await safety.post("/evaluations/adverse-event", case["input"], role="auditor")
    assert answer.status_code == 200, answer.text
    assert agrees(answer.json(), case["expected"])


@pytest.mark.parametrize("case", cases("ae_incidence"), ids=lambda case: case["id"])
async def test_incidence_vector_over_http(safety: Safety, case: dict[str, Any]) -> None:
    answer = await safety.post("/evaluations/ae-incidence", case["input"], role="statistician")
    assert answer.status_code == 200, answer.text
    assert agrees(answer.json(), case["expected"])


async def test_a_setting_is_overridden_in_an_evaluation(safety: Safety) -> None:
    asked = cases("ae_clocks")[15]["input"]
    without = {name: value for name, value in asked.items() if name != "regimes"}
    usual = (await safety.post("/evaluations/adverse-event", without)).json()
    stem_cell = {**without, "settings": {"safety_regimes": ["CN_STEM_CELL_2015"]}}
    other = (await safety.post("/evaluations/adverse-event", stem_cell)).json()
    assert [one["clock"] for one in usual["clocks"]][1:] == ["SUSAR_INITIAL", "SUSAR_FOLLOW_UP"]
    assert [one["clock"] for one in other["clocks"]][1:] == ["STEM_CELL_COMMITTEES_24H"]
    wrong = {**without, "settings": {"safety_regimes": ["EU"]}}
    answer = await safety.post("/evaluations/adverse-event", wrong)
    assert ("/settings/safety_regimes/0", "setting") in faults(answer)


async def test_facts_may_be_sent_in_any_order(safety: Safety) -> None:
    facts = [
        {"sponsor_aware_at": "2021-10-01T09:00:00+08:00", "investigator_causality": "possible"},
        {"sponsor_aware_at": "2021-10-05T09:00:00+08:00", "seriousness": {"hospitalization": True}},
        {"sponsor_aware_at": "2021-10-20T09:00:00+08:00", "seriousness": {"death": True}},
    ]
    found = set()
    for order in permutations(facts):
        answer = await safety.post("/evaluations/adverse-event", {"updates": order})
        judged = answer.json()
        due = [one["due_date"] for one in judged["clocks"] if "due_date" in one]
        found.add((judged["classification"], min(due)))
    assert found == {("SUSAR", "2021-10-20")}


async def test_a_participant_evaluates_nothing(safety: Safety) -> None:
    asked = cases("ae_clocks")[0]["input"]
    answer = await safety.post("/evaluations/adverse-event", asked, role="participant")
    assert kind(answer) == (403, "not-permitted")
