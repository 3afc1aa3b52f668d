"""From a participant's stored documents to its course by each instrument."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.protocol.study import Study
from services.protocol.visit_calendar import site_date
from services.scoring.domain.courses import Course, Infusion, Record, Value
from services.scoring.domain.instruments import INSTRUMENTS

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantFile:
    """What outcomes of a participant follow from, as it is stored."""

    id: UUID
    site: str
    assessments: Sequence[Document]
    infusions: Sequence[Document]


def course_of(file: ParticipantFile, study: Study, instrument: str) -> Course:
    """Return the participant's course by one instrument; what was retracted is left out."""
    time_zone = study.site(file.site).time_zone
    infusions = [_infusion(one, time_zone) for one in file.infusions if _stands(one)]
    return Course(
        infusions=tuple(sorted(infusions, key=lambda one: (one.on, one.at))),
        values=tuple(
            _value(document, instrument, time_zone)
            for document in file.assessments
            if document["instrument"] == instrument and _stands(document)
        ),
    )


def _stands(document: Document) -> bool:
    return bool(document["record_status"] == "entered")


def _infusion(document: Document, time_zone: str) -> Infusion:
    at = datetime.fromisoformat(document["started_at"])
    record = Record(kind="infusion", id=UUID(document["id"]), version=document["version"])
    return Infusion(on=site_date(at, time_zone), at=at, record=record)


def _value(document: Document, instrument: str, time_zone: str) -> Value:
    at = datetime.fromisoformat(document["assessed_at"])
    value = document["derived"].get(INSTRUMENTS[instrument].member)
    return Value(
        on=site_date(at, time_zone),
        at=at,
        value=None if value is None else Decimal(value),
        record=Record(
            kind="assessment",
            id=UUID(document["id"]),
            version=document["version"],
            rule=document["rule"],
        ),
    )
