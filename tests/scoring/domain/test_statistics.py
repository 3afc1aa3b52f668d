from decimal import Decimal
from fractions import Fraction
from itertools import product
from statistics import stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from services.scoring.domain.statistics import (
    clopper_pearson,
    kaplan_meier,
    proportion,
    signed_rank,
    summarise,
    wilson,
)

counts = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.sampled_from(["0.8", "0.9", "0.95", "0.99"])
values = st.lists(st.decimals(-1000, 1000, places=1), min_size=1, max_size=40)


def close(found: object, expected: float) -> bool:
    assert isinstance(found, Decimal | int)
    return abs(float(found) - expected) < 1e-9 * max(1.0, abs(expected))


@given(counts, levels)
def test_limits_are_those_of_scipy(count: tuple[int, int], level: str) -> None:
    k, n = count
    test = stats.binomtest(k, n)
    for limits, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
        lower, upper = limits(k, n, Decimal(level))
        expected = test.proportion_ci(float(level), method)
        assert abs(float(lower) - expected.low) < 1e-7
        assert abs(float(upper) - expected.high) < 1e-7


@given(counts)
def test_the_estimate_lies_within_its_limits(count: tuple[int, int]) -> None:
    k, n = count
    for limits in (clopper_pearson(k, n), wilson(k, n)):
        assert 0 <= limits[0] <= Decimal(k) / n <= limits[1] <= 1


def test_of_nobody_there_is_no_proportion() -> None:
    assert proportion(0, 0) == {
        "k": 0,
        "n": 0,
        "percent": None,
        "clopper_pearson_95": None,
        "wilson_95": None,
    }


@given(st.lists(st.integers(-6, 6), max_size=9))
def test_p_counts_every_pattern_of_signs(differences: list[int]) -> None:
    used = [one for one in differences if one]
    found = signed_rank(Decimal(one) for one in differences)
    assert found["n_used"] == len(used)
    if not used:
        assert found["p_two_sided"] is None
        return
    ranks = [Fraction(rank) for rank in stats.rankdata([abs(one) for one in used])]
    positive = sum(rank for rank, one in zip(ranks, used, strict=True) if one > 0)
    smaller = min(positive, sum(ranks) - positive)
    patterns = [
        sum(rank for rank, is_positive in zip(ranks, pattern, strict=True) if is_positive)
        for pattern in product((False, True), repeat=len(ranks))
    ]
    tail = Fraction(sum(one <= smaller for one in patterns), len(patterns))
    assert close(found["p_two_sided"], min(1.0, float(2 * tail)))


def test_five_pairs_never_reach_a_twentieth() -> None:
    assert signed_rank(map(Decimal, (1, 2, 3, 4, 5)))["p_two_sided"] == Decimal("0.0625")


def test_beyond_300_pairs_the_normal_approximation_stands_in() -> None:
    chance = np.random.default_rng(3)
    differences = [int(one) for one in chance.integers(-40, 50, 400)]
    found = signed_rank(map(Decimal, differences))
    used = [one for one in differences if one]
    expected = stats.wilcoxon(used, method="asymptotic", correction=False)
    assert found["method"] == "normal"
    assert close(found["p_two_sided"], float(expected.pvalue))


@given(values)
def test_summaries_are_those_of_numpy(found: list[Decimal]) -> None:
    summary = summarise(found)
    plain = [float(one) for one in found]
    assert summary["n"] == len(found)
    assert close(summary["mean"], float(np.mean(plain)))
    for name, part in (("q1_type7", 25), ("median", 50), ("q3_type7", 75)):
        assert close(summary[name], float(np.percentile(plain, part)))
    assert (summary["min"], summary["max"]) == (min(found), max(found))
    if len(found) == 1:
        assert summary["sd"] is None
    else:
        assert close(summary["sd"], float(stdev(found)))


@given(values, st.randoms(use_true_random=False))
def test_the_order_of_values_changes_nothing(found: list[Decimal], chance: object) -> None:
    shuffled = list(found)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert summarise(shuffled) == summarise(found)
    assert signed_rank(shuffled) == signed_rank(found)


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=40))
def test_survival_is_that_of_scipy(rows: list[tuple[int, bool]]) -> None:
    data = stats.CensoredData(
        uncensored=[day for day, is_event in rows if is_event],
        right=[day for day, is_event in rows if not is_event],
    )
    curve = stats.ecdf(data).sf
    expected = dict(zip(curve.quantiles.tolist(), curve.probabilities.tolist(), strict=True))
    found = kaplan_meier(rows)
    for step in found["steps"]:
        assert close(step["survival"], expected[step["time"]])
        assert step["at_risk"] == sum(day >= step["time"] for day, _ in rows)
    fallen = [step["time"] for step in found["steps"] if step["survival"] <= Decimal("0.5")]
    assert found["median"] == (fallen[0] if fallen else None)


@pytest.mark.parametrize("rows", [[], [(3, False)]])
def test_without_an_event_survival_has_no_steps(rows: list[tuple[int, bool]]) -> None:
    assert kaplan_meier(rows) == {"steps": [], "median": None}
