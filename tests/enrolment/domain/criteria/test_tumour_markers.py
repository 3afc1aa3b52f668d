from decimal import Decimal
from typing import Any

import pytest

from services.enrolment.domain.criteria.tumour_markers import marker_named
from tests.enrolment.domain.screenings import MAN, WOMAN, judge

PANEL = ("AFP", "CEA", "CA19-9", "CA125", "PSA")
HIGH = {"value": Decimal("41.2"), "unit": "U/mL", "uln": 37}
NORMAL = {"value": 2, "unit": "ng/mL", "uln": 4}


def detail(base: dict[str, Any], **markers: Any) -> Any:
    return judge(base, {"/labs/tumour_markers": markers}).details["E6b"]


def test_a_marker_above_its_limit_prompts_and_does_not_decide() -> None:
    found = judge(MAN, {"/labs/tumour_markers": {"CA19-9": HIGH}})
    assert (found.criteria["E6b"], found.verdict) == ("not_met", "eligible")
    shown = found.details["E6b"]
    assert shown["flags"] == ["tumour_marker_above_uln"]
    assert shown["derived"]["above_uln"]["value"] == ["CA19-9"]
    values = {one["pointer"]: (one["value"], one["unit"]) for one in shown["values"]}
    assert values["/labs/tumour_markers/CA19-9/value"] == (Decimal("41.2"), "U/mL")


def test_markers_within_their_limits_prompt_nothing() -> None:
    shown = detail(MAN, AFP=NORMAL, CEA=NORMAL)
    assert shown["flags"] == []
    assert shown["derived"]["not_reported"]["value"] == ["CA19-9", "PSA"]


def test_each_sex_has_its_own_markers() -> None:
    assert detail(WOMAN)["derived"]["not_reported"]["value"] == ["AFP", "CEA", "CA19-9", "CA125"]
    assert detail(WOMAN, PSA=HIGH)["flags"] == []
    unknown = judge(MAN, {"/demographics/sex": None}).details["E6b"]
    assert unknown["derived"]["not_reported"]["value"] == list(PANEL)


@pytest.mark.parametrize("lacking", ["value", "uln"])
def test_what_cannot_be_compared_prompts_nothing(lacking: str) -> None:
    assert detail(MAN, AFP={**HIGH, lacking: None})["flags"] == []
    assert detail(MAN, AFP={**HIGH, "uln_unit": "ng/mL"})["flags"] == []


def test_the_investigators_word_is_what_is_missing() -> None:
    found = judge(MAN, {"/medical/abnormal_tumour_marker": None})
    assert found.criteria["E6b"] == "unknown"
    [missing] = found.details["E6b"]["missing"]
    assert missing["supplied_by"] == "investigator"


@pytest.mark.parametrize(
    ("test", "name"),
    [("afp", "AFP"), ("ca19_9", "CA19-9"), ("CA 125", "CA125"), ("psa", "PSA"), ("wbc", None)],
)
def test_a_marker_is_known_however_it_is_spelt(test: str, name: str | None) -> None:
    assert marker_named(test, PANEL) == name
