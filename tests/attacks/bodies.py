"""Bodies that are valid in every member, to be spoilt."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

VECTORS: Final = Path(__file__).parents[1] / "vectors" / "eligibility.json"
_SCREENED: Final = json.loads(VECTORS.read_text("utf-8"))["cases"][0]["input"]
_OWN: Final = (
    "first_screening_procedure_datetime",
    "planned_first_infusion_date",
    "diagnosis",
    "reproductive",
    "medical",
    "other_trials",
    "therapies",
    "investigator",
)
_SAS_CALM: Final = (2, 1, 1, 1, 4, 1, 1, 1, 4, 1, 1, 1, 4, 1, 1, 1, 4, 1, 4, 1)
_SDS_CALM: Final = (1, 4, 1, 2, 4, 4, 1, 1, 1, 1, 4, 4, 1, 4, 1, 4, 4, 4, 1, 4)
_LABORATORY: Final = (
    ("calcium_total", 2.31, "mmol/L", 2.11, 2.52),
    ("ast", 22, "U/L", 15, 40),
    ("alt", 25, "U/L", 9, 50),
    ("creatinine", 78, "umol/L", 57, 104),
    ("cystatin_c", 0.85, "mg/L", 0.55, 1.03),
    ("hemoglobin", 148, "g/L", 115, 175),
    ("platelets", 231, "10*9/L", 125, 350),
    ("wbc", 6.2, "10*9/L", 3.5, 9.5),
)


def registration(site: str, **stated: Any) -> dict[str, Any]:
    """Return a man of 36 years, under an external id of his own."""
    external = f"EDC-{uuid4().hex[:12]}"
    body = {"site": site, "external_id": external, "birth_date": "1985-04-12", "sex": "male"}
    return {**body, **stated}


def consent(**stated: Any) -> dict[str, Any]:
    """Return a consent to everything."""
    body = {"document_version": "1.2", "signed_at": "2021-09-01T09:00:00+08:00"}
    return {**body, "obtained_by": "dr-li", "scope": ["treatment", "data"], **stated}


def withdrawal(**stated: Any) -> dict[str, Any]:
    """Return a withdrawal of consent to everything."""
    body = {"withdrawn_at": "2021-09-20T09:00:00+08:00", "scope": ["treatment", "data"]}
    return {**body, "reason": "moved away", **stated}


def screening(**stated: Any) -> dict[str, Any]:
    """Return the screening record of a man whom nothing excludes."""
    own = {name: deepcopy(_SCREENED[name]) for name in _OWN}
    return {**own, "psych": {"other_psychiatric_disorder": False}, **stated}


def decision(**stated: Any) -> dict[str, Any]:
    """Return the signed decision to enrol."""
    body = {"decision": "enrol", "decided_at": "2021-09-14T09:00:00+08:00", "signed_by": "dr-li"}
    return {**body, **stated}


def attestation(**stated: Any) -> dict[str, Any]:
    """Return an investigator's statement on one criterion."""
    body = {"criterion": "E5o", "result": "not_met", "stated_at": "2021-09-02T09:00:00+08:00"}
    return {**body, "statement": "none seen", **stated}


def adverse_event(**stated: Any) -> dict[str, Any]:
    """Return the report of a fever."""
    return {"term": "fever", "onset": "2021-10-03T20:00:00+08:00", "ctcae_grade": 1, **stated}


def laboratory_result(**stated: Any) -> dict[str, Any]:
    """Return a report of all the tests that screening asks for."""
    results = [
        {"test": test, "value": value, "unit": unit, "lln": lln, "uln": uln}
        for test, value, unit, lln, uln in _LABORATORY
    ]
    body = {"collected_at": "2021-09-02T09:50:00+08:00", "visit": "SCR", "results": results}
    return {**body, **stated}


def vas(**stated: Any) -> dict[str, Any]:
    """Return an itch score of the screening visit."""
    at = {"visit": "SCR", "assessed_at": "2021-09-02T09:00:00+08:00", "assessor": "dr-li"}
    return {"instrument": "vas", **at, "answers": {"value": 41, "unit": "mm"}, **stated}


def pasi(sign: int = 2, **stated: Any) -> dict[str, Any]:
    """Return a PASI in which every sign of every region has one grade."""
    region = {"erythema": sign, "induration": 2, "desquamation": 2, "area_score": 3}
    regions = dict.fromkeys(("head", "upper_limbs", "trunk", "lower_limbs"), region)
    at = {"visit": "SCR", "assessed_at": "2021-09-02T09:40:00+08:00"}
    return {"instrument": "pasi", **at, "answers": {"regions": regions}, **stated}


def infusion(**stated: Any) -> dict[str, Any]:
    """Return an infusion of 137 million cells."""
    given = {
        "started_at": "2021-09-15T10:00:00+08:00",
        "stopped_at": "2021-09-15T10:40:00+08:00",
        "cells_given": 137_000_000,
        "batch": "UC-2021-07",
        "viability_percent": 92,
    }
    return {"visit": "W0", **given, **stated}


def visit(**stated: Any) -> dict[str, Any]:
    """Return one screening visit with all that eligibility needs, as an EDC posts it."""
    found = (
        ("pasi", pasi()["answers"]),
        ("bsa", {"percent": 18}),
        ("sas", {"answers": list(_SAS_CALM)}),
        ("sds", {"answers": list(_SDS_CALM)}),
    )
    assessments = [
        {"instrument": name, "assessed_at": f"2021-09-02T09:4{at}:00+08:00", "answers": answers}
        for at, (name, answers) in enumerate(found)
    ]
    results = laboratory_result()
    del results["visit"]
    return {
        "source_system": "openclinica",
        "source_ref": f"form-{uuid4().hex[:12]}",
        "site": "GDTCM",
        "visit": {"code": "SCR", "date": "2021-09-02", "started_at": "2021-09-02T09:20:00+08:00"},
        "assessments": assessments,
        "vital_signs": {"weight_kg": 68.5},
        "laboratory_results": [results],
        "adverse_events": [],
        **stated,
    }
