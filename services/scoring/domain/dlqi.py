"""Dermatology Life Quality Index: item numbers and scores only (rulebook section 3).

Item 7 has two parts: part one decides with "yes", else part two is scored.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as form
from pydantic_core import PydanticCustomError

from services.kernel.values import read_number
from services.protocol.settings import Settings
from services.scoring.domain.answering import Instrument, Scored, read_answers

RULE_VERSION: Final = "dlqi/1"
NOT_RELEVANT: Final = "NR"
MOST_UNANSWERED: Final = 1
MEANINGFUL_FALL: Final = 4
_SEVEN: Final = 7
_HIGHEST: Final = 3
_PREVENTED: Final = 3
_PROBLEM: Final = {"a_lot": 2, "a_little": 1, "not_at_all": 0}
_DOMAINS: Final = {
    "symptoms_feelings": (1, 2),
    "daily_activities": (3, 4),
    "leisure": (5, 6),
    "work_school": (7,),
    "personal_relationships": (8, 9),
    "treatment": (10,),
}
_BANDS: Final = ((21, "extremely_large"), (11, "very_large"), (6, "moderate"), (2, "small"))


def _read_item(value: object) -> object:
    if value == NOT_RELEVANT:
        return value
    number = read_number(value)
    if number not in range(_HIGHEST + 1):
        raise PydanticCustomError("RANGE", "An item is scored 0 to 3.")
    return int(number)


def _read_offered(value: object) -> object:
    if value == NOT_RELEVANT:
        raise PydanticCustomError("NOT_RELEVANT_NOT_OFFERED", "Items 1 and 2 do not offer it.")
    return _read_item(value)


Always = Annotated[int, Field(ge=0, le=_HIGHEST), BeforeValidator(_read_offered)]
Item = Annotated[int | Literal["NR"], BeforeValidator(_read_item)]


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ItemSeven:
    """Both parts of item 7 as ticked."""

    prevented: Literal["yes", "no", "not_relevant"] | None = None
    problem: Literal["a_lot", "a_little", "not_at_all"] | None = None


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DlqiItems:
    """The ten items as ticked; what was not answered is null or left out."""

    i1: Annotated[Always | None, Field(alias="1")] = None
    i2: Annotated[Always | None, Field(alias="2")] = None
    i3: Annotated[Item | None, Field(alias="3")] = None
    i4: Annotated[Item | None, Field(alias="4")] = None
    i5: Annotated[Item | None, Field(alias="5")] = None
    i6: Annotated[Item | None, Field(alias="6")] = None
    i7: Annotated[ItemSeven | None, Field(alias="7")] = None
    i8: Annotated[Item | None, Field(alias="8")] = None
    i9: Annotated[Item | None, Field(alias="9")] = None
    i10: Annotated[Item | None, Field(alias="10")] = None


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DlqiAnswers:
    """A DLQI form."""

    items: DlqiItems


ANSWERS: Final = TypeAdapter(DlqiAnswers)


def score_dlqi(answers: Mapping[str, Any], _settings: Settings) -> Scored:
    """Score a DLQI form; with two items unanswered there is no total. Raises Impossible."""
    derived = derive_dlqi(read_answers(ANSWERS, answers, _place).items)
    return Scored(derived=derived, rule_version=RULE_VERSION, score=derived["total"])


def derive_dlqi(items: DlqiItems) -> dict[str, Any]:
    """Return what follows from the items, with the members of the dlqi vectors."""
    scores = {item: _item_score(items, item) for item in range(1, 11)}
    missing = [item for item, score in scores.items() if score is None]
    known = sum(score for score in scores.values() if score is not None)
    total = known if len(missing) <= MOST_UNANSWERED else None
    return {
        "valid": True,
        "total": total,
        "band": None if total is None else _band(total),
        "missing_items": missing,
        "item7_score": scores[_SEVEN],
        "domains": {name: _domain(scores, of) for name, of in _DOMAINS.items()},
    }


def _item_score(items: DlqiItems, item: int) -> int | None:
    ticked = getattr(items, f"i{item}")
    if item == _SEVEN:
        return None if ticked is None else _seven(ticked)
    return 0 if ticked == NOT_RELEVANT else ticked


def _seven(ticked: ItemSeven) -> int | None:
    if ticked.prevented == "yes":
        return _PREVENTED
    if ticked.problem is not None:
        return _PROBLEM[ticked.problem]
    return None if ticked.prevented is None else 0


def _domain(scores: Mapping[int, int | None], items: Sequence[int]) -> int | None:
    parts = [scores[item] for item in items]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _band(total: int) -> str:
    return next((name for start, name in _BANDS if total >= start), "no_effect")


def derive_change(baseline: int | None, total: int | None) -> dict[str, Any]:
    """Return the change of the total, and whether it fell by a meaningful 4 points."""
    change = None if baseline is None or total is None else total - baseline
    return {"change": change, "mcid_improved": is_meaningful(change)}


def is_meaningful(change: Decimal | int | None) -> bool | None:
    """Tell whether a change is a meaningful fall; None where it is unknown."""
    return None if change is None else -change >= MEANINGFUL_FALL


def can_fall_meaningfully(baseline: Decimal | int | None) -> bool | None:
    """Tell whether a baseline leaves room for a meaningful fall; None where it is unknown."""
    return None if baseline is None else baseline >= MEANINGFUL_FALL


def _place(loc: Sequence[str | int]) -> str:
    return ".".join(str(part).removeprefix("i") for part in loc[1:] if part != "items")


DLQI: Final = Instrument(
    code="dlqi",
    rule_version=RULE_VERSION,
    score=score_dlqi,
    member="total",
    parts=1,
    unit="points",
)
