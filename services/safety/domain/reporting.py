"""Reporting, following up and retracting adverse events.

Source: rulebook section 8; the contract's "Records, gates, parts". A report passes no gate:
it is taken without consent, after withdrawal, and of a participant not known yet.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from services.kernel.records import (
    Change,
    Decision,
    Resource,
    Stored,
    correction,
    is_same,
    refuse_used_source,
    require_reason,
    require_version,
    retraction,
    unchanged,
)
from services.kernel.refusals import Impossible
from services.safety.domain.adverse_events import AdverseEventReport, check_report
from services.safety.domain.cases import read_update, time_zone_of, with_today
from services.safety.domain.circumstances import report_circumstances, report_faults
from services.safety.domain.classification import judge_case
from services.safety.domain.dossier import (
    ADVERSE_EVENT,
    Dossier,
    Order,
    SourceReference,
    new_record,
    require_own_site,
)
from services.safety.domain.duplicates import KnownEvent, warn_of_duplicates
from services.safety.domain.statements import (
    STATED,
    Author,
    permitted,
    read_report,
    stated_members,
    transcribed,
    unattested,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAdverseEvent(Order):
    """Record a first report; within a visit, `visit_source` is the visit's reference.

    `siblings` are the new reports before it in the same visit.
    """

    report: AdverseEventReport
    author: Author
    visit_source: SourceReference | None = None
    siblings: tuple[KnownEvent, ...] = ()

    @property
    def known_event(self) -> KnownEvent:
        """What another report is compared with, to find that both tell of the same."""
        report = self.report
        return KnownEvent(id=self.id, term=report.term, onset=report.onset, end=report.end)

    @property
    def named_sources(self) -> tuple[tuple[Resource, SourceReference], ...]:
        """The reference under which the record may exist already."""
        return () if self.source is None else ((ADVERSE_EVENT, self.source),)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpAdverseEvent(ReportAdverseEvent):
    """Replace what an adverse event states, for a reason."""

    version: int | None
    change_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractAdverseEvent(Order):
    """Retract an adverse event that was entered in error; `by` is who does."""

    by: str
    version: int | None
    reason: str


def decide_report(dossier: Dossier, command: ReportAdverseEvent, now: datetime) -> Decision:
    """Take a report; the same source with the same content is unchanged.

    Raises NotFound, Impossible, SourceAlreadyUsed.
    """
    site = reporting_site(dossier, command)
    require_possible(command, site, now)
    twin = dossier.from_source(ADVERSE_EVENT, command.source)
    if twin is not None:
        is_own = twin.participant == command.participant
        if is_own and is_same(twin, stated_members(command.report), STATED):
            return _with_today(unchanged(twin), dossier, command, twin.id, now)
        raise refuse_used_source(twin)
    decision = Decision(write="created", changes=(first_report(dossier, command, site, now),))
    return _with_today(decision, dossier, command, command.id, now)


def decide_follow_up(dossier: Dossier, command: FollowUpAdverseEvent, now: datetime) -> Decision:
    """Add a version; the same content again changes nothing.

    Raises NotFound, Stale, Impossible, NotAllowed, RecordRetracted.
    """
    site = reporting_site(dossier, command)
    stored = _standing(dossier, command)
    require_version(stored, command.version)
    reason = require_reason(command.change_reason)
    require_possible(command, site, now)
    members = permitted(command.author, stored.document, stated_members(command.report))
    decision = unchanged(stored)
    if stored.is_retracted or not is_same(stored, members, STATED):
        decision = follow_up(dossier, command, stored, members, reason, now)
    return _with_today(decision, dossier, command, stored.id, now)


def decide_retraction(dossier: Dossier, command: RetractAdverseEvent, now: datetime) -> Decision:
    """Mark an adverse event as entered in error; it stays readable, and its clocks run on.

    Raises NotFound and Stale.
    """
    reporting_site(dossier, command)
    stored = _standing(dossier, command)
    decision = retraction(
        ADVERSE_EVENT,
        stored,
        version=command.version,
        columns=_columns(stored.document),
        reason=command.reason,
    )
    return with_today(decision, dossier, command, stored.id, now, command.by)


def reporting_site(dossier: Dossier, order: Order) -> str | None:
    """Return the participant's site; for one who is unknown, the only site of the caller.

    Raises NotFound for a participant of a site that the caller does not cover.
    """
    if dossier.participation is not None:
        require_own_site(order.sites, dossier.participation.site)
        return dossier.participation.site
    if order.sites is None or len(order.sites) != 1:
        return None
    return next(iter(order.sites))


def require_possible(command: ReportAdverseEvent, site: str | None, now: datetime) -> None:
    """Raise Impossible for what has not happened yet, and for a visit that does not exist."""
    time_zone = _time_zone(command, site)
    faults = report_faults(command.report, command.study, now, time_zone)
    if faults:
        raise Impossible("The report holds what cannot be.", faults=faults)


def first_report(
    dossier: Dossier, command: ReportAdverseEvent, site: str | None, now: datetime
) -> Change:
    """Return the change that records a first report."""
    members = _reported(dossier, command, stated_members(command.report), None, now)
    if command.visit_source is not None:
        members["visit_source"] = command.visit_source.document
    return new_record(ADVERSE_EVENT, command, site, members, _columns(members))


def follow_up(
    dossier: Dossier,
    command: ReportAdverseEvent,
    stored: Stored,
    members: Mapping[str, Any],
    reason: str,
    now: datetime,
) -> Decision:
    """Return the decision that adds the next version; raises RecordRetracted."""
    before = stored.document
    complete = _reported(dossier, command, members, before, now)
    if "visit_source" in before:
        complete["visit_source"] = before["visit_source"]
    return correction(ADVERSE_EVENT, stored, complete, columns=_columns(complete), reason=reason)


def _with_today(
    decision: Decision, dossier: Dossier, command: ReportAdverseEvent, record: UUID, now: datetime
) -> Decision:
    return with_today(decision, dossier, command, record, now, command.author.subject)


def _standing(dossier: Dossier, order: Order) -> Stored:
    stored = dossier.standing(ADVERSE_EVENT, order.id)
    if dossier.participation is None:
        require_own_site(order.sites, stored.site)
    return stored


def _time_zone(order: Order, site: str | None) -> ZoneInfo:
    return time_zone_of(order.study, site)


def _reported(
    dossier: Dossier,
    command: ReportAdverseEvent,
    members: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    now: datetime,
) -> dict[str, Any]:
    report = read_report(members)
    judged = judge_case(read_update(members))
    known = dossier.participation
    time_zone = _time_zone(command, known.site if known else None)
    return {
        **members,
        "classification": judged.classification,
        "serious": judged.serious,
        "suspected": judged.suspected,
        "unexpected": judged.unexpected,
        "notes": list(judged.notes),
        "unattested": unattested(command.author, before, members),
        "transcribed": transcribed(command.author, before, members),
        "warnings": [
            *check_report(report),
            *warn_of_duplicates(report, [*_others(dossier, command.id), *command.siblings]),
            *report_circumstances(known, report.onset, now, time_zone),
        ],
    }


def _others(dossier: Dossier, record: UUID) -> Iterator[KnownEvent]:
    for versions in dossier.of_kind(ADVERSE_EVENT).values():
        standing = versions[-1]
        if standing.id != record and not standing.is_retracted:
            known = read_report(standing.document)
            yield KnownEvent(id=standing.id, term=known.term, onset=known.onset, end=known.end)


def _columns(members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "classification": members["classification"],
        "is_serious": members["serious"],
        "is_suspected": members["suspected"],
        "ctcae_grade": members["ctcae_grade"],
    }
