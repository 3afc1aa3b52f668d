"""Screenings in which everything is stated and nothing excludes, and one way to vary them."""

import json
from collections.abc import Mapping
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from services.enrolment.domain.eligibility import Eligibility, evaluate_eligibility
from services.enrolment.domain.eligibility_facts import EligibilityFacts
from services.protocol.loading import load_studies
from services.protocol.settings import override_settings

STUDY = load_studies()["NCT03745417"]
FACTS = TypeAdapter(EligibilityFacts)
SUITE = Path(__file__).parents[2] / "vectors" / "eligibility.json"
CASES: list[dict[str, Any]] = json.loads(SUITE.read_text("utf-8"), parse_float=Decimal)["cases"]
MAN: dict[str, Any] = CASES[0]["input"]
WOMAN: dict[str, Any] = CASES[1]["input"]
SHANGHAI = ZoneInfo("Asia/Shanghai")


def varied(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a screening with values replaced by JSON pointer; sections are made as needed."""
    body = deepcopy(dict(base))
    for pointer, value in changes.items():
        *sections, member = pointer.removeprefix("/").split("/")
        section = body
        for name in sections:
            section = section.setdefault(name, {})
        section[member] = value
    return body


def judge(
    base: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Eligibility:
    """Return the eligibility of a varied screening under varied settings."""
    return evaluate_eligibility(
        FACTS.validate_python(varied(base, changes or {})),
        study=STUDY,
        settings=override_settings(STUDY.settings, {"eligibility": settings or {}}),
        time_zone=SHANGHAI,
        **more,
    )


def result(
    criterion: str,
    changes: Mapping[str, Any],
    base: Mapping[str, Any] = MAN,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Return one criterion's result under varied facts and settings."""
    return judge(base, changes, settings).criteria[criterion]
