"""What both scoring and enrolment read of the instruments."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.protocol.instruments.pasi import PasiRegions, area_score_of, pasi_tenths
from services.protocol.instruments.zung import ZungAnswers, score_zung

REGIONS = TypeAdapter(PasiRegions)
ANSWERS = TypeAdapter[Any](ZungAnswers)


def kinds(invalid: ValidationError) -> list[tuple[tuple[int | str, ...], str]]:
    return [(one["loc"], one["type"]) for one in invalid.errors()]


@pytest.mark.parametrize(
    ("percent", "score"),
    [("0", 0), ("0.1", 1), ("9.9", 1), ("10", 2), ("29.9", 2), ("89.9", 5), ("90", 6), ("100", 6)],
)
def test_each_band_of_area_includes_its_start(percent: str, score: int) -> None:
    assert area_score_of(Decimal(percent)) == score


def test_percent_and_area_score_must_agree() -> None:
    head = {"area_score": 1, "area_percent": Decimal(10)}
    with pytest.raises(ValidationError) as refused:
        REGIONS.validate_python({"head": head})
    assert [kind for _, kind in kinds(refused.value)] == ["MISMATCH"]


def test_a_form_with_a_region_left_out_has_no_total() -> None:
    region = {"erythema": 1, "induration": 1, "desquamation": 1, "area_percent": Decimal(10)}
    whole = dict.fromkeys(("head", "upper_limbs", "trunk", "lower_limbs"), region)
    partial = {name: part for name, part in whole.items() if name != "trunk"}
    assert pasi_tenths(REGIONS.validate_python(whole)) == 60
    assert pasi_tenths(REGIONS.validate_python(partial)) is None


def test_a_form_of_another_length_is_refused_beside_its_wrong_items() -> None:
    with pytest.raises(ValidationError) as short:
        ANSWERS.validate_python([1] * 19)
    with pytest.raises(ValidationError) as wrong:
        ANSWERS.validate_python([5, *[1] * 20])
    assert "LENGTH" in {kind for _, kind in kinds(short.value)}
    assert {"LENGTH", "less_than_equal"} <= {kind for _, kind in kinds(wrong.value)}
    with pytest.raises(ValidationError):
        ANSWERS.validate_python("1" * 20)


def test_a_missing_item_leaves_bounds() -> None:
    answers = ANSWERS.validate_python([None, *[1] * 19])
    found = score_zung("SAS", answers)
    assert (found.missing_items, found.raw, found.index) == ((1,), None, None)
    assert found.index_min < found.index_max
