"""Registering participants: a new one, the same again, or one who is screened again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from pydantic.dataclasses import dataclass as form

from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import (
    PARTICIPANT,
    STATUS,
    ParticipantFile,
)
from services.enrolment.domain.participants import (
    CLOSED,
    StatusChange,
    decide_rescreening,
    screening_number,
    status_of,
)
from services.kernel.records import (
    Change,
    Decision,
    SourceAlreadyUsed,
    Stored,
    is_same,
    next_version,
    unchanged,
)
from services.kernel.refusals import Conflict, Fault, Impossible
from services.kernel.values import CalendarDate, Code
from services.protocol.settings import Sex
from services.protocol.study import Study
from services.protocol.visit_calendar import site_date

Document = Mapping[str, Any]
STATED: Final = ("external_id", "birth_date", "sex")


class ExternalIdUsed(Conflict):
    """The external id belongs to another participant of the study.

    Look the participant up under this id, or register under another.
    """


@form(frozen=True, kw_only=True, config=CLOSED)
class RegistrationForm:
    """Who is screened, where, and under which id of the sender."""

    site: Code
    external_id: Code | None = None
    birth_date: CalendarDate | None = None
    sex: Sex | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterParticipant(Order):
    """Register a participant for screening."""

    form: RegistrationForm
    status_id: UUID


def decide_registration(
    file: ParticipantFile, order: RegisterParticipant, now: datetime
) -> Decision:
    """Give the participant an id and a screening number; who failed before gets another.

    Raises Impossible for an unknown site or a birth to come, ExternalIdUsed, SourceAlreadyUsed.
    """
    asked = order.form
    _require_possible(order.study, asked, now)
    members: dict[str, Any] = {
        "external_id": asked.external_id,
        "birth_date": asked.birth_date,
        "sex": asked.sex,
    }
    twin = _twin(file, order, members)
    today = site_date(now, order.study.site(asked.site).time_zone)
    if twin is not None and twin.participant != order.participant:
        return unchanged(twin)
    ordinal = file.book.screenings_by_site.get(asked.site, 0) + 1
    members["screening_number"] = screening_number(asked.site, ordinal)
    if twin is not None:
        return _screen_again(file, order, twin, members, today)
    opening = StatusChange(status="screening", date=today, reason="Registered for screening.")
    registered = Change(
        resource=PARTICIPANT,
        id=order.participant,
        participant=order.participant,
        site=asked.site,
        members=members,
        columns={"external_id": asked.external_id, "site": asked.site},
        source_system=order.source_system,
        source_ref=order.source_ref,
    )
    return Decision(
        write="created",
        changes=(registered, status_change(order, order.status_id, opening, asked.site)),
        derived={"status": opening.status},
    )


def _twin(file: ParticipantFile, order: RegisterParticipant, members: Document) -> Stored | None:
    """Return the participant whom the sender names, where the order states the same of it."""
    asked = order.form
    twin = file.book.participant_by_external_id.get(asked.external_id or "")
    if twin is not None:
        covered = order.sites is None or twin.site in order.sites
        if covered and twin.site == asked.site and is_same(twin, members, STATED):
            return twin
        raise ExternalIdUsed("Give each participant of the study an external id of its own.")
    made = file.book.from_source(PARTICIPANT, order.source_system, order.source_ref)
    if made is None:
        return None
    covered = order.sites is None or made.site in order.sites
    if covered and made.site == asked.site and is_same(made, members, STATED):
        return made
    raise SourceAlreadyUsed("Give each registration a reference of its own.")


def _screen_again(
    file: ParticipantFile,
    order: RegisterParticipant,
    twin: Stored,
    members: Document,
    today: date,
) -> Decision:
    """Give who failed screening another number; anyone else stays as they are."""
    status = status_of(file.history(order.study, today))
    if status != "screen_failed":
        return replace(unchanged(twin), derived={"status": status})
    opening = decide_rescreening(file.statuses, today)
    columns = {"external_id": order.form.external_id, "site": order.form.site}
    numbered = next_version(
        PARTICIPANT, twin, members, columns=columns, reason=None, action="screened_again"
    )
    moved = status_change(order, order.status_id, opening, order.form.site)
    return Decision(write="updated", changes=(numbered, moved), derived={"status": opening.status})


def status_change(
    order: Order,
    status_id: UUID,
    change: StatusChange,
    site: str,
    *,
    stated: str | None = None,
    source_system: str | None = None,
    source_ref: str | None = None,
) -> Change:
    """Return the record of a status; `stated` is the word that was said, if another."""
    status = stated or change.status
    return Change(
        resource=STATUS,
        id=status_id,
        participant=order.participant,
        site=site,
        members={"status": status, "date": change.date, "reason": change.reason},
        columns={"status": status, "since": change.date, "site": site},
        reason=change.reason,
        source_system=source_system,
        source_ref=source_ref,
    )


def _require_possible(study: Study, asked: RegistrationForm, now: datetime) -> None:
    faults = []
    site = next((site for site in study.sites if site.code == asked.site), None)
    if site is None:
        faults.append(Fault("/site", "unknown_site", "The study has no site of this code."))
    today = site_date(now, site.time_zone) if site else date.max
    if asked.birth_date is not None and asked.birth_date > today:
        faults.append(Fault("/birth_date", "in_the_future", "Nobody is born in the future."))
    if faults:
        raise Impossible("The participant cannot be registered so.", faults=faults)
