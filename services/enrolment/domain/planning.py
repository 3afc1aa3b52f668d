"""From a participant's file to the schedule that follows from it."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from services.enrolment.domain.participant_file import PLAN, SCREENING, VISIT, ParticipantFile
from services.enrolment.domain.schedule import (
    Course,
    Schedule,
    VisitArranged,
    VisitHeld,
    derive_schedule,
)
from services.protocol.study import Study


def schedule_of(study: Study, file: ParticipantFile, today: date) -> Schedule:
    """Return the participant's schedule on a date of the site."""
    return derive_schedule(study, course_of(study, file), today)


def course_of(study: Study, file: ParticipantFile) -> Course:
    """Return what the participant's schedule follows from."""
    screenings = file.documents(SCREENING)
    planned = screenings[-1].get("planned_first_infusion_date") if screenings else None
    return Course(
        participant=file.participant,
        first_infusion_on=file.first_infusion_on(study),
        planned_infusion_on=None if planned is None else date.fromisoformat(planned),
        held=[
            VisitHeld(
                id=stored.id,
                code=stored.document["code"],
                held_on=date.fromisoformat(stored.document["date"]),
            )
            for stored in file.stored(VISIT)
        ],
        arranged=[_arranged(document) for document in file.documents(PLAN)],
        statuses=file.statuses,
    )


def _arranged(document: Mapping[str, Any]) -> VisitArranged:
    day = document["date"]
    return VisitArranged(
        code=document["visit"],
        status=document["status"],
        planned_on=None if day is None else date.fromisoformat(day),
        reason=document["reason"],
    )
