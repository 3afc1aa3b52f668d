"""Tumour markers above the laboratory's limit prompt the investigator, who decides (E6b).

The panel is a setting, because the protocol names none (rulebook section 6).
"""

from collections.abc import Mapping
from typing import Final

from services.enrolment.domain.criteria.findings import Evaluation, Finding, Rule, in_words
from services.enrolment.domain.criteria.statements import SEX
from services.enrolment.domain.eligibility_facts import LaboratoryFact
from services.protocol.settings import Sex

_STATED: Final = "/medical/abnormal_tumour_marker"
_MARKERS: Final = "/labs/tumour_markers"
_SEX_BY_MARKER: Final[Mapping[str, Sex]] = {"CA125": "female", "PSA": "male"}


def marker_named(test: str, panel: tuple[str, ...]) -> str | None:
    """Return the panel's name of a test, however the laboratory spells it; `ca19_9` is CA19-9."""
    return next((name for name in panel if _letters(name) == _letters(test)), None)


def _letters(name: str) -> str:
    return "".join(sign for sign in name.upper() if sign.isalnum())


def _tumour_marker(evaluation: Evaluation) -> Finding:
    """Judge E6b by the investigator's word; show the panel, and flag what is above its limit."""
    sex = evaluation.read(SEX)
    panel = [
        name
        for name in evaluation.settings.tumour_marker_panel
        if sex is None or _SEX_BY_MARKER.get(name, sex) == sex
    ]
    reported: Mapping[str, LaboratoryFact] = evaluation.read(_MARKERS) or {}
    high = [name for name in panel if name in reported and _is_above_limit(reported[name])]
    shown = tuple(
        f"{_MARKERS}/{name}/{member}"
        for name in panel
        if name in reported
        for member in ("value", "unit", "uln")
    )
    return Finding(
        result=in_words(evaluation.read(_STATED)),
        read=(_STATED, *shown),
        settings=("tumour_marker_panel",),
        lacking=(_STATED,),
        derived={
            "above_uln": (high, None),
            "not_reported": ([name for name in panel if name not in reported], None),
        },
        flags=("tumour_marker_above_uln",) if high else (),
    )


def _is_above_limit(fact: LaboratoryFact) -> bool:
    if fact.value is None or fact.uln is None or fact.uln_unit not in {None, fact.unit}:
        return False
    return fact.value > fact.uln


RULES: Final[Mapping[str, Rule]] = {"E6b": _tumour_marker}
