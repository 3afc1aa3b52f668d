"""Improvement against baseline, and the response to treatment that it makes (rulebook 2).

Exact: thresholds are compared as whole numbers, never from a rounded percentage.
"""

from decimal import Context, Decimal
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as form

from services.kernel.values import NUMBER

CLOSED = ConfigDict(extra="forbid")
THRESHOLDS: Final = (50, 75, 90, 100)
_DIGITS: Final = Context(prec=15)
"""What a JSON number keeps in every reader."""
Points = Annotated[Decimal, Field(ge=0, le=72), NUMBER]
"""A PASI, or a mean of several, which is finer than a tenth."""


@form(frozen=True, kw_only=True, config=CLOSED)
class ImprovementInput:
    """A baseline and a later value of PASI; finer values than tenths are taken exactly."""

    baseline_pasi: Points | None = None
    pasi: Points | None = None


def improvement_percent(baseline: Decimal | None, value: Decimal | None) -> Fraction | None:
    """Return the improvement in percent, negative for worse; None where it is undefined."""
    if baseline is None or value is None or baseline == 0:
        return None
    return (Fraction(baseline) - Fraction(value)) * 100 / Fraction(baseline)


def change_from(baseline: Decimal | None, value: Decimal | None) -> Decimal | None:
    """Return value minus baseline, exactly; None unless both are known."""
    return None if baseline is None or value is None else value - baseline


def has_response(improvement: Fraction | None, percent: int) -> bool | None:
    """Tell whether the improvement is at least so many percent; None where undefined."""
    return None if improvement is None else improvement >= percent


def responders(improvement: Fraction | None) -> dict[str, bool | None]:
    """Return PASI-50 to PASI-100 by an improvement."""
    return {f"pasi{percent}": has_response(improvement, percent) for percent in THRESHOLDS}


def as_number(exact: Fraction | None) -> Decimal | None:
    """Return an exact fraction as the number that is answered, with 15 digits."""
    if exact is None:
        return None
    return _DIGITS.divide(Decimal(exact.numerator), Decimal(exact.denominator))


def evaluate_improvement(asked: ImprovementInput) -> dict[str, Any]:
    """Answer the evaluation `improvement`."""
    baseline, value = asked.baseline_pasi, asked.pasi
    improvement = improvement_percent(baseline, value)
    return {
        "improvement_percent": as_number(improvement),
        "change": change_from(baseline, value),
        **responders(improvement),
        "worsened": None if improvement is None else improvement < 0,
        "reason": _why_undefined(baseline, value),
    }


def _why_undefined(baseline: Decimal | None, value: Decimal | None) -> str | None:
    if baseline is None:
        return "BASELINE_MISSING"
    if value is None:
        return "VALUE_MISSING"
    return "BASELINE_ZERO" if baseline == 0 else None
