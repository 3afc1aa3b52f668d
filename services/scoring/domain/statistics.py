"""Statistics for few participants: exact limits, exact tests, no word on significance.

Source: rulebook section 2. With five pairs the smallest two-sided p is 0.0625.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from math import sqrt
from statistics import NormalDist
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass as form
from pydantic_core import PydanticCustomError
from scipy.special import betaincinv

from services.kernel.values import NUMBER, WHOLE, Flag, Number
from services.scoring.domain.improvement import as_number

CLOSED = ConfigDict(extra="forbid")
USUAL_CONFIDENCE: Final = Decimal("0.95")
MOST_VALUES: Final = 100_000
MOST_FOLLOWED: Final = 10_000
LARGEST_EXACT: Final = 300
"""Pairs up to which the signed rank test enumerates all signs."""

_ROOTS: Final = Context(prec=28)
_DIGITS: Final = Context(prec=15)
Count = Annotated[int, Field(ge=0, le=10**9), WHOLE]
Confidence = Annotated[Decimal, Field(gt=0, lt=1), NUMBER]


@form(frozen=True, kw_only=True, config=CLOSED)
class ProportionInput:
    """So many of so many."""

    n: Count
    k: Count
    confidence: Confidence = USUAL_CONFIDENCE

    @model_validator(mode="after")
    def _is_part(self) -> "ProportionInput":
        if self.k > self.n:
            raise PydanticCustomError("RANGE", "k is at most n.")
        return self


@form(frozen=True, kw_only=True, config=CLOSED)
class SignedRankInput:
    """Differences of pairs."""

    differences: Annotated[tuple[Number | None, ...], Field(max_length=MOST_VALUES)]


@form(frozen=True, kw_only=True, config=CLOSED)
class FollowedInput:
    """Days until the event, or until the last look at who had none."""

    days: Count
    event: Flag


@form(frozen=True, kw_only=True, config=CLOSED)
class KaplanMeierInput:
    """Everyone at risk."""

    rows: Annotated[tuple[FollowedInput, ...], Field(max_length=MOST_FOLLOWED)]


@form(frozen=True, kw_only=True, config=CLOSED)
class SummaryInput:
    """Values to be summarised; null where missing."""

    values: Annotated[tuple[Number | None, ...], Field(max_length=MOST_VALUES)]


def clopper_pearson(k: int, n: int, confidence: Decimal = USUAL_CONFIDENCE) -> Any:
    """Return exact limits of a proportion; None without anyone."""
    if n == 0:
        return None
    alpha = (1 - float(confidence)) / 2
    lower = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, alpha))
    upper = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - alpha))
    return [_decimal(lower), _decimal(upper)]


def wilson(k: int, n: int, confidence: Decimal = USUAL_CONFIDENCE) -> Any:
    """Return score limits of a proportion, without continuity correction."""
    if n == 0:
        return None
    z = NormalDist().inv_cdf((1 + float(confidence)) / 2)
    middle = (k + z * z / 2) / (n + z * z)
    reach = z * sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    lower = 0.0 if k == 0 else middle - reach
    upper = 1.0 if k == n else middle + reach
    return [_decimal(lower), _decimal(upper)]


def _decimal(value: float) -> Decimal:
    return _DIGITS.create_decimal(repr(value))


def evaluate_proportion(asked: ProportionInput) -> dict[str, Any]:
    """Answer the evaluation `proportion-ci`."""
    proportion = Fraction(asked.k, asked.n) if asked.n else None
    return {
        "proportion": as_number(proportion),
        "clopper_pearson": clopper_pearson(asked.k, asked.n, asked.confidence),
        "wilson": wilson(asked.k, asked.n, asked.confidence),
    }


def proportion(k: int, n: int) -> dict[str, Any]:
    """Return a proportion of a cohort in percent with its 95 % limits."""
    return {
        "k": k,
        "n": n,
        "percent": as_number(Fraction(100 * k, n)) if n else None,
        "clopper_pearson_95": clopper_pearson(k, n),
        "wilson_95": wilson(k, n),
    }


def signed_rank(differences: Iterable[Decimal | Fraction | None]) -> dict[str, Any]:
    """Return Wilcoxon's signed rank test: zeros dropped, mid-ranks, all signs enumerated.

    Beyond 300 pairs the normal approximation with ties corrected stands in.
    """
    used = [one for one in differences if one is not None and one != 0]
    doubled = _doubled_ranks([abs(Fraction(one)) for one in used])
    positive = sum(rank for rank, one in zip(doubled, used, strict=True) if one > 0)
    answer: dict[str, Any] = {
        "n_used": len(used),
        "w_plus": as_number(Fraction(positive, 2)),
        "p_two_sided": None,
    }
    if not used:
        return answer
    if len(used) > LARGEST_EXACT:
        squares = sum(rank * rank for rank in doubled)
        return {**answer, **approximate_p(sum(doubled), squares, positive)}
    return {**answer, "p_two_sided": as_number(_exact_p(doubled, positive)), "method": "exact"}


def _doubled_ranks(sizes: Sequence[Fraction]) -> list[int]:
    """Return twice the mid-ranks, which are whole numbers."""
    counted = Counter(sizes)
    rank_by_size, below = {}, 0
    for size in sorted(counted):
        rank_by_size[size] = 2 * below + counted[size] + 1
        below += counted[size]
    return [rank_by_size[size] for size in sizes]


def _exact_p(doubled: Sequence[int], positive: int) -> Fraction:
    """Return min(1, twice the smaller tail) over all sign patterns.

    The distribution is one long integer whose digits, each of bytes enough for all patterns,
    count the patterns of each rank sum.
    """
    width = len(doubled) // 8 + 1
    ways = 1
    for rank in doubled:
        ways += ways << (8 * rank * width)
    total = sum(doubled)
    smaller = min(positive, total - positive)
    counts = ways.to_bytes((total + 1) * width, "little")
    tail = sum(
        int.from_bytes(counts[at * width : (at + 1) * width], "little") for at in range(smaller + 1)
    )
    return min(Fraction(1), Fraction(2 * tail, 1 << len(doubled)))


def approximate_p(total: int, squares: int, positive: int) -> dict[str, Any]:
    """Return p by the normal approximation, from sums of the doubled ranks."""
    distance = abs(positive - total / 2)
    p = min(1.0, 2 * NormalDist().cdf(-distance / (sqrt(squares) / 2)))
    return {"p_two_sided": _decimal(p), "method": "normal"}


def evaluate_signed_rank(asked: SignedRankInput) -> dict[str, Any]:
    """Answer the evaluation `signed-rank`."""
    return signed_rank(asked.differences)


def kaplan_meier(rows: Iterable[tuple[int, bool]]) -> dict[str, Any]:
    """Return survival at each event; who is censored on an event's day is at risk that day."""
    followed = sorted(rows)
    days = [day for day, _ in followed]
    events = Counter(day for day, is_event in followed if is_event)
    survival = Fraction(1)
    steps, median = [], None
    for time in sorted(events):
        at_risk = len(days) - bisect_left(days, time)
        survival *= 1 - Fraction(events[time], at_risk)
        steps.append(
            {
                "time": time,
                "at_risk": at_risk,
                "events": events[time],
                "survival": as_number(survival),
            }
        )
        if median is None and survival <= Fraction(1, 2):
            median = time
    return {"steps": steps, "median": median}


def evaluate_kaplan_meier(asked: KaplanMeierInput) -> dict[str, Any]:
    """Answer the evaluation `kaplan-meier`."""
    return kaplan_meier((row.days, row.event) for row in asked.rows)


def summarise(values: Iterable[Decimal | Fraction | None]) -> dict[str, Any]:
    """Return n, mean, SD (n - 1), median, quartiles of type 7, and the extremes."""
    known = sorted(Fraction(value) for value in values if value is not None)
    n = len(known)
    mean = sum(known, Fraction(0)) / n if n else None
    squares = sum(((one - mean) ** 2 for one in known), Fraction(0)) if mean is not None else None
    return summary(n, mean, squares, known.__getitem__)


def summary(
    n: int, mean: Fraction | None, squares: Fraction | None, value: Callable[[int], Fraction]
) -> dict[str, Any]:
    """Return the summary of n values; `squares` are those of the distances from the mean.

    `value` returns the value with so many before it in their order.
    """
    return {
        "n": n,
        "mean": as_number(mean),
        "sd": _deviation(n, squares),
        "median": as_number(_quantile(n, value, Fraction(1, 2))),
        "q1_type7": as_number(_quantile(n, value, Fraction(1, 4))),
        "q3_type7": as_number(_quantile(n, value, Fraction(3, 4))),
        "min": as_number(value(0)) if n else None,
        "max": as_number(value(n - 1)) if n else None,
    }


def _deviation(n: int, squares: Fraction | None) -> Decimal | None:
    if squares is None or n == 1:
        return None
    variance = squares / (n - 1)
    exact = _ROOTS.divide(Decimal(variance.numerator), Decimal(variance.denominator))
    return _DIGITS.plus(_ROOTS.sqrt(exact))


def _quantile(n: int, value: Callable[[int], Fraction], part: Fraction) -> Fraction | None:
    if n == 0:
        return None
    place = (n - 1) * part
    below = int(place)
    lower, upper = value(below), value(min(below + 1, n - 1))
    return lower + (upper - lower) * (place - below)


def evaluate_summary(asked: SummaryInput) -> dict[str, Any]:
    """Answer the evaluation `summary`."""
    return summarise(asked.values)
