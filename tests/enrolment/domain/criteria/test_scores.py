from decimal import Decimal
from typing import Any

import pytest

from tests.enrolment.domain.screenings import MAN, judge, result


def regions(**lower_limbs: Any) -> dict[str, Any]:
    clear = {"erythema": 0, "induration": 0, "desquamation": 0, "area_score": 0}
    return {
        "head": clear,
        "upper_limbs": clear,
        "trunk": clear,
        "lower_limbs": clear | lower_limbs,
    }


@pytest.mark.parametrize(
    ("erythema", "expected"),
    [(4, "met"), (3, "not_met")],  # 0.4 x (4 + 2 + 0) x 3 = 7.2; with 3: 6.0
)
def test_pasi_is_computed_from_regions_where_it_is_not_given(erythema: int, expected: str) -> None:
    changes = {
        "/severity/pasi": None,
        "/severity/bsa_percent": 1,
        "/severity/pasi_regions": regions(erythema=erythema, induration=2, area_score=3),
    }
    assert result("I1b", changes) == expected
    assert judge(MAN, changes).details["I1b"]["derived"]["pasi"]["value"] in (
        Decimal("7.2"),
        Decimal(6),
    )


def test_stated_pasi_goes_before_its_regions() -> None:
    changes = {"/severity/pasi": 5, "/severity/bsa_percent": 1, "/severity/pasi_regions": regions()}
    assert result("I1b", changes) == "not_met"


def test_incomplete_regions_give_no_pasi() -> None:
    changes = {
        "/severity/pasi": None,
        "/severity/bsa_percent": 1,
        "/severity/pasi_regions": {"head": None},
    }
    assert result("I1b", changes) == "unknown"


@pytest.mark.parametrize(("percent", "expected"), [(26, "met"), (25, "not_met")])
def test_bsa_is_derived_from_percents_where_the_assessor_gave_none(
    percent: int, expected: str
) -> None:
    clear = {"erythema": 0, "induration": 0, "desquamation": 0, "area_percent": 0}
    legs = clear | {"erythema": 1, "area_percent": percent}
    body = {"head": clear, "upper_limbs": clear, "trunk": clear, "lower_limbs": legs}
    changes = {
        "/severity/pasi": None,
        "/severity/bsa_percent": None,
        "/severity/pasi_regions": body,
    }
    assert result("I1b", changes) == expected


SAS_LOW = [1, 1, 1, 1, 4, 1, 1, 1, 4, 1, 1, 1, 4, 1, 1, 1, 4, 1, 4, 1]


def sas(answers: list[int | None]) -> dict[str, Any]:
    return {"/psych/sas_index": None, "/psych/sas_answers": answers}


def test_answers_give_the_index_where_it_is_not_given() -> None:
    assert result("E4a", sas([*SAS_LOW])) == "not_met"
    assert result("E4a", sas([5 - answer for answer in SAS_LOW])) == "met"


def test_missing_answers_leave_the_index_open_only_near_the_cutoff() -> None:
    assert result("E4a", sas([None, *SAS_LOW[1:]])) == "not_met"
    assert result("E4a", sas([None] * 8 + SAS_LOW[8:])) == "unknown"
    assert result("E4a", sas([None, *(5 - answer for answer in SAS_LOW[1:])])) == "met"


def test_depression_is_judged_by_its_own_cutoff() -> None:
    assert result("E4b", {"/psych/sds_index": 53}) == "not_met"
    assert result("E4b", {"/psych/sds_index": 55}) == "met"
    assert result("E4b", {"/psych/sds_index": None}) == "unknown"
    assert result("E4b", {"/psych/sds_index": None, "/psych/sds_answers": [1] * 20}) != "unknown"
