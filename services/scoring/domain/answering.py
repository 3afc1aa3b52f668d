"""Answers as they were entered, read strictly; every fault named by its place on the form.

A fault's code is the place and the kind, as in `head.erythema:RANGE` (vectors' README); a
member that nobody defined is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.kernel.refusals import Fault, Impossible
from services.protocol.settings import Settings

FormT = TypeVar("FormT")
Place = Callable[[Sequence[str | int]], str]
"""Turns the way to a member into the place's name on the form."""

_KIND_BY_ERROR: Final = {
    "greater_than": "RANGE",
    "greater_than_equal": "RANGE",
    "less_than": "RANGE",
    "less_than_equal": "RANGE",
    "literal_error": "RANGE",
    "too_short": "LENGTH",
    "too_long": "LENGTH",
    "missing": "MISSING",
}
_OWN_KINDS: Final = frozenset(
    {"TYPE", "NOT_INTEGER", "RANGE", "PRECISION", "MISMATCH", "NOT_RELEVANT_NOT_OFFERED", "LENGTH"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What an instrument's rule makes of its answers.

    `score` is in the instrument's smallest unit; None where there is no score.
    """

    derived: Mapping[str, Any]
    rule_version: str
    score: int | None
    warnings: Sequence[Mapping[str, str]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One instrument: its code, the version of its rule, and the rule.

    `member`: where its derived members hold its value. `parts`: how many of the smallest
    unit, in which scores are stored, make one of that value's. `unit`: that value's, in words.
    """

    code: str
    rule_version: str
    score: Callable[[Mapping[str, Any], Settings], Scored]
    member: str
    parts: int
    unit: str


def read_answers(
    kind: TypeAdapter[FormT], answers: object, place: Place, *, prefix: str = ""
) -> FormT:
    """Return the typed answers.

    Raises Impossible with a fault for everything that cannot be; pointers are below `prefix`.
    """
    try:
        return kind.validate_python(answers)
    except ValidationError as invalid:
        faults = [_fault(error, place, prefix) for error in invalid.errors(include_url=False)]
        raise Impossible("The answers cannot be so.", faults=list(dict.fromkeys(faults))) from None


def _fault(error: Any, place: Place, prefix: str) -> Fault:
    kind = str(error["type"])
    pointer = prefix + "".join(f"/{part}" for part in error["loc"])
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return Fault(pointer, "unknown_member", "Nobody defined this member.")
    kind = kind if kind in _OWN_KINDS else _KIND_BY_ERROR.get(kind, "TYPE")
    named = place([*error["loc"], "area"] if kind == "MISMATCH" else error["loc"])
    return Fault(pointer, f"{named}:{kind}" if named else kind, _DETAIL.get(kind, error["msg"]))


_DETAIL: Final = {
    "TYPE": "The value is of another type than the form has.",
    "RANGE": "The form does not offer this value.",
    "LENGTH": "The form has another number of items.",
    "MISSING": "This part of the form is required.",
}


def dotted(loc: Sequence[str | int]) -> str:
    """Return a place whose parts are names, such as `head.erythema`."""
    return ".".join(str(part) for part in loc)
