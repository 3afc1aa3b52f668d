import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.protocol.settings import override_settings
from services.safety.domain.evaluations import (
    AdverseEventInput,
    IncidenceInput,
    evaluate_adverse_event,
    evaluate_incidence,
)
from tests.safety.domain.cases import HOSPITAL, SETTINGS, SITE, susar

VECTORS = Path(__file__).parents[2] / "vectors"
ADVERSE_EVENT = TypeAdapter(AdverseEventInput)
INCIDENCE = TypeAdapter(IncidenceInput)


def read(suite: str) -> list[dict[str, Any]]:
    text = (VECTORS / f"{suite}.json").read_text("utf-8")
    cases: list[dict[str, Any]] = json.loads(text, parse_float=Decimal)["cases"]
    return cases


def answer(body: dict[str, Any]) -> dict[str, Any]:
    return evaluate_adverse_event(ADVERSE_EVENT.validate_python(body), SETTINGS, SITE)


def same(found: Any, expected: Any) -> bool:
    """Compare as the vectors are compared: more members are welcome, times are instants."""
    if isinstance(expected, dict):
        return all(same(found[name], value) for name, value in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, datetime):
        return found == datetime.fromisoformat(expected)
    if isinstance(found, date):
        return found == date.fromisoformat(expected)
    return bool(found == expected)


@pytest.mark.parametrize("case", read("ae_clocks"), ids=lambda case: case["id"])
def test_adverse_event_vector(case: dict[str, Any]) -> None:
    found = answer(case["input"])
    assert same(found, case["expected"])


@pytest.mark.parametrize("case", read("ae_incidence"), ids=lambda case: case["id"])
def test_incidence_vector(case: dict[str, Any]) -> None:
    found = evaluate_incidence(INCIDENCE.validate_python(case["input"]), SETTINGS)
    assert found == case["expected"]


def test_least_body_is_one_empty_update() -> None:
    found = answer({"updates": [{}]})
    assert found["classification"] == "UNDETERMINED"
    assert found["clocks"] == []
    assert found["treatment_emergent"] is found["within_24h_of_infusion"] is None


def test_regimes_come_from_the_study_unless_stated() -> None:
    case = AdverseEventInput(updates=(susar(),))
    stem_cell = override_settings(SETTINGS, {"safety_regimes": ["CN_STEM_CELL_2015"]})
    found = evaluate_adverse_event(case, stem_cell, SITE)
    assert [clock["clock"] for clock in found["clocks"]] == [
        "SAE_TO_SPONSOR_24H",
        "STEM_CELL_COMMITTEES_24H",
    ]
    assert found["notes"] == ["STOP_STUDY_TREATMENT_REVIEW"]
    stated = AdverseEventInput(updates=(susar(),), regimes=("ICH_E2A",))
    assert evaluate_adverse_event(stated, stem_cell, SITE)["clocks"][1]["clock"] == "SUSAR_INITIAL"


def test_triage_is_not_listed_once_seriousness_is_decided() -> None:
    decided = AdverseEventInput(updates=(susar(seriousness=None), susar(seriousness=HOSPITAL)))
    found = evaluate_adverse_event(decided, SETTINGS, SITE)
    assert [clock["clock"] for clock in found["clocks"]] == ["SAE_TO_SPONSOR_24H", "SUSAR_INITIAL"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"updates": []},
        {"updates": [{"invented": 1}]},
        {"updates": [{"seriousness": {"death": "no"}}]},
        {"updates": [{"ctcae_grade": 6}]},
        {"updates": [{"ctcae_grade": Decimal("1.5")}]},
        {"updates": [{"investigator_aware_at": "2021-10-04T09:00:00"}]},
        {"updates": [{"investigator_causality": "related"}]},
        {"updates": [{}], "regimes": ["FDA"]},
        {"updates": [{}], "onset": "2021-13"},
        {"updates": [{}], "infusions": [7]},
    ],
)
def test_impossible_case_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADVERSE_EVENT.validate_python(body)


def test_threshold_of_the_setting_holds_where_none_is_stated() -> None:
    body = {"n_at_risk": 5, "events": [{"subject": "P1", "pt": "Fever", "serious": False}]}
    found = evaluate_incidence(INCIDENCE.validate_python(body), SETTINGS)
    assert found["ctgov"]["frequencyThreshold"] == "0"
    assert found["ctgov"]["otherNumAffected"] == 1
