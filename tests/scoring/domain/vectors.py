"""The public vectors of scoring's suites, and how an answer is compared with one."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

VECTORS: Final = Path(__file__).parents[2] / "vectors"
CLOSE: Final = Decimal("0.000001")
SETS: Final = frozenset({"warnings", "missing"})
UNCOMPARED: Final = frozenset({"notes", "reason"})
EVALUATION_BY_KIND: Final = {
    ("pasi", None): "pasi",
    ("dlqi", None): "dlqi",
    ("vas", None): "vas",
    ("sas_sds", None): "sas-sds",
    ("improvement", None): "improvement",
    ("relapse_definitions", None): "relapse-definitions",
    ("outcomes", "participant"): "outcomes",
    ("outcomes", "cohort"): "cohort-outcomes",
    ("ci", "proportion_ci"): "proportion-ci",
    ("ci", "signed_rank"): "signed-rank",
    ("ci", "kaplan_meier"): "kaplan-meier",
    ("ci", "summary"): "summary",
}


def cases() -> list[Any]:
    """Return (evaluation, case) of all suites as pytest's parameters."""
    suites = dict.fromkeys(suite for suite, _ in EVALUATION_BY_KIND)
    return [
        pytest.param(EVALUATION_BY_KIND[suite, case.get("kind")], case, id=case["id"])
        for suite in suites
        for case in _read(suite)
    ]


def _read(suite: str) -> list[dict[str, Any]]:
    text = (VECTORS / f"{suite}.json").read_text("utf-8")
    found: list[dict[str, Any]] = json.loads(text, parse_float=Decimal)["cases"]
    return found


def is_refusal(case: Mapping[str, Any]) -> bool:
    """Tell whether the vector's input is to be refused."""
    return case["expected"].get("valid") is False


def same(found: Any, expected: Any, name: str = "") -> bool:
    """Compare as the vectors are compared: more members are welcome."""
    if isinstance(expected, dict):
        members = expected.keys() - UNCOMPARED
        return all(same(found[member], expected[member], member) for member in members)
    if isinstance(expected, list) and name in SETS:
        return set(found) == set(expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return _same_scalar(found, expected)


def _same_scalar(found: Any, expected: Any) -> bool:
    if isinstance(found, date) and not isinstance(found, datetime):
        return found == date.fromisoformat(expected)
    if isinstance(expected, Decimal) and isinstance(found, Decimal | int | float):
        return abs(Decimal(found) - expected) <= CLOSE
    return type(found) is type(expected) and bool(found == expected)
