"""The numbers of a participant's plot: one instrument over time, with windows and infusions."""

from datetime import date
from typing import Any

from services.protocol.study import Study
from services.protocol.visit_calendar import visit_window
from services.scoring.domain.courses import Course
from services.scoring.domain.instruments import INSTRUMENTS
from services.scoring.domain.participant_files import ParticipantFile, course_of


def title_of(study: Study, instrument: str) -> str:
    """Return what the study calls an instrument."""
    titles = (one.title for one in study.activities if one.instrument == instrument)
    return f"{next(titles, instrument)} ({instrument.upper()})"


def course_plot(file: ParticipantFile, study: Study, instrument: str) -> dict[str, Any]:
    """Return a participant's values by one instrument, with what stood around them.

    Days count from the first infusion, which is day 0; before there is one, from the first
    value. `responses` are the values at which PASI-50 and PASI-75 begin.
    """
    course = course_of(file, study, instrument)
    first = course.first_infusion_on
    known = course.known
    origin = first or (known[0].on if known else None)
    return {
        "kind": "course",
        "name": instrument,
        "title": f"{title_of(study, instrument)} over time",
        "x": {"label": "Days since the first infusion" if first else "Days", "unit": "d"},
        "y": {"label": instrument.upper(), "unit": INSTRUMENTS[instrument].unit},
        "n": len(known),
        "counted": "values",
        "origin_date": origin,
        "points": [
            {
                "day": (one.on - (origin or one.on)).days,
                "date": one.on,
                "value": one.value,
                "record": one.record and one.record.id,
                "version": one.record and one.record.version,
            }
            for one in known
        ],
        "infusions": [
            {"day": (one.on - (origin or one.on)).days, "date": one.on} for one in course.infusions
        ],
        "windows": [] if first is None else _windows(study, first),
        "responses": _responses(course) if instrument == "pasi" else [],
    }


def _windows(study: Study, first: date) -> list[dict[str, Any]]:
    found = []
    for plan in study.visits:
        window = visit_window(plan, first)
        target = window.target_date
        found.append(
            {
                "visit": plan.code,
                "target_day": None if target is None else (target - first).days,
                "first_day": (window.first_day - first).days,
                "last_day": (window.last_day - first).days,
            }
        )
    return found


def _responses(course: Course) -> list[dict[str, Any]]:
    baseline = course.baseline
    if course.first_infusion is None or baseline is None or not baseline.value:
        return []
    return [
        {"response": f"PASI-{percent}", "value": baseline.value * (100 - percent) / 100}
        for percent in (50, 75)
    ]
