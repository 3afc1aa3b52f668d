"""Zung's scales as they are filled in and recorded (rulebook section 5).

Item 19 of the depression scale concerns thoughts that cannot wait: a high answer alerts the
investigator at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as form

from services.protocol.instruments.zung import Scale, ZungAnswers, score_zung
from services.protocol.settings import Settings
from services.scoring.domain.answering import Instrument, Scored, read_answers

RULE_VERSION: Final = "zung/1"
ALERT_ITEM: Final = 19
ALERT_FROM: Final = 3


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ZungForm:
    """Twenty options as ticked, 1 to 4, in the order of the questionnaire."""

    answers: ZungAnswers


ANSWERS: Final = TypeAdapter(ZungForm)


def derive_zung(scale: Scale, answers: Sequence[int | None], settings: Settings) -> dict[str, Any]:
    """Return what follows from the answers, with the members of the sas_sds vectors."""
    scored = score_zung(scale, answers)
    limits = settings.eligibility
    cutoff = limits.sas_gt if scale == "SAS" else limits.sds_gt
    above = {scored.index_min > cutoff, scored.index_max > cutoff}
    return {
        "valid": True,
        **asdict(scored),
        "missing_items": list(scored.missing_items),
        "exceeds_cutoff": above.pop() if len(above) == 1 else None,
    }


def _score(scale: Scale, answers: Mapping[str, Any], settings: Settings) -> Scored:
    """Score one scale. Raises Impossible."""
    ticked = read_answers(ANSWERS, answers, _place).answers
    derived = derive_zung(scale, ticked, settings)
    alert = ticked[ALERT_ITEM - 1] if scale == "SDS" else None
    warnings = (
        {
            "pointer": f"/answers/{ALERT_ITEM - 1}",
            "code": "SDS_ITEM_19",
            "detail": "The investigator must see this answer at once.",
        },
    )
    return Scored(
        derived=derived,
        rule_version=RULE_VERSION,
        score=derived["index"],
        warnings=warnings if alert is not None and alert >= ALERT_FROM else (),
    )


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ScaleForm:
    """One of the two scales, and its answers."""

    scale: Scale
    answers: ZungAnswers


_SCALE_FORM: Final = TypeAdapter(ScaleForm)


def evaluate_scale(asked: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Answer the evaluation `sas-sds`; raises Impossible."""
    form = read_answers(_SCALE_FORM, asked, _place)
    return derive_zung(form.scale, form.answers, settings)


score_sas: Final = partial(_score, "SAS")
score_sds: Final = partial(_score, "SDS")


def _place(loc: Sequence[str | int]) -> str:
    """Name an item by its number, `scale` by its name, the list of answers not at all."""
    if len(loc) > 1:
        return str(int(loc[1]) + 1)
    return "".join(str(part) for part in loc if part != "answers")


SAS: Final = Instrument(
    code="sas",
    rule_version=RULE_VERSION,
    score=score_sas,
    member="index",
    parts=1,
    unit="points",
)
SDS: Final = Instrument(
    code="sds",
    rule_version=RULE_VERSION,
    score=score_sds,
    member="index",
    parts=1,
    unit="points",
)
