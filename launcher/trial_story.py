"""The trial that the demonstration plays: five people who do not exist, and their visits.

`people.toml` says who they are and how it went; dates follow the registry record's planned
start.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any, Final

STUDY: Final = "NCT03745417"
SITE: Final = "GDTCM"
_PEOPLE: Final = Path(__file__).with_name("people.toml")
_ZONE: Final = timezone(timedelta(hours=8))
_CELLS_PER_KG: Final = 2_000_000
_INFUSION_VISITS: Final = ("W0", "W2", "W4", "W6", "W8")
_SCALE_VISITS: Final = ("SCR", "W12", "W24")
_LABORATORY_VISITS: Final = ("SCR", "W0", "W4", "W8", "W12", "W24")
_REGIONS: Final = ("head", "upper_limbs", "trunk", "lower_limbs")
_SIGNS: Final = ("erythema", "induration", "desquamation", "area_score")
_PROBLEM_BY_SCORE: Final = {"0": "not_at_all", "1": "a_little", "2": "a_lot", "3": None}
_SERIOUSNESS: Final = (
    "death",
    "life_threatening",
    "hospitalization",
    "disability",
    "congenital_anomaly",
    "medically_important",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One participant of the demonstration."""

    external_id: str
    birth_date: str
    sex: str
    consented_on: date
    weight_kg: float
    visits: Mapping[str, Mapping[str, Any]]
    scales: Mapping[str, Sequence[int]]
    adverse_events: Sequence[Mapping[str, Any]] = ()
    treatment_stopped_at: str | None = None

    @property
    def first_infusion_on(self) -> date:
        """Two weeks after consent."""
        return self.consented_on + timedelta(days=14)

    @property
    def last_visit(self) -> str:
        """The visit with which the study ended for this person."""
        return list(self.visits)[-1]

    def infusion_visits(self) -> Iterator[str]:
        """Yield the visits with an infusion, until treatment stopped."""
        for code in _INFUSION_VISITS:
            if code == self.treatment_stopped_at:
                return
            yield code

    def held_on(self, visit: str) -> date:
        """Return the date of a visit."""
        if visit == "SCR":
            return self.consented_on
        days_late = self.visits[visit].get("days_late", 0)
        return self.first_infusion_on + timedelta(weeks=int(visit[1:]), days=days_late)

    def at(self, visit: str, hour: int, minute: int = 0) -> str:
        """Return a time of a visit's day at the site."""
        return datetime.combine(self.held_on(visit), time(hour, minute), _ZONE).isoformat()


def people() -> list[Person]:
    """Return the five participants."""
    with _PEOPLE.open("rb") as file:
        told = tomllib.load(file)
    scales = {"sas": told["calm_sas"], "sds": told["calm_sds"]}
    return [Person(scales=scales, **person) for person in told["person"]]


def consent(person: Person) -> dict[str, Any]:
    """Return the consent to be posted."""
    return {
        "document_version": "1.2",
        "signed_at": person.at("SCR", 9),
        "obtained_by": "Dr Li",
        "scope": ["treatment", "data"],
    }


def screening(person: Person) -> dict[str, Any]:
    """Return what the investigator found at screening: nothing that excludes."""
    no = False
    reproductive = {"pregnant": no, "lactating": no, "history_complete": True}
    return {
        "first_screening_procedure_datetime": person.at("SCR", 9, 30),
        "planned_first_infusion_date": person.first_infusion_on.isoformat(),
        "diagnosis": {
            "psoriasis_vulgaris": True,
            "guttate": no,
            "inverse": no,
            "face_only": no,
            "acute_progressive": no,
            "erythroderma_tendency": no,
        },
        "reproductive": reproductive if person.sex == "female" else None,
        "psych": {"other_psychiatric_disorder": no},
        "medical": {
            "uncontrolled": dict.fromkeys(
                (
                    "cardiovascular",
                    "respiratory",
                    "digestive",
                    "urinary",
                    "endocrine",
                    "hematologic",
                ),
                no,
            ),
            "malignant_disease": no,
            "infection": no,
            "electrolyte_imbalance": no,
            "acid_base_disturbance": no,
            "malignant_tumour": no,
            "abnormal_tumour_marker": no,
            "other_organ_dysfunction": no,
            "any_allergy_history": no,
        },
        "other_trials": {
            "currently_registered": no,
            "participation_end_dates": [],
            "history_complete": True,
        },
        "therapies": {
            "history_complete": True,
            "records": [
                {"class": "topical", "last_dose_date": f"{person.consented_on.year}-02"}
                | {"ongoing": False}
            ],
        },
        "investigator": {
            "other_lab_abnormality_unsuitable": no,
            "other_condition_unsuitable": no,
        },
    }


def visit(person: Person, code: str) -> dict[str, Any]:
    """Return one whole visit, as an EDC posts it."""
    return {
        "source_system": "demonstration",
        "source_ref": f"{person.external_id}-{code}",
        "site": SITE,
        "visit": {
            "code": code,
            "date": person.held_on(code).isoformat(),
            "started_at": person.at(code, 9, 30 if code == "SCR" else 0),
        },
        "assessments": _assessments(person, code),
        "vital_signs": {"weight_kg": person.weight_kg, "pulse_per_min": 72},
        "laboratory_results": [_laboratory(person, code)] if code in _LABORATORY_VISITS else [],
        "infusion": _infusion(person, code) if code in person.infusion_visits() else None,
        "adverse_events": [_report(one) for one in person.adverse_events if one["visit"] == code],
    }


def _assessments(person: Person, code: str) -> list[dict[str, Any]]:
    found = person.visits[code]
    answers: dict[str, Any] = {
        "pasi": {"regions": _regions(found["pasi"])},
        "bsa": {"percent": found["bsa_percent"]},
    }
    if "dlqi_items" in found:
        answers["dlqi"] = {"items": _dlqi_items(found["dlqi_items"])}
        answers["vas"] = {"value": found["itch_mm"], "unit": "mm"}
    if code in _SCALE_VISITS:
        answers |= {scale: {"answers": ticked} for scale, ticked in person.scales.items()}
    return [
        {
            "instrument": instrument,
            "assessed_at": person.at(code, 9, 40 + at),
            "assessor": "Dr Li",
            "answers": answered,
        }
        for at, (instrument, answered) in enumerate(answers.items())
    ]


def _regions(graded: str) -> dict[str, dict[str, int]]:
    return {
        region: dict(zip(_SIGNS, map(int, grades), strict=True))
        for region, grades in zip(_REGIONS, graded.split(), strict=True)
    }


def _dlqi_items(scores: str) -> dict[str, Any]:
    items: dict[str, Any] = {str(item): int(score) for item, score in enumerate(scores, start=1)}
    problem = _PROBLEM_BY_SCORE[scores[6]]
    items["7"] = {"prevented": "no" if problem else "yes", "problem": problem}
    return items


def _laboratory(person: Person, code: str) -> dict[str, Any]:
    haemoglobin = 148 if person.sex == "male" else 128
    results = (
        ("calcium_total", "2000-8", 2.31, "mmol/L", 2.11, 2.52),
        ("ast", "1920-8", 22, "U/L", 15, 40),
        ("alt", "1742-6", 25, "U/L", 9, 50),
        ("creatinine", "14682-9", 78, "umol/L", 57, 104),
        ("cystatin_c", "33863-2", 0.85, "mg/L", 0.55, 1.03),
        ("hemoglobin", "718-7", haemoglobin, "g/L", 115, 175),
        ("platelets", "777-3", 231, "10*9/L", 125, 350),
        ("wbc", "6690-2", 6.2, "10*9/L", 3.5, 9.5),
    )
    return {
        "collected_at": person.at(code, 9, 50),
        "results": [
            {"test": test, "loinc": loinc, "value": value, "unit": unit, "lln": lln, "uln": uln}
            for test, loinc, value, unit, lln, uln in results
        ],
    }


def _infusion(person: Person, code: str) -> dict[str, Any]:
    return {
        "started_at": person.at(code, 11),
        "stopped_at": person.at(code, 11, 40),
        "cells_given": int(person.weight_kg * _CELLS_PER_KG),
        "batch": f"UC-{person.held_on(code):%Y-%m}",
        "viability_percent": 92,
    }


def _report(told: Mapping[str, Any]) -> dict[str, Any]:
    serious_by = told.get("serious_by", ())
    stated = {name: value for name, value in told.items() if name not in {"visit", "serious_by"}}
    return stated | {"seriousness": {name: name in serious_by for name in _SERIOUSNESS}}
