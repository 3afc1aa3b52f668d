from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.refusals import Impossible
from services.protocol.loading import load_studies
from services.scoring.domain.dlqi import derive_change
from services.scoring.domain.instruments import INSTRUMENTS, score_answers

SETTINGS = load_studies()["NCT03745417"].settings
REGIONS = ("head", "upper_limbs", "trunk", "lower_limbs")
SIGNS = ("erythema", "induration", "desquamation")

signs = st.integers(0, 4)
regions = st.fixed_dictionaries(
    {**dict.fromkeys(SIGNS, signs), "area_score": st.integers(0, 6)},
)
forms = st.fixed_dictionaries(dict.fromkeys(REGIONS, regions))
items = st.fixed_dictionaries(
    {
        **{str(n): st.integers(0, 3) | st.none() for n in (1, 2)},
        **{
            str(n): st.integers(0, 3) | st.sampled_from(["NR", None])
            for n in (3, 4, 5, 6, 8, 9, 10)
        },
        "7": st.none()
        | st.fixed_dictionaries(
            {
                "prevented": st.sampled_from(["yes", "no", "not_relevant", None]),
                "problem": st.sampled_from(["a_lot", "a_little", "not_at_all", None]),
            }
        ),
    }
)


def tenths(form: dict[str, Any]) -> int:
    score = score_answers("pasi", {"regions": form}, SETTINGS).score
    assert score is not None
    return score


@given(forms)
def test_pasi_is_between_0_and_72(form: dict[str, Any]) -> None:
    scored = score_answers("pasi", {"regions": form}, SETTINGS)
    assert scored.score is not None
    assert 0 <= scored.score <= 720
    assert scored.derived["pasi"] == Decimal(scored.score) / 10


@given(forms, st.sampled_from(REGIONS), st.sampled_from([*SIGNS, "area_score"]))
def test_pasi_never_falls_when_one_grade_rises(
    form: dict[str, Any], region: str, member: str
) -> None:
    highest = 6 if member == "area_score" else 4
    raised = {**form, region: {**form[region], member: min(highest, form[region][member] + 1)}}
    assert tenths(raised) >= tenths(form)


@given(forms, st.sampled_from(REGIONS), st.sampled_from([*SIGNS, "area_score"]))
def test_one_missing_grade_leaves_pasi_unknown(
    form: dict[str, Any], region: str, member: str
) -> None:
    lacking = {**form, region: {**form[region], member: None}}
    scored = score_answers("pasi", {"regions": lacking}, SETTINGS)
    assert scored.score is None
    assert scored.derived["missing"] == [f"{region}.{member}"]


@pytest.mark.parametrize("region", REGIONS)
def test_every_form_of_a_region_counts_share_times_signs_times_area(region: str) -> None:
    share = 1 + REGIONS.index(region)
    none = dict.fromkeys([*SIGNS, "area_score"], 0)
    for one, two, three, area in product(range(5), range(5), range(5), range(7)):
        graded = dict(zip([*SIGNS, "area_score"], (one, two, three, area), strict=True))
        form = {**dict.fromkeys(REGIONS, none), region: graded}
        assert tenths(form) == share * (one + two + three) * area


@given(items)
def test_dlqi_is_between_0_and_30_and_the_domains_add_up(form: dict[str, Any]) -> None:
    derived = score_answers("dlqi", {"items": form}, SETTINGS).derived
    if derived["total"] is not None:
        assert 0 <= derived["total"] <= 30
    assert (derived["total"] is None) == (len(derived["missing_items"]) > 1)
    if not derived["missing_items"]:
        assert sum(derived["domains"].values()) == derived["total"]


@given(items, st.sampled_from(["1", "2", "3", "4", "5", "6", "8", "9", "10"]))
def test_dlqi_never_falls_when_an_item_rises(form: dict[str, Any], item: str) -> None:
    if not isinstance(form[item], int):
        return
    raised = {**form, item: min(3, form[item] + 1)}
    before = score_answers("dlqi", {"items": form}, SETTINGS).score
    after = score_answers("dlqi", {"items": raised}, SETTINGS).score
    assert (before is None and after is None) or (
        before is not None and after is not None and after >= before
    )


@given(st.integers(0, 10_000))
def test_itch_is_the_same_in_centimetres_and_millimetres(hundredths: int) -> None:
    mm = Decimal(hundredths) / 100
    one = score_answers("vas", {"value": mm, "unit": "mm"}, SETTINGS)
    other = score_answers("vas", {"value": mm / 10, "unit": "cm"}, SETTINGS)
    assert one == other
    assert one.score is not None
    assert 0 <= one.score <= 1000


@pytest.mark.parametrize(
    ("mm", "band"),
    [
        ("0", "none"),
        ("0.01", "mild"),
        ("39.99", "mild"),
        ("40", "moderate"),
        ("69.96", "moderate"),
        ("70", "severe"),
        ("90", "very_severe"),
        ("100", "very_severe"),
    ],
)
def test_the_band_of_itch_comes_from_the_exact_value(mm: str, band: str) -> None:
    derived = score_answers("vas", {"value": Decimal(mm), "unit": "mm"}, SETTINGS).derived
    assert derived["category"] == band


@given(st.sampled_from(["sas", "sds"]), st.lists(st.integers(1, 4), min_size=20, max_size=20))
def test_zungs_index_is_the_whole_part_of_five_quarters_of_raw(
    scale: str, answers: list[int]
) -> None:
    derived = score_answers(scale, {"answers": answers}, SETTINGS).derived
    assert 20 <= derived["raw"] <= 80
    assert derived["index"] == derived["raw"] * 5 // 4
    assert derived["index_min"] == derived["index"] == derived["index_max"]


@given(
    st.sampled_from(["sas", "sds"]),
    st.lists(st.integers(1, 4) | st.none(), min_size=20, max_size=20),
    st.lists(st.integers(1, 4), min_size=20, max_size=20),
)
def test_whatever_the_missing_items_are_the_index_lies_within_its_bounds(
    scale: str, answers: list[int | None], filled: list[int]
) -> None:
    bounds = score_answers(scale, {"answers": answers}, SETTINGS).derived
    whole = [a if a is not None else b for a, b in zip(answers, filled, strict=True)]
    derived = score_answers(scale, {"answers": whole}, SETTINGS).derived
    assert bounds["index_min"] <= derived["index"] <= bounds["index_max"]
    if bounds["exceeds_cutoff"] is not None:
        assert derived["exceeds_cutoff"] == bounds["exceeds_cutoff"]


@pytest.mark.parametrize(
    ("baseline", "total", "expected"),
    [
        (10, 6, {"change": -4, "mcid_improved": True}),
        (10, 7, {"change": -3, "mcid_improved": False}),
        (3, 0, {"change": -3, "mcid_improved": False}),
        (None, 5, {"change": None, "mcid_improved": None}),
        (5, None, {"change": None, "mcid_improved": None}),
    ],
)
def test_a_fall_of_four_points_is_meaningful(
    baseline: int | None, total: int | None, expected: dict[str, Any]
) -> None:
    assert derive_change(baseline, total) == expected


def test_an_instrument_without_a_rule_is_refused() -> None:
    with pytest.raises(Impossible) as refused:
        score_answers("pain", {}, SETTINGS)
    assert [fault.code for fault in refused.value.faults] == ["unknown_instrument"]


def test_every_instrument_of_the_study_has_a_rule_with_a_version() -> None:
    study = load_studies()["NCT03745417"]
    assert set(study.instruments) <= set(INSTRUMENTS)
    assert all(one.rule_version.partition("/")[2].isdigit() for one in INSTRUMENTS.values())
