"""How a criterion's result is shown: the rule, the values used, and what is missing."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from services.enrolment.domain.criteria.findings import Evaluation, Finding
from services.kernel.values import PartialDate
from services.protocol.study import Criterion

_SUPPLIER_BY_SECTION: Final = {
    "consent": "coordinator",
    "first_screening_procedure_datetime": "coordinator",
    "planned_first_infusion_date": "coordinator",
    "demographics": "coordinator",
    "severity": "assessor",
    "labs": "laboratory",
    "reproductive": "participant, recorded by the investigator",
    "other_trials": "participant, recorded by the investigator",
    "therapies": "participant, recorded by the investigator",
}
_SUPPLIER_BY_POINTER: Final = {
    "/psych/sas_index": "assessor",
    "/psych/sas_answers": "assessor",
    "/psych/sds_index": "assessor",
    "/psych/sds_answers": "assessor",
    "/medical/any_allergy_history": "participant, recorded by the investigator",
}
_UNIT_BY_POINTER: Final = {"/severity/bsa_percent": "%"}
_INVESTIGATOR: Final = "investigator"
ATTESTATION: Final = "attestation"
"""Lacking where facts were entered by someone who may not judge them."""


def explain(
    criterion: Criterion,
    finding: Finding,
    evaluation: Evaluation,
    sources: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a criterion's trace; pointers are into the eligibility facts."""
    settings = {name: getattr(evaluation.settings, name) for name in finding.settings}
    return {
        "rule": criterion.text,
        "type": criterion.type,
        "attested_by": criterion.attested_by,
        "values": [
            _value(pointer, evaluation, sources)
            for pointer in finding.read
            if evaluation.read(pointer) is not None
        ],
        "derived": {
            name: {"value": value, "unit": unit} for name, (value, unit) in finding.derived.items()
        },
        "settings": settings,
        "missing": _missing(finding, evaluation),
        "flags": list(finding.flags),
    }


def _value(pointer: str, evaluation: Evaluation, sources: Mapping[str, Any]) -> dict[str, Any]:
    value = evaluation.read(pointer)
    return {
        "pointer": pointer,
        "value": _shown(value),
        "unit": _unit(pointer, evaluation),
        "source": _source(pointer, sources),
    }


def _shown(value: Any) -> Any:
    if isinstance(value, PartialDate):
        return value.text
    if is_dataclass(value) and not isinstance(value, type):
        return _form(type(value)).dump_python(value, by_alias=True, exclude_none=True)
    return value


@cache
def _form(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _unit(pointer: str, evaluation: Evaluation) -> str | None:
    section, _, member = pointer.rpartition("/")
    if not section.startswith("/labs") or member not in ("value", "uln"):
        return _UNIT_BY_POINTER.get(pointer)
    of_limit = evaluation.read(f"{section}/uln_unit") if member == "uln" else None
    unit: str | None = of_limit or evaluation.read(f"{section}/unit")
    return unit


def _source(pointer: str, sources: Mapping[str, Any]) -> Any:
    """Return the source of the nearest part that has one, from the value upwards."""
    while pointer and pointer not in sources:
        pointer = pointer.rpartition("/")[0]
    return sources.get(pointer)


def _missing(finding: Finding, evaluation: Evaluation) -> list[dict[str, str]]:
    if finding.result != "unknown":
        return []
    return [
        {
            "pointer": pointer,
            "supplied_by": _supplier(pointer),
            "detail": _why_missing(pointer, evaluation),
        }
        for pointer in finding.lacking
    ]


def _supplier(pointer: str) -> str:
    section = pointer.removeprefix("/").partition("/")[0]
    by_section = _SUPPLIER_BY_SECTION.get(section, _INVESTIGATOR)
    return _SUPPLIER_BY_POINTER.get(pointer, by_section)


def _why_missing(pointer: str, evaluation: Evaluation) -> str:
    if pointer == ATTESTATION:
        return "Entered, but not yet attested by an investigator."
    if evaluation.read(pointer) is None:
        return "Not stated."
    return "Stated, but it does not decide the criterion."
