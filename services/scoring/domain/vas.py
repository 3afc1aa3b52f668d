"""Pruritus on a visual analogue scale of 100 mm (rulebook section 4)."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as form

from services.kernel.refusals import Fault, Impossible
from services.kernel.values import Number
from services.protocol.settings import Settings
from services.scoring.domain.answering import Instrument, Scored, dotted, read_answers
from services.scoring.domain.rounding import half_up

RULE_VERSION: Final = "vas/1"
_MM_BY_UNIT: Final = {"mm": 1, "cm": 10}
_LINE_MM: Final = 100
_BANDS_MM: Final = ((90, "very_severe"), (70, "severe"), (40, "moderate"))


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class VasAnswers:
    """Where the line was marked; without its unit a number says nothing."""

    unit: Literal["mm", "cm"]
    value: Number | None = None


ANSWERS: Final = TypeAdapter(VasAnswers)


def score_vas(answers: Mapping[str, Any], _settings: Settings) -> Scored:
    """Return millimetres with one decimal, and the band of the exact value.

    Raises Impossible for what is not on the line.
    """
    form = read_answers(ANSWERS, answers, dotted)
    if form.value is None:
        derived = {"valid": True, "vas_mm": None, "category": None}
        return Scored(derived=derived, rule_version=RULE_VERSION, score=None)
    exact = form.value * _MM_BY_UNIT[form.unit]
    if not 0 <= exact <= _LINE_MM:
        fault = Fault("/value", "value:RANGE", "The line is 100 mm long.")
        raise Impossible("The mark is not on the line.", faults=[fault])
    shown = half_up(exact, 1)
    return Scored(
        derived={"valid": True, "vas_mm": shown, "category": band(exact)},
        rule_version=RULE_VERSION,
        score=int(shown * 10),
    )


def band(exact_mm: Decimal) -> str:
    """Return the band of an exact value in mm."""
    if exact_mm == 0:
        return "none"
    return next((name for start, name in _BANDS_MM if exact_mm >= start), "mild")


VAS: Final = Instrument(
    code="vas",
    rule_version=RULE_VERSION,
    score=score_vas,
    member="vas_mm",
    parts=10,
    unit="mm",
)
