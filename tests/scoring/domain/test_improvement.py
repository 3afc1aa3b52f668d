from decimal import Decimal

import pytest

from services.scoring.domain.improvement import (
    ImprovementInput,
    evaluate_improvement,
    improvement_percent,
    responders,
)


def points(tenths: int) -> Decimal:
    return Decimal(tenths) / 10


@pytest.mark.parametrize("percent", [50, 75, 90])
def test_thresholds_are_exact_at_every_tenth(percent: int) -> None:
    for baseline in range(1, 721):
        border = baseline * (100 - percent) // 100
        for value in range(max(0, border - 1), border + 3):
            found = responders(improvement_percent(points(baseline), points(value)))
            is_response = 100 * (baseline - value) >= percent * baseline
            assert found[f"pasi{percent}"] is is_response, (baseline, value)


def test_pasi100_is_a_value_of_zero_and_nothing_less() -> None:
    for baseline in range(1, 721):
        assert responders(improvement_percent(points(baseline), points(0)))["pasi100"]
        assert not responders(improvement_percent(points(baseline), Decimal("0.1")))["pasi100"]


@pytest.mark.parametrize(
    ("baseline", "value", "reason"),
    [
        (None, None, "BASELINE_MISSING"),
        (None, Decimal(1), "BASELINE_MISSING"),
        (Decimal(1), None, "VALUE_MISSING"),
        (Decimal(0), Decimal(1), "BASELINE_ZERO"),
        (Decimal(2), Decimal(1), None),
    ],
)
def test_an_undefined_improvement_says_why(
    baseline: Decimal | None, value: Decimal | None, reason: str | None
) -> None:
    found = evaluate_improvement(ImprovementInput(baseline_pasi=baseline, pasi=value))
    assert found["reason"] == reason
    assert (found["pasi50"] is None) == (reason is not None)
