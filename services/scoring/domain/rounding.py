"""Rounding for display: half up, never before a comparison (rulebook, ground rule 2)."""

from decimal import ROUND_HALF_UP, Decimal


def half_up(value: Decimal, places: int) -> Decimal:
    """Return the value with so many decimals, half up."""
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
