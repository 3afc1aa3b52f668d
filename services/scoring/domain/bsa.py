"""Body surface area affected, by the assessor's estimate (rulebook sections 1 and 4)."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as form

from services.kernel.values import NUMBER
from services.protocol.settings import Settings
from services.scoring.domain.answering import Instrument, Scored, dotted, read_answers
from services.scoring.domain.rounding import half_up

RULE_VERSION: Final = "bsa/1"


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class BsaAnswers:
    """The percent of the body's surface that is affected, 0 to 100."""

    percent: Annotated[Decimal, Field(ge=0, le=100), NUMBER] | None = None


ANSWERS: Final = TypeAdapter(BsaAnswers)


def score_bsa(answers: Mapping[str, Any], _settings: Settings) -> Scored:
    """Keep the percent to one decimal. Raises Impossible."""
    percent = read_answers(ANSWERS, answers, dotted).percent
    shown = None if percent is None else half_up(percent, 1)
    return Scored(
        derived={"valid": True, "bsa_percent": shown},
        rule_version=RULE_VERSION,
        score=None if shown is None else int(shown * 10),
    )


BSA: Final = Instrument(
    code="bsa",
    rule_version=RULE_VERSION,
    score=score_bsa,
    member="bsa_percent",
    parts=10,
    unit="% of body surface",
)
