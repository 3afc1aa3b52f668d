"""Recording visits with their vital signs and the infusion given at them.

Source: rulebook section 7; the contract's "Records, gates, parts".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field
from pydantic.dataclasses import dataclass as form

from services.enrolment.domain.dose import Weighing, WeightKg
from services.enrolment.domain.infusing import (
    infusion_faults,
    new_infusion,
    require_infusible,
    standing_infusion,
)
from services.enrolment.domain.infusion_records import STATED as INFUSION_STATED
from services.enrolment.domain.infusion_records import (
    InfusionForm,
    infusion_columns,
    infusion_members,
    replanned,
    weighings_of,
)
from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import INFUSION, VISIT, ParticipantFile
from services.enrolment.domain.participants import CLOSED, require_enrolment
from services.enrolment.domain.schedule import UNSCHEDULED
from services.kernel.records import (
    Change,
    Decision,
    Stored,
    is_same,
    next_version,
    refuse_used_source,
    require_reason,
)
from services.kernel.refusals import Fault, Impossible, NotFound
from services.kernel.values import NUMBER, CalendarDate, Code, Instant
from services.protocol.participation import (
    CLOCK_LEEWAY,
    require_consent,
    require_participation,
)
from services.protocol.visit_calendar import site_date

BEFORE_ENROLMENT: Final = "SCR"
STATED: Final = ("code", "date", "started_at", "vital_signs")


@form(frozen=True, kw_only=True, config=CLOSED)
class VisitForm:
    """Which visit was held, and when."""

    code: Code
    date: CalendarDate
    started_at: Instant | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class VitalSigns:
    """What was measured at a visit, in the units of the names."""

    weight_kg: WeightKg | None = None
    temperature_celsius: Annotated[Decimal, Field(ge=20, le=46), NUMBER] | None = None
    systolic_mmhg: Annotated[Decimal, Field(gt=0, le=400), NUMBER] | None = None
    diastolic_mmhg: Annotated[Decimal, Field(gt=0, le=300), NUMBER] | None = None
    pulse_per_min: Annotated[Decimal, Field(ge=0, le=400), NUMBER] | None = None
    respiration_per_min: Annotated[Decimal, Field(ge=0, le=150), NUMBER] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVisit(Order):
    """Record a visit that was held, with its vital signs and its infusion.

    `faults` are of the parts that could not be read.
    """

    form: VisitForm
    site: str | None
    vital_signs: VitalSigns | None
    infusion: InfusionForm | None
    change_reason: str | None
    infusion_id: UUID
    status_id: UUID
    faults: tuple[Fault, ...] = ()


def decide_visit(file: ParticipantFile, order: RecordVisit, now: datetime) -> Decision:
    """Accept a visit with its parts, all or none; changed content needs a reason.

    Raises NotFound, Impossible, NotEnrolled, NoConsentInForce, ParticipationEnded,
    SourceAlreadyUsed.
    """
    site = file.require_site(order.sites)
    time_zone = order.study.site(site).time_zone
    _require_possible(order, site, now)
    standing = _standing(file, order)
    members = _members(order, standing, time_zone)
    changes: list[Change] = []
    write: Literal["created", "updated", "unchanged"] = "unchanged"
    if standing is None or not is_same(standing, members, STATED):
        _require_gates(file, order, time_zone)
        changes.append(_change(order, standing, members, site))
        write = "created" if standing is None else "updated"
    visit = order.id if standing is None else standing.id
    weighings = [*weighings_of(file, but=visit), *_weighed(members)]
    infused: tuple[Change, ...] = ()
    if order.infusion is not None:
        infused = _infusion_changes(file, order, order.infusion, weighings)
        write = write if write != "unchanged" or not infused else "updated"
    if changes:
        stated = {change.id for change in infused}
        changes += replanned(order.study, file, weighings, but=stated)
    changes += infused
    body = None if changes else (standing.body if standing else None)
    return Decision(write=write, changes=tuple(changes), standing=body)


def _require_possible(order: RecordVisit, site: str, now: datetime) -> None:
    faults = list(order.faults)
    if order.site not in {None, site}:
        faults.append(Fault("/site", "other_site", "The participant is of another site."))
    if order.form.code != UNSCHEDULED and order.form.code not in order.study.visit_codes:
        faults.append(Fault("/visit/code", "unknown_visit", "The study has no such visit."))
    detail = "What is recorded must have happened."
    if order.form.date > site_date(now, order.study.site(site).time_zone):
        faults.append(Fault("/visit/date", "in_the_future", detail))
    started_at = order.form.started_at
    if started_at is not None and started_at > now + CLOCK_LEEWAY:
        faults.append(Fault("/visit/started_at", "in_the_future", detail))
    if order.infusion is not None:
        faults += infusion_faults(order.study, site, order.infusion, now, below="/infusion")
    if faults:
        raise Impossible("The visit cannot be so.", faults=faults)


def _members(order: RecordVisit, standing: Stored | None, time_zone: str) -> dict[str, Any]:
    """Return what the visit states; of a visit posted again, what is left out stays."""
    before = {} if standing is None else standing.document
    signs, started_at = order.vital_signs, order.form.started_at
    return {
        "code": order.form.code,
        "date": order.form.date,
        "started_at": started_at or before.get("started_at"),
        "vital_signs": before.get("vital_signs") if signs is None else _stated_members(signs),
        "warnings": _warnings(order.form, time_zone),
    }


def _stated_members(given: Any) -> dict[str, Any]:
    return {
        name: value
        for name in given.__dataclass_fields__
        if (value := getattr(given, name)) is not None
    }


def _warnings(form: VisitForm, time_zone: str) -> list[dict[str, str]]:
    """Return what is odd: a start on another day at the site than the visit's."""
    if form.started_at is None or site_date(form.started_at, time_zone) == form.date:
        return []
    detail = "The visit was held on another day."
    return [{"pointer": "/started_at", "code": "other_day", "detail": detail}]


def _standing(file: ParticipantFile, order: RecordVisit) -> Stored | None:
    """Return the record of the same visit: from the same source, else of the same code.

    Raises SourceAlreadyUsed where the source made another participant's or another visit.
    """
    twin = file.book.from_source(VISIT, order.source_system, order.source_ref)
    if twin is not None:
        # A scheduled visit's id follows from its code: neither is ever corrected.
        is_same_visit = twin.document["code"] == order.form.code
        if twin.participant != order.participant or not is_same_visit:
            raise refuse_used_source(twin)
        return twin
    for stored in file.stored(VISIT):
        document = stored.document
        is_same_day = document["date"] == order.form.date.isoformat()
        if document["code"] == order.form.code and (is_same_day or order.form.code != UNSCHEDULED):
            return stored
    return None


def recorded_visit(file: ParticipantFile, order: RecordVisit) -> Stored:
    """Return the record of a visit that was decided; raises NotFound."""
    standing = _standing(file, order)
    if standing is None:
        raise NotFound
    return standing


def _require_gates(file: ParticipantFile, order: RecordVisit, time_zone: str) -> None:
    if order.form.code not in {BEFORE_ENROLMENT, UNSCHEDULED}:
        require_enrolment(file.statuses)
    # Of a visit without a time only the day is known: it counts as its end.
    last_moment = datetime.combine(order.form.date, time.max, file.time_zone(order.study))
    at = order.form.started_at or last_moment
    require_consent(file.consents, "data", at)
    require_participation(file.ended_on, at, time_zone)


def _change(
    order: RecordVisit, standing: Stored | None, members: Mapping[str, Any], site: str
) -> Change:
    columns = {"code": order.form.code, "held_on": order.form.date}
    if standing is not None:
        reason = require_reason(order.change_reason)
        return next_version(VISIT, standing, members, columns=columns, reason=reason)
    return Change(
        resource=VISIT,
        id=order.id,
        participant=order.participant,
        site=site,
        visit=order.form.code,
        members=members,
        columns=columns,
        source_system=order.source_system,
        source_ref=order.source_ref,
    )


def _infusion_changes(
    file: ParticipantFile,
    order: RecordVisit,
    given: InfusionForm,
    weighings: Sequence[Weighing],
) -> tuple[Change, ...]:
    require_infusible(file, order.study, given)
    standing = standing_infusion(file, order.form.code, given.started_at)
    own = order.infusion_id if standing is None else standing.id
    members = infusion_members(
        order.study, file, order.form.code, given, own=own, weighings=weighings
    )
    if standing is None:
        return new_infusion(file, order, members, order.infusion_id, order.status_id)
    if is_same(standing, members, INFUSION_STATED):
        return ()
    reason = require_reason(order.change_reason)
    columns = infusion_columns(members)
    return (next_version(INFUSION, standing, members, columns=columns, reason=reason),)


def _weighed(members: Mapping[str, Any]) -> list[Weighing]:
    weight = (members["vital_signs"] or {}).get("weight_kg")
    if weight is None:
        return []
    return [Weighing(weight_kg=Decimal(weight), measured_on=members["date"])]
