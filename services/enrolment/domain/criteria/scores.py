"""Criteria on scores: severity of the disease, anxiety, depression (rulebook section 6)."""

from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Final, Literal

from services.enrolment.domain.criteria.findings import Evaluation, Finding, Rule, in_words
from services.enrolment.domain.criteria.logic import agreeing, any_of
from services.protocol.instruments.pasi import derived_bsa_percent, pasi_tenths
from services.protocol.instruments.zung import score_zung

_PASI: Final = "/severity/pasi"
_BSA: Final = "/severity/bsa_percent"
_REGIONS: Final = "/severity/pasi_regions"


def _severity(evaluation: Evaluation) -> Finding:
    """Judge I1b: PASI or BSA above its limit; either alone is enough."""
    settings = evaluation.settings
    pasi, bsa = _pasi(evaluation), _bsa_percent(evaluation)
    outcome = any_of(_is_above(pasi, settings.pasi_gt), _is_above(bsa, settings.bsa_gt))
    derived: dict[str, tuple[object, str | None]] = {}
    if pasi is not None and evaluation.read(_PASI) is None:
        derived["pasi"] = (pasi, None)
    if bsa is not None and evaluation.read(_BSA) is None:
        derived["bsa_percent"] = (bsa, "%")
    lacking = tuple(pointer for pointer, value in ((_PASI, pasi), (_BSA, bsa)) if value is None)
    return Finding(
        result=in_words(outcome),
        read=(_PASI, _REGIONS, _BSA),
        settings=("pasi_gt", "bsa_gt"),
        lacking=lacking,
        derived=derived,
    )


def _pasi(evaluation: Evaluation) -> Decimal | None:
    stated: Decimal | None = evaluation.read(_PASI)
    regions = evaluation.read(_REGIONS)
    if stated is not None or regions is None:
        return stated
    tenths = pasi_tenths(regions)
    return None if tenths is None else Decimal(tenths) / 10


def _bsa_percent(evaluation: Evaluation) -> Decimal | None:
    """Return the assessor's BSA, else that derived from the regions' percents."""
    stated: Decimal | None = evaluation.read(_BSA)
    regions = evaluation.read(_REGIONS)
    if stated is not None or regions is None:
        return stated
    return derived_bsa_percent(regions)


def _is_above(value: Decimal | None, limit: Decimal) -> bool | None:
    return None if value is None else value > limit


def _zung(scale: Literal["sas", "sds"], evaluation: Evaluation) -> Finding:
    """Judge E4a or E4b by the index, else by the answers as far as they decide."""
    cutoff = evaluation.settings.sas_gt if scale == "sas" else evaluation.settings.sds_gt
    index_pointer, answers_pointer = f"/psych/{scale}_index", f"/psych/{scale}_answers"
    index, answers = evaluation.read(index_pointer), evaluation.read(answers_pointer)
    derived: dict[str, tuple[object, str | None]] = {}
    outcome = None
    if index is not None:
        outcome = index > cutoff
    elif answers is not None:
        scored = score_zung("SAS" if scale == "sas" else "SDS", answers)
        outcome = agreeing(scored.index_min > cutoff, scored.index_max > cutoff)
        derived = {"index_min": (scored.index_min, None), "index_max": (scored.index_max, None)}
    return Finding(
        result=in_words(outcome),
        read=(index_pointer, answers_pointer),
        settings=(f"{scale}_gt",),
        lacking=(index_pointer if answers is None else answers_pointer,),
        derived=derived,
    )


RULES: Final[Mapping[str, Rule]] = {
    "I1b": _severity,
    "E4a": partial(_zung, "sas"),
    "E4b": partial(_zung, "sds"),
}
