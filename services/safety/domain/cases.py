"""A stored adverse event as a case: its clocks, and what else follows from it today.

Each version of the record is one update of the case. A version says all that its author
states then; the clocks follow from all versions, so that what one withdrew stops nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from services.kernel.exact_json import stamp
from services.kernel.records import Change, Decision
from services.kernel.values import read_moment
from services.protocol.study import Study
from services.safety.domain.case_updates import CaseUpdate
from services.safety.domain.clocks import Clock, derive_clocks
from services.safety.domain.dossier import ADVERSE_EVENT, CLOCK_CLOSURE, Dossier, Order
from services.safety.domain.evaluations import clock_members, clock_notes
from services.safety.domain.statements import statements_of
from services.safety.domain.timing import is_soon_after_infusion, is_treatment_emergent

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An adverse event with its versions, the first first, and what bears on it."""

    id: UUID
    study: Study
    site: str | None
    versions: Sequence[Document]
    infusions: Sequence[datetime] = ()
    closures: Mapping[UUID, Document] = field(default_factory=dict)

    @property
    def time_zone(self) -> ZoneInfo:
        """The time zone of the site, whose days count."""
        return time_zone_of(self.study, self.site)


def time_zone_of(study: Study, site: str | None) -> ZoneInfo:
    """Return a site's time zone; for a site that is not known, that of the study's first."""
    names = {one.code: one.time_zone for one in study.sites}
    return ZoneInfo(names.get(site or "", study.sites[0].time_zone))


def case_of(
    dossier: Dossier,
    study: Study,
    record: UUID,
    *,
    changes: Sequence[Change] = (),
    now: datetime | None = None,
    by: str = "",
    up_to: int | None = None,
) -> Case:
    """Return the case of a record, as it stands, with changes, or up to a version."""
    stored = dossier.of_kind(ADVERSE_EVENT).get(record, [])[:up_to]
    added = [
        {
            **change.members,
            "record_status": "retracted" if change.is_retracted else "entered",
            "recorded_at": None if now is None else stamp(now),
            "recorded_by": by,
        }
        for change in changes
        if change.id == record
    ]
    return Case(
        id=record,
        study=study,
        site=_site(dossier, [*(one.site for one in stored), *(one.site for one in changes)]),
        versions=[*(one.document for one in stored), *added],
        infusions=dossier.infusions,
        closures={
            clock: versions[-1].document
            for clock, versions in dossier.of_kind(CLOCK_CLOSURE).items()
        },
    )


def _site(dossier: Dossier, reported: Sequence[str | None]) -> str | None:
    """Return the participant's site; until the feed tells it, where it was reported."""
    if dossier.participation is not None:
        return dossier.participation.site
    return next((site for site in reported if site is not None), None)


def read_update(document: Document) -> CaseUpdate:
    """Return what a version states about its case."""
    return CaseUpdate(**{member.name: document.get(member.name) for member in fields(CaseUpdate)})


def case_clocks(case: Case) -> list[Clock]:
    """Return every clock that the case started; a retraction states nothing."""
    updates = [
        read_update(document)
        for document in case.versions
        if document["record_status"] != "retracted"
    ]
    return derive_clocks(updates, case.study.settings.safety_regimes, case.time_zone)


def clock_item(case: Case, clock: Clock) -> dict[str, Any]:
    """Return a clock as answers show it: when it is due, by which rule, and if it is open."""
    identity = clock.id_in(case.id)
    closure = case.closures.get(identity)
    is_open = closure is None and clock.ended_by_version is None
    item = {
        "id": str(identity),
        **clock_members(clock),
        "status": "open" if is_open else "closed",
        "ended_by_version": clock.ended_by_version,
    }
    if closure is not None:
        names = ("submitted_at", "reference", "reason", "recorded_at", "recorded_by")
        item["closure"] = {name: closure[name] for name in names}
        submitted_at = closure["submitted_at"]
        item["closure"]["is_late"] = (
            None
            if submitted_at is None
            else datetime.fromisoformat(submitted_at) > clock.expires_at(case.time_zone)
        )
    return item


def follows_today(case: Case) -> dict[str, Any]:
    """Return the members that follow from the record but change with other facts."""
    clocks = case_clocks(case)
    return {
        "clocks": [clock_item(case, clock) for clock in clocks],
        "notes": [*case.versions[-1]["notes"], *clock_notes(clocks)],
        "statements": statements_of(case.versions),
        **timing_of(case),
    }


def timing_of(case: Case) -> dict[str, bool | None]:
    """Return how the onset lies to the infusions, as far as both are known."""
    standing = case.versions[-1]
    onset = standing.get("onset")
    stated = None if onset is None else read_moment(onset)
    settings = case.study.settings.safety
    return {
        "treatment_emergent": is_treatment_emergent(
            stated,
            case.infusions,
            worsened=standing.get("worsened_after_first_infusion"),
            settings=settings,
            time_zone=case.time_zone,
        ),
        "within_24h_of_infusion": is_soon_after_infusion(
            stated, case.infusions, settings=settings, time_zone=case.time_zone
        ),
    }


def with_today(
    decision: Decision, dossier: Dossier, order: Order, record: UUID, now: datetime, by: str
) -> Decision:
    """Return the decision with what follows from the adverse event as it will stand."""
    case = case_of(dossier, order.study, record, changes=decision.changes, now=now, by=by)
    return Decision(
        write=decision.write,
        changes=decision.changes,
        standing=decision.standing,
        derived=follows_today(case),
    )
