"""From a participant's file to what was done with it, as the plan speaks of it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from services.enrolment.domain.deviations import (
    Conduct,
    Deviation,
    Infusion,
    Procedure,
    derive_deviations,
)
from services.enrolment.domain.judging_file import Gathered
from services.enrolment.domain.participant_file import (
    DECISION,
    INFUSION,
    SCREENING,
    VISIT,
    ParticipantFile,
)
from services.enrolment.domain.planning import schedule_of
from services.enrolment.domain.reassessing import ChangedVerdict, reassess
from services.protocol.study import Study
from services.protocol.visit_calendar import site_date

_LABORATORY: Final = "laboratory"
_WEIGHT: Final = "weight"
_VITAL_SIGNS: Final = "vital_signs"
_INFUSION: Final = "infusion"


def conduct_of(study: Study, file: ParticipantFile, gathered: Gathered) -> Conduct:
    """Return what was done with a participant, in the form that the rules read."""
    today = site_date(gathered.at, study.site(file.site).time_zone)
    return replace(_conduct(study, file, today), changed_verdict=_changed_verdict(file, gathered))


def deviations_of(
    study: Study, file: ParticipantFile, records: Collection[UUID]
) -> tuple[Deviation, ...]:
    """Return how visits and infusions just recorded deviate by themselves.

    What other services' parts of the visit decide is left out: they are written after it.
    """
    conduct = replace(_conduct(study, file, date.max), checkable=frozenset())
    found = derive_deviations(conduct, study.settings.dose)
    return tuple(one for one in found if one.record.id in records)


def _conduct(study: Study, file: ParticipantFile, today: date) -> Conduct:
    screenings = file.documents(SCREENING)
    began = screenings[-1].get("first_screening_procedure_datetime") if screenings else None
    instruments = {activity.instrument: activity.code for activity in study.activities}
    checkable = {code for name, code in instruments.items() if name is not None}
    return Conduct(
        study=study.number,
        participant=file.participant,
        schedule=schedule_of(study, file, today),
        time_zone=file.time_zone(study),
        consents=file.consents,
        first_procedure_at=None if began is None else datetime.fromisoformat(began),
        procedures=[*_assessments(file, instruments), *_samples(file)],
        done_at_visit=_done_at_visit(file),
        infusions=[_infusion(document) for document in file.documents(INFUSION)],
        checkable=frozenset(checkable | {_LABORATORY, _WEIGHT, _VITAL_SIGNS, _INFUSION}),
    )


def _assessments(
    file: ParticipantFile, instruments: Mapping[str | None, str]
) -> Iterator[Procedure]:
    for document in _standing_facts(file, "assessment"):
        yield Procedure(
            record="assessment",
            id=UUID(document["id"]),
            done_at=datetime.fromisoformat(document["assessed_at"]),
            visit=document["visit"],
            activity=instruments.get(document["instrument"]),
        )


def _samples(file: ParticipantFile) -> Iterator[Procedure]:
    for document in _standing_facts(file, "laboratory_result"):
        yield Procedure(
            record="laboratory_result",
            id=UUID(document["id"]),
            done_at=datetime.fromisoformat(document["collected_at"]),
            visit=document.get("visit"),
            activity=_LABORATORY,
        )


def _standing_facts(file: ParticipantFile, kind: str) -> list[dict[str, Any]]:
    return [one for one in file.facts.get(kind, ()) if one["record_status"] == "entered"]


def _done_at_visit(file: ParticipantFile) -> dict[str, frozenset[str]]:
    """Return by visit what enrolment's own records show to have been done."""
    done: dict[str, set[str]] = {}
    for document in file.documents(VISIT):
        shown = done.setdefault(document["code"], set())
        for name in document["vital_signs"] or ():
            shown.add(_WEIGHT if name == "weight_kg" else _VITAL_SIGNS)
    for document in file.documents(INFUSION):
        done.setdefault(document["visit"], set()).add(_INFUSION)
    return {visit: frozenset(activities) for visit, activities in done.items()}


def _changed_verdict(file: ParticipantFile, gathered: Gathered) -> ChangedVerdict | None:
    signed = [one for one in file.documents(DECISION) if one["decision"] == "enrol"]
    return reassess(gathered, signed[-1]) if signed else None


def _infusion(document: dict[str, Any]) -> Infusion:
    return Infusion(
        id=UUID(document["id"]),
        visit=document["visit"],
        started_at=datetime.fromisoformat(document["started_at"]),
        cells_given=document.get("cells_given"),
        cells_planned=document.get("cells_planned"),
    )
