"""What the record of an infusion holds: what was given, and the dose that was planned.

The dose follows the weight of the infusion's day, or the last one recent enough (rulebook
section 7). A weight may come later than the infusion or be corrected: the record then gets
another version, with the dose that was planned by what is known now.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field
from pydantic.dataclasses import dataclass as form

from services.enrolment.domain.dose import Weighing, infusion_warnings, plan_dose
from services.enrolment.domain.participant_file import INFUSION, VISIT, ParticipantFile
from services.enrolment.domain.participants import CLOSED
from services.kernel.records import Change, is_same, next_version, own_members
from services.kernel.values import NUMBER, WHOLE, Code, Instant, Reason
from services.protocol.study import Study
from services.protocol.visit_calendar import site_date

Positive = Annotated[Decimal, Field(gt=0), NUMBER]
Viability = Annotated[Decimal, Field(ge=0, le=100), NUMBER]
PositiveWhole = Annotated[int, Field(gt=0, le=10**15), WHOLE]


@form(frozen=True, kw_only=True, config=CLOSED)
class InfusionForm:
    """One infusion as it was given."""

    started_at: Instant
    stopped_at: Instant | None = None
    cells_given: PositiveWhole | None = None
    volume_ml: Positive | None = None
    batch: Code | None = None
    viability_percent: Viability | None = None
    interruptions: Reason | None = None


STATED: Final = tuple(InfusionForm.__dataclass_fields__)
_PLANNED: Final = ("cells_planned", "weight_kg", "weighed_on")


def infusion_members(
    study: Study,
    file: ParticipantFile,
    visit: str,
    given: InfusionForm,
    *,
    own: UUID,
    weighings: Iterable[Weighing],
) -> dict[str, Any]:
    """Return an infusion's record, with the dose planned by these weights and what is odd."""
    stated = {name: getattr(given, name) for name in STATED}
    dosing = _dosing(study, file, given.started_at, given.cells_given, own, weighings)
    return {**stated, "visit": visit, **dosing}


def replanned(
    study: Study, file: ParticipantFile, weighings: Sequence[Weighing], *, but: Collection[UUID]
) -> Iterator[Change]:
    """Yield the next version of each infusion whose planned dose changes with the weights.

    `but` are infusions that the same request states anew.
    """
    for stored in file.stored(INFUSION):
        members = own_members(stored)
        started_at = datetime.fromisoformat(members["started_at"])
        given = members["cells_given"]
        dosing = _dosing(study, file, started_at, given, stored.id, weighings)
        if stored.id not in but and not is_same(stored, dosing, _PLANNED):
            yield next_version(
                INFUSION,
                stored,
                {**members, **dosing},
                columns=infusion_columns(members),
                reason="The weight that its dose follows has changed.",
                action="replanned",
            )


def _dosing(
    study: Study,
    file: ParticipantFile,
    started_at: datetime,
    cells_given: int | None,
    own: UUID,
    weighings: Iterable[Weighing],
) -> dict[str, Any]:
    time_zone = study.site(file.site).time_zone
    infused_on = site_date(started_at, time_zone)
    planned = plan_dose(weighings, infused_on, study.settings)
    warnings = infusion_warnings(
        infused_on=infused_on,
        cells_given=cells_given,
        planned=planned,
        other_infusions=[
            site_date(datetime.fromisoformat(stored.document["started_at"]), time_zone)
            for stored in file.stored(INFUSION)
            if stored.id != own
        ],
        settings=study.settings.dose,
    )
    return {
        "cells_planned": planned.cells,
        "weight_kg": planned.weight_kg,
        "weighed_on": planned.weighed_on,
        "warnings": [
            {"pointer": odd.pointer, "code": odd.code, "detail": odd.detail} for odd in warnings
        ],
    }


def weighings_of(file: ParticipantFile, *, but: UUID | None = None) -> list[Weighing]:
    """Return the weights of all visits held, `but` those of one visit's record."""
    return [
        Weighing(
            weight_kg=Decimal(stored.document["vital_signs"]["weight_kg"]),
            measured_on=date.fromisoformat(stored.document["date"]),
        )
        for stored in file.stored(VISIT)
        if stored.id != but
        and (stored.document.get("vital_signs") or {}).get("weight_kg") is not None
    ]


def infusion_columns(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the typed columns of an infusion's version."""
    at = members["started_at"]
    started_at = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    return {"visit": members["visit"], "started_at": started_at}
