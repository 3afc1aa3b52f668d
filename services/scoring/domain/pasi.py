"""PASI as it is filled in and recorded (rulebook section 1); the score is the protocol's."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as form

from services.protocol.instruments.pasi import (
    PasiRegions,
    derived_bsa_percent,
    missing_parts,
    odd_regions,
    region_tenths,
    total_tenths,
)
from services.protocol.settings import Settings
from services.scoring.domain.answering import Instrument, Scored, read_answers

RULE_VERSION: Final = "pasi/1"


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PasiAnswers:
    """The four regions as the assessor graded them."""

    regions: PasiRegions


ANSWERS: Final = TypeAdapter(PasiAnswers)

_WARNINGS: Final = {
    "AREA_ZERO_WITH_SEVERITY": "Signs are graded where no area is involved; the region counts 0.",
    "AREA_WITHOUT_SEVERITY": "An area is involved where no sign is graded; the region counts 0.",
}


def score_pasi(answers: Mapping[str, Any], settings: Settings) -> Scored:
    """Score a PASI form; without all of all regions there is no score. Raises Impossible."""
    form = read_answers(ANSWERS, answers, _place).regions
    odd = odd_regions(form)
    derived = derive_pasi(form, settings)
    return Scored(
        derived=derived,
        rule_version=RULE_VERSION,
        score=derived["pasi_tenths"],
        warnings=tuple(
            {"pointer": f"/regions/{region}", "code": code, "detail": _WARNINGS[code]}
            for region, code in odd
        ),
    )


def derive_pasi(form: PasiRegions, settings: Settings) -> dict[str, Any]:
    """Return what follows from a form, with the members of the pasi vectors."""
    parts = region_tenths(form)
    tenths = total_tenths(parts)
    pasi = None if tenths is None else Decimal(tenths) / 10
    return {
        "valid": True,
        "complete": tenths is not None,
        "missing": missing_parts(form),
        "pasi": pasi,
        "pasi_tenths": tenths,
        "region_tenths": parts,
        "warnings": [f"{region}:{code}" for region, code in odd_regions(form)],
        "meets_trial_pasi_gt_7": None if pasi is None else pasi > settings.eligibility.pasi_gt,
        "bsa_percent_from_regions": derived_bsa_percent(form),
    }


def _place(loc: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in loc[1:] if part != "area_percent" or loc[-1] != "area")


PASI: Final = Instrument(
    code="pasi",
    rule_version=RULE_VERSION,
    score=score_pasi,
    member="pasi",
    parts=10,
    unit="points",
)
