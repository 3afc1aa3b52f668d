"""Protocol deviations: what happened otherwise than planned (rulebook sections 6 and 7).

Derived on reading, never stored. The same facts give the same ids, so that what people add
to a deviation finds it again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from services.enrolment.domain.consents import is_consent_late, is_in_force
from services.enrolment.domain.dose import differs_from_plan
from services.enrolment.domain.reassessing import ChangedVerdict
from services.enrolment.domain.schedule import Schedule
from services.protocol.participation import Consent
from services.protocol.settings import DoseSettings

Rule = Literal[
    "visit_outside_window",
    "visit_missed",
    "activities_missing",
    "infusion_before_assessments",
    "consent_after_first_procedure",
    "without_consent",
    "infusion_gap_short",
    "dose_differs_from_plan",
    "eligibility_changed",
]

_WORDS: Final[dict[Rule, str]] = {
    "visit_outside_window": "A visit is held within its window.",
    "visit_missed": "Every planned visit is held.",
    "activities_missing": "All activities of a visit are done at it.",
    "infusion_before_assessments": "On an infusion day assessments come before the infusion.",
    "consent_after_first_procedure": "Consent is signed before the first screening procedure.",
    "without_consent": "What is done and recorded is covered by a consent in force.",
    "infusion_gap_short": "Infusions keep the least gap between them.",
    "dose_differs_from_plan": "The cells given are those planned by weight.",
    "eligibility_changed": "Who is enrolled is eligible, also on the day of the first infusion.",
}


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """The record that deviates."""

    record: str
    id: UUID


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """One deviation: its rule in code and in words, the site's date, and its record."""

    id: UUID
    code: Rule
    date: date
    rule: str
    record: Pointer
    visit: str | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """Something done at a visit: an assessment, a laboratory sample, an infusion."""

    record: str
    id: UUID
    done_at: datetime
    visit: str | None = None
    activity: str | None = None


@dataclass(frozen=True, kw_only=True)
class Infusion:
    """An infusion as given, and the dose that was planned for it."""

    id: UUID
    visit: str
    started_at: datetime
    cells_given: int | None = None
    cells_planned: int | None = None


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """What was done with one participant, as far as the plan speaks of it.

    `checkable` are the activities whose absence can be seen from the records, and
    `done_at_visit` those of which no procedure tells, by the visit's code.
    """

    study: str
    participant: UUID
    schedule: Schedule
    time_zone: ZoneInfo
    consents: Sequence[Consent] = ()
    first_procedure_at: datetime | None = None
    procedures: Sequence[Procedure] = ()
    infusions: Sequence[Infusion] = ()
    done_at_visit: Mapping[str, frozenset[str]] = field(default_factory=dict)
    checkable: frozenset[str] = frozenset()
    changed_verdict: ChangedVerdict | None = None

    def on(self, at: datetime) -> date:
        """Return the site's date of a time."""
        return at.astimezone(self.time_zone).date()


def derive_deviations(conduct: Conduct, settings: DoseSettings) -> tuple[Deviation, ...]:
    """Return all deviations, the earliest first."""
    found = [
        *_visits(conduct),
        *_order(conduct),
        *_consent(conduct),
        *_gaps(conduct, settings),
        *_doses(conduct, settings),
        *_eligibility(conduct),
    ]
    return tuple(sorted(found, key=lambda deviation: (deviation.date, str(deviation.id))))


def _deviation(
    conduct: Conduct,
    code: Rule,
    on: date,
    record: Pointer,
    *,
    visit: str | None = None,
    detail: str | None = None,
) -> Deviation:
    name = f"{conduct.study}/{conduct.participant}/deviations/{code}/{record.id}"
    return Deviation(
        id=uuid5(NAMESPACE_URL, name),
        code=code,
        date=on,
        rule=_WORDS[code],
        record=record,
        visit=visit,
        detail=detail,
    )


def _visits(conduct: Conduct) -> Iterator[Deviation]:
    for visit in conduct.schedule.visits:
        record = Pointer(record="visit", id=visit.id)
        if visit.timing in ("early", "late") and visit.actual_date is not None:
            yield _deviation(
                conduct,
                "visit_outside_window",
                visit.actual_date,
                record,
                visit=visit.code,
                detail=visit.timing,
            )
        if visit.status == "missed" and visit.window_end is not None:
            yield _deviation(
                conduct,
                "visit_missed",
                visit.window_end,
                record,
                visit=visit.code,
                detail=visit.reason,
            )
        missing = _missing_activities(conduct, visit.code, visit.activities)
        if visit.actual_date is not None and visit.timing is not None and missing:
            yield _deviation(
                conduct,
                "activities_missing",
                visit.actual_date,
                record,
                visit=visit.code,
                detail=", ".join(missing),
            )


def _missing_activities(conduct: Conduct, visit: str, planned: Iterable[str]) -> list[str]:
    done = {procedure.activity for procedure in conduct.procedures if procedure.visit == visit}
    shown = done | conduct.done_at_visit.get(visit, frozenset())
    return [name for name in planned if name in conduct.checkable and name not in shown]


def _order(conduct: Conduct) -> Iterator[Deviation]:
    """Yield assessments made on the day of an infusion, but after it began."""
    for procedure in conduct.procedures:
        is_late = any(
            conduct.on(infusion.started_at) == conduct.on(procedure.done_at)
            and infusion.started_at < procedure.done_at
            for infusion in conduct.infusions
        )
        if procedure.record == "assessment" and is_late:
            yield _deviation(
                conduct,
                "infusion_before_assessments",
                conduct.on(procedure.done_at),
                Pointer(record=procedure.record, id=procedure.id),
                visit=procedure.visit,
            )


def _consent(conduct: Conduct) -> Iterator[Deviation]:
    first_procedure_at = conduct.first_procedure_at
    if first_procedure_at is not None and is_consent_late(conduct.consents, first_procedure_at):
        yield _deviation(
            conduct,
            "consent_after_first_procedure",
            conduct.on(first_procedure_at),
            Pointer(record="screening", id=conduct.participant),
        )
    for procedure in conduct.procedures:
        if not is_in_force(conduct.consents, "data", procedure.done_at):
            yield _without_consent(conduct, procedure.record, procedure.id, procedure.done_at)
    for infusion in conduct.infusions:
        if not is_in_force(conduct.consents, "treatment", infusion.started_at):
            yield _without_consent(conduct, "infusion", infusion.id, infusion.started_at)


def _without_consent(conduct: Conduct, record: str, record_id: UUID, at: datetime) -> Deviation:
    pointer = Pointer(record=record, id=record_id)
    return _deviation(conduct, "without_consent", conduct.on(at), pointer)


def _gaps(conduct: Conduct, settings: DoseSettings) -> Iterator[Deviation]:
    given = sorted(conduct.infusions, key=lambda infusion: (infusion.started_at, infusion.id))
    for before, after in pairwise(given):
        days = (conduct.on(after.started_at) - conduct.on(before.started_at)).days
        if days < settings.min_gap_days:
            yield _deviation(
                conduct,
                "infusion_gap_short",
                conduct.on(after.started_at),
                Pointer(record="infusion", id=after.id),
                visit=after.visit,
                detail=f"{days} days after the infusion before",
            )


def _doses(conduct: Conduct, settings: DoseSettings) -> Iterator[Deviation]:
    for infusion in conduct.infusions:
        planned, given = infusion.cells_planned, infusion.cells_given
        if planned is None or given is None or not differs_from_plan(planned, given, settings):
            continue
        yield _deviation(
            conduct,
            "dose_differs_from_plan",
            conduct.on(infusion.started_at),
            Pointer(record="infusion", id=infusion.id),
            visit=infusion.visit,
            detail=f"{given} cells given, {planned} planned",
        )


def _eligibility(conduct: Conduct) -> Iterator[Deviation]:
    changed = conduct.changed_verdict
    if changed is not None:
        criteria = ", ".join((*changed.failed, *changed.unknown))
        yield _deviation(
            conduct,
            "eligibility_changed",
            conduct.on(changed.at),
            Pointer(record="enrolment", id=changed.decision),
            detail=f"{changed.verdict}: {criteria}",
        )
