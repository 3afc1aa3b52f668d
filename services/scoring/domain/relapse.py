"""Relapse: the loss of a response once reached, by three definitions (rulebook section 2)."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as form

from services.protocol.settings import RelapseDefinition
from services.scoring.domain.improvement import Points, improvement_percent

LITERAL: Final[RelapseDefinition] = "improvement_below_50_percent"
NPF: Final[RelapseDefinition] = "npf_loss_of_50_percent_of_improvement"
EMA: Final[RelapseDefinition] = "ema_more_than_50_percent_of_best_improvement"
_RESPONSE_PERCENT: Final = 50
MOST_VALUES: Final = 1000


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RelapseInput:
    """A baseline, and the values after it in the order of time; null where missing."""

    baseline_pasi: Points | None = None
    values: Annotated[tuple[Points | None, ...], Field(max_length=MOST_VALUES)] = ()


def follow_response(
    improvements: Iterable[Fraction], definition: RelapseDefinition
) -> Iterator[bool]:
    """Tell after each value whether the participant is in response.

    By the registry a value of 50 % or more is; by `npf` a response reached lasts until at
    least half of the best improvement is lost, by `ema` until more than half is.
    """
    best: Fraction | None = None
    is_in_response = False
    for improvement in improvements:
        best = improvement if best is None else max(best, improvement)
        if definition == LITERAL:
            is_in_response = improvement >= _RESPONSE_PERCENT
        else:
            reached = is_in_response or improvement >= _RESPONSE_PERCENT
            is_in_response = reached and not _is_lost(improvement, best, definition)
        yield is_in_response


def _is_lost(improvement: Fraction, best: Fraction, definition: RelapseDefinition) -> bool:
    half = best / 2
    return improvement <= half if definition == NPF else improvement < half


def relapse_indices(in_response: Sequence[bool]) -> list[int]:
    """Return where a value not in response follows one in response."""
    return [
        at
        for at, (before, after) in enumerate(pairwise(in_response), start=1)
        if before and not after
    ]


def evaluate_relapse(asked: RelapseInput) -> dict[str, Any]:
    """Answer the evaluation `relapse-definitions`: the place of the first relapse, or null."""
    return {
        name: _first_relapse(asked.baseline_pasi, asked.values, definition)
        for name, definition in (("literal", LITERAL), ("npf", NPF), ("ema", EMA))
    }


def _first_relapse(
    baseline: Decimal | None, values: Sequence[Decimal | None], definition: RelapseDefinition
) -> int | None:
    known = [
        (at, improvement)
        for at, value in enumerate(values)
        if (improvement := improvement_percent(baseline, value)) is not None
    ]
    states = list(follow_response([improvement for _, improvement in known], definition))
    found = relapse_indices(states)
    return known[found[0]][0] if found else None
