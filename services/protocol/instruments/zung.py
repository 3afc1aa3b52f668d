"""Zung's self-rating scales of anxiety (SAS) and depression (SDS), rulebook section 5.

Item numbers only: the wording of the items belongs to others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError

from services.kernel.values import WHOLE

Scale = Literal["SAS", "SDS"]
ITEMS: Final = 20
LOWEST: Final = 1
HIGHEST: Final = 4
REVERSED: Final[dict[Scale, frozenset[int]]] = {
    "SAS": frozenset({5, 9, 13, 17, 19}),
    "SDS": frozenset({2, 5, 6, 11, 12, 14, 16, 17, 18, 20}),
}

Option = Annotated[int, Field(ge=LOWEST, le=HIGHEST), WHOLE]


def _of_length(answers: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Refuse another number of items, beside what is wrong with single ones."""
    if not isinstance(answers, list | tuple) or len(answers) == ITEMS:
        return read(answers)
    wrong = [_error("LENGTH", "The form has 20 items.", ())]
    try:
        read(answers[:ITEMS])
    except ValidationError as invalid:
        wrong += [_error(one["type"], one["msg"], one["loc"]) for one in invalid.errors()]
    raise ValidationError.from_exception_data("ZungAnswers", wrong)


def _error(kind: str, detail: str, place: tuple[int | str, ...]) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, detail), loc=place, input=None)


ZungAnswers = Annotated[
    tuple[Option | None, ...],
    WrapValidator(_of_length),
    Field(json_schema_extra={"minItems": ITEMS, "maxItems": ITEMS}),
]
"""The options as ticked, before reversal, in the order of the questionnaire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZungScore:
    """Raw score (20 to 80) and index (25 to 100); with items missing, the index's bounds."""

    missing_items: tuple[int, ...]
    raw: int | None
    index: int | None
    index_min: int
    index_max: int


def score_zung(scale: Scale, answers: Sequence[int | None]) -> ZungScore:
    """Return the score; items are reversed first, the index is cut to a whole number."""
    reversed_items = REVERSED[scale]
    scored = [
        LOWEST + HIGHEST - ticked if item in reversed_items else ticked
        for item, ticked in enumerate(answers, start=1)
        if ticked is not None
    ]
    missing = tuple(item for item, ticked in enumerate(answers, start=1) if ticked is None)
    raw = sum(scored)
    return ZungScore(
        missing_items=missing,
        raw=None if missing else raw,
        index=None if missing else index_of(raw),
        index_min=index_of(raw + LOWEST * len(missing)),
        index_max=index_of(raw + HIGHEST * len(missing)),
    )


def index_of(raw: int) -> int:
    """Return the integer part of 1.25 times the raw score."""
    return raw * 5 // 4
