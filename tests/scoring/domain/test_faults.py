"""What a form cannot say is refused, every fault at its place; what it can say is scored."""

from decimal import Decimal
from typing import Any

import pytest

from services.kernel.exact_json import parse_json
from services.kernel.refusals import Impossible
from services.protocol.loading import load_studies
from services.scoring.domain import evaluations

SETTINGS = load_studies()["NCT03745417"].settings
WHOLE = {"erythema": 2, "induration": 1, "desquamation": 1, "area_score": 3}
REGIONS = ("head", "upper_limbs", "trunk", "lower_limbs")


def pasi(**head: Any) -> dict[str, Any]:
    """Return a form whose head is graded otherwise; None leaves a member out."""
    graded = {name: value for name, value in {**WHOLE, **head}.items() if value is not None}
    return {"regions": {**dict.fromkeys(REGIONS, WHOLE), "head": graded}}


def dlqi(**items: Any) -> dict[str, Any]:
    """Return a form of ones, with some items otherwise: `i1` to `i10`."""
    seven = {"prevented": "no", "problem": "a_little"}
    form: dict[str, Any] = {str(n): 1 for n in range(1, 11)} | {"7": seven}
    return {"items": form | {name.removeprefix("i"): value for name, value in items.items()}}


def zung(*first: Any, scale: str = "SAS", so_many: int = 20) -> dict[str, Any]:
    """Return a form that begins with these answers, then ones."""
    return {"scale": scale, "answers": [*first, *[1] * (so_many - len(first))]}


def codes(evaluate: Any, asked: dict[str, Any]) -> set[str]:
    with pytest.raises(Impossible) as refused:
        evaluate(asked, SETTINGS)
    return {fault.code for fault in refused.value.faults}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (pasi(erythema=-1), {"head.erythema:RANGE"}),
        (pasi(erythema=True), {"head.erythema:TYPE"}),
        (pasi(erythema="2"), {"head.erythema:TYPE"}),
        (pasi(erythema=Decimal("4.5")), {"head.erythema:NOT_INTEGER"}),
        (pasi(area_score=-1), {"head.area_score:RANGE"}),
        (pasi(area_score=Decimal("2.5")), {"head.area_score:NOT_INTEGER"}),
        (pasi(area_score=None, area_percent=Decimal("-0.1")), {"head.area_percent:RANGE"}),
        (pasi(area_score=None, area_percent=Decimal("100.1")), {"head.area_percent:RANGE"}),
        (pasi(area_score=None, area_percent="10"), {"head.area_percent:TYPE"}),
        (pasi(area_score=1, area_percent=10), {"head.area:MISMATCH"}),
        (pasi(area_score=0, area_percent=Decimal("0.1")), {"head.area:MISMATCH"}),
        (
            pasi(erythema=5, induration=Decimal("0.5"), desquamation="x", area_score=7),
            {
                "head.erythema:RANGE",
                "head.induration:NOT_INTEGER",
                "head.desquamation:TYPE",
                "head.area_score:RANGE",
            },
        ),
    ],
)
def test_pasi_is_refused_with_every_place(form: dict[str, Any], expected: set[str]) -> None:
    assert codes(evaluations.evaluate_pasi, form) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ({"erythema": Decimal("2.0")}, []),
        ({"erythema": None}, ["head.erythema"]),
        ({"area_score": None}, ["head.area_score"]),
        ({"induration": None, "area_score": None}, ["head.induration", "head.area_score"]),
        (dict.fromkeys(WHOLE), ["head"]),
        ({"area_score": None, "area_percent": Decimal("29.5")}, []),
    ],
)
def test_what_is_missing_of_pasi_is_named(head: dict[str, Any], expected: list[str]) -> None:
    found = evaluations.evaluate_pasi(pasi(**head), SETTINGS)
    assert found["missing"] == expected
    assert (found["pasi"] is None) is bool(expected)
    assert found["complete"] is not bool(expected)


@pytest.mark.parametrize(
    ("percent", "tenths"),
    [
        ("0", 0),
        ("0.01", 4),
        ("9.99", 4),
        ("10", 8),
        ("29.5", 8),
        ("30", 12),
        ("89.99", 20),
        ("90", 24),
        ("100", 24),
    ],
)
def test_a_percent_scores_by_its_band(percent: str, tenths: int) -> None:
    form = pasi(area_score=None, area_percent=Decimal(percent))
    found = evaluations.evaluate_pasi(form, SETTINGS)
    assert found["region_tenths"]["head"] == tenths
    assert found["bsa_percent_from_regions"] is None


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (dlqi(i1="NR"), {"1:NOT_RELEVANT_NOT_OFFERED"}),
        (dlqi(i2="NR", i3=4), {"2:NOT_RELEVANT_NOT_OFFERED", "3:RANGE"}),
        (dlqi(i1=Decimal("1.5")), {"1:RANGE"}),
        (dlqi(i10=-1), {"10:RANGE"}),
        (dlqi(i4=True), {"4:TYPE"}),
        (dlqi(i4="2"), {"4:TYPE"}),
        (dlqi(i7={"prevented": "maybe"}), {"7.prevented:RANGE"}),
        (dlqi(i7={"problem": "not_relevant"}), {"7.problem:RANGE"}),
        (dlqi(i7=3), {"7:TYPE"}),
    ],
)
def test_dlqi_is_refused_with_every_place(form: dict[str, Any], expected: set[str]) -> None:
    assert codes(evaluations.evaluate_dlqi, form) == expected


@pytest.mark.parametrize(
    ("seven", "score"),
    [
        ({"prevented": "yes", "problem": "not_at_all"}, 3),
        ({"prevented": "no", "problem": None}, 0),
        ({"prevented": "not_relevant", "problem": "a_lot"}, 2),
        ({"problem": "a_little"}, 1),
        ({}, None),
        (None, None),
    ],
)
def test_item_7_is_scored_by_both_parts(seven: Any, score: int | None) -> None:
    found = evaluations.evaluate_dlqi(dlqi(i7=seven), SETTINGS)
    assert found["item7_score"] == found["domains"]["work_school"] == score
    assert found["missing_items"] == ([7] if score is None else [])
    assert found["total"] == 9 + (score or 0)


def test_complete_domains_are_scored_without_a_total() -> None:
    found = evaluations.evaluate_dlqi(dlqi(i1=None, i3=None), SETTINGS)
    assert (found["total"], found["band"]) == (None, None)
    assert found["domains"] == {
        "symptoms_feelings": None,
        "daily_activities": None,
        "leisure": 2,
        "work_school": 1,
        "personal_relationships": 2,
        "treatment": 1,
    }


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (zung(5), {"1:RANGE"}),
        (zung(0, 5, "1"), {"1:RANGE", "2:RANGE", "3:TYPE"}),
        (zung(Decimal("1.5")), {"1:NOT_INTEGER"}),
        (zung("1"), {"1:TYPE"}),
        (zung(so_many=19), {"LENGTH"}),
        (zung(so_many=21), {"LENGTH"}),
        (zung(5, so_many=21), {"LENGTH", "1:RANGE"}),
        (zung(scale="STAI"), {"scale:RANGE"}),
    ],
)
def test_zung_is_refused_with_every_place(form: dict[str, Any], expected: set[str]) -> None:
    assert codes(evaluations.evaluate_zung, form) == expected


@pytest.mark.parametrize(
    ("scale", "missing", "expected"),
    [("SAS", 1, False), ("SAS", 12, None), ("SDS", 1, True), ("SDS", 20, None)],
)
def test_bounds_decide_where_they_can(scale: str, missing: int, expected: object) -> None:
    found = evaluations.evaluate_zung(zung(*[None] * missing, scale=scale), SETTINGS)
    assert found["exceeds_cutoff"] is expected
    assert found["missing_items"] == list(range(1, missing + 1))
    assert (found["raw"], found["index"]) == (None, None)


@pytest.mark.parametrize(
    ("mark", "mm", "band"),
    [
        ('{"value": 39.95, "unit": "mm"}', "40.0", "mild"),
        ('{"value": 3.995, "unit": "cm"}', "40.0", "mild"),
        ('{"value": 4.1249, "unit": "cm"}', "41.2", "moderate"),
        ('{"value": 0.04, "unit": "mm"}', "0.0", "mild"),
        ('{"value": 1e1, "unit": "cm"}', "100.0", "very_severe"),
        ('{"value": 89.99, "unit": "mm"}', "90.0", "severe"),
    ],
)
def test_a_mark_is_rounded_half_up_and_banded_exactly(mark: str, mm: str, band: str) -> None:
    found = evaluations.evaluate_vas(parse_json(mark.encode()), SETTINGS)
    assert (found["vas_mm"], found["category"]) == (Decimal(mm), band)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"value": 7}, {"unit:MISSING"}),
        ({"value": 7, "unit": "inch"}, {"unit:RANGE"}),
        ({"value": Decimal("-0.1"), "unit": "mm"}, {"value:RANGE"}),
        ({"value": Decimal("100.01"), "unit": "mm"}, {"value:RANGE"}),
        ({"value": True, "unit": "cm"}, {"value:TYPE"}),
        ({"value": None, "unit": None}, {"unit:RANGE"}),
    ],
)
def test_a_mark_off_the_line_or_without_its_unit_is_refused(
    form: dict[str, Any], expected: set[str]
) -> None:
    assert codes(evaluations.evaluate_vas, form) == expected
