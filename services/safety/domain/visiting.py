"""The safety parts of one visit, recorded together: all of them or none.

Source: the contract's "One visit" and "Records, gates, parts". A part matches a record by
its own source reference, else by the visit, its kind and its time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from services.kernel.exact_json import parse_json
from services.kernel.records import (
    Decision,
    Resource,
    Stored,
    is_same,
    refuse_used_source,
    require_reason,
    unchanged,
)
from services.kernel.refusals import Fault, Impossible
from services.safety.domain import reporting, resulting, statements
from services.safety.domain.cases import case_of, follows_today
from services.safety.domain.dossier import (
    ADVERSE_EVENT,
    LABORATORY_RESULT,
    Dossier,
    Order,
    SourceReference,
    require_known,
)
from services.safety.domain.duplicates import KnownEvent
from services.safety.domain.reporting import ReportAdverseEvent
from services.safety.domain.resulting import RecordResults
from services.safety.domain.statements import permitted, stated_members

PartOrder: TypeAlias = RecordResults | ReportAdverseEvent
MATCHED_BY: Mapping[str, tuple[str, ...]] = {
    LABORATORY_RESULT.name: ("collected_at",),
    ADVERSE_EVENT.name: ("term", "onset"),
}
"""The members that tell the parts of one visit and kind apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSafetyVisit(Order):
    """Record the safety parts of a visit; `parts` by their pointer into the visit.

    `faults` are of the parts that could not be read.
    """

    parts: Mapping[str, PartOrder]
    change_reason: str | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def named_sources(self) -> tuple[tuple[Resource, SourceReference], ...]:
        """The references under which parts may exist already."""
        return tuple(named for part in self.parts.values() for named in part.named_sources)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part that is ready: what it states, and the record that it matches, if any."""

    pointer: str
    order: PartOrder
    members: Mapping[str, Any]
    stored: Stored | None

    @property
    def is_changed(self) -> bool:
        names = (
            statements.STATED if isinstance(self.order, ReportAdverseEvent) else resulting.STATED
        )
        return self.stored is not None and not is_same(self.stored, self.members, names)


def decide_visit(dossier: Dossier, command: RecordSafetyVisit, now: datetime) -> Decision:
    """Record all parts; what was recorded so before is unchanged.

    Raises NotFound, NotAllowed, Impossible with every fault of every part,
    SourceAlreadyUsed, RecordRetracted, NoConsentInForce, ParticipationEnded.
    """
    parts = _ready(dossier, command, now)
    reason = command.change_reason
    if any(part.is_changed for part in parts):
        reason = require_reason(reason)
    decisions = [_decide_part(dossier, part, reason or "", now) for part in parts]
    changes = tuple(change for decision in decisions for change in decision.changes)
    answers = [
        _answer(dossier, part, decision, now)
        for part, decision in zip(parts, decisions, strict=True)
    ]
    writes = {decision.write for decision in decisions} or {"unchanged"}
    return Decision(
        write=writes.pop() if len(writes) == 1 else "updated",
        changes=changes,
        derived={"parts": answers},
    )


def _ready(dossier: Dossier, command: RecordSafetyVisit, now: datetime) -> list[_Part]:
    """Return the parts with what they match; raises Impossible with all faults of all parts."""
    faults: list[Fault] = [*command.faults, *_repeated_sources(command.parts)]
    stated: dict[str, Mapping[str, Any]] = {}
    for pointer, order in command.parts.items():
        try:
            stated[pointer] = _stated(dossier, order, now)
        except Impossible as impossible:
            faults += [_below(pointer, fault) for fault in impossible.faults]
    if faults:
        raise Impossible("A part holds what cannot be; each fault is listed.", faults=faults)
    taken: set[UUID] = set()
    parts = [
        _Part(pointer, order, *_match(dossier, order, stated[pointer], taken))
        for pointer, order in command.parts.items()
    ]
    return list(_with_siblings(parts))


def _with_siblings(parts: Sequence[_Part]) -> Iterator[_Part]:
    """Yield the parts; a new report knows the new ones before it, which may tell of the same."""
    siblings: tuple[KnownEvent, ...] = ()
    for part in parts:
        order = part.order
        if part.stored is None and isinstance(order, ReportAdverseEvent):
            yield replace(part, order=replace(order, siblings=siblings))
            siblings = (*siblings, order.known_event)
        else:
            yield part


def _repeated_sources(parts: Mapping[str, PartOrder]) -> list[Fault]:
    seen: set[tuple[Resource, SourceReference]] = set()
    faults = []
    for pointer, order in parts.items():
        for named in order.named_sources:
            if named in seen:
                detail = "Another part has this reference."
                faults.append(Fault(f"{pointer}/source_ref", "repeated", detail))
            seen.add(named)
    return faults


def _below(pointer: str, fault: Fault) -> Fault:
    if fault.pointer == "/visit":
        return Fault("/visit/code", fault.code, fault.detail)
    return Fault(pointer + fault.pointer, fault.code, fault.detail)


def _stated(dossier: Dossier, order: PartOrder, now: datetime) -> dict[str, Any]:
    if isinstance(order, RecordResults):
        require_known(dossier, order)
        return resulting.reported_members(dossier, order, now)
    site = reporting.reporting_site(dossier, order)
    reporting.require_possible(order, site, now)
    return stated_members(order.report)


def _match(
    dossier: Dossier, order: PartOrder, members: Mapping[str, Any], taken: set[UUID]
) -> tuple[Mapping[str, Any], Stored | None]:
    """Return what the part states about the record that it matches, and that record."""
    resource = ADVERSE_EVENT if isinstance(order, ReportAdverseEvent) else LABORATORY_RESULT
    stored = dossier.from_source(resource, order.source)
    if stored is not None and stored.participant != order.participant:
        raise refuse_used_source(stored)
    if order.source is None:
        stored = _of_visit(dossier, resource, order, members, taken)
    if stored is None:
        return members, None
    taken.add(stored.id)
    if isinstance(order, ReportAdverseEvent):
        members = permitted(order.author, stored.document, members)
    return members, stored


def _of_visit(
    dossier: Dossier,
    resource: Resource,
    order: PartOrder,
    members: Mapping[str, Any],
    taken: set[UUID],
) -> Stored | None:
    source = order.visit_source
    wanted = {name: members[name] for name in (*MATCHED_BY[resource.name], "visit")}
    wanted["visit_source"] = None if source is None else source.document
    if source is None and wanted.get("onset", "known") is None:
        return None  # Nothing tells it from another one; a report is rather kept twice than lost.
    for record, versions in dossier.of_kind(resource).items():
        standing = versions[-1]
        document = standing.document
        same = {name: document.get(name) for name in wanted} == wanted
        is_free = record not in taken and not standing.is_retracted
        if same and is_free and document.get("source_ref") is None:
            return standing
    return None


def _decide_part(dossier: Dossier, part: _Part, reason: str, now: datetime) -> Decision:
    if part.stored is not None and not part.is_changed:
        return unchanged(part.stored)
    if isinstance(part.order, ReportAdverseEvent):
        return _decide_report(dossier, part, part.order, reason, now)
    known = require_known(dossier, part.order)
    resulting.require_gates(part.order.study, known, part.order.report.collected_at)
    if part.stored is None:
        change = resulting.first_results(part.order, known, part.members)
        return Decision(write="created", changes=(change,))
    return resulting.corrected_results(part.stored, part.members, reason)


def _decide_report(
    dossier: Dossier, part: _Part, order: ReportAdverseEvent, reason: str, now: datetime
) -> Decision:
    if part.stored is not None:
        return reporting.follow_up(dossier, order, part.stored, part.members, reason, now)
    site = reporting.reporting_site(dossier, order)
    change = reporting.first_report(dossier, order, site, now)
    return Decision(write="created", changes=(change,))


def _answer(dossier: Dossier, part: _Part, decision: Decision, now: datetime) -> dict[str, Any]:
    """Return a part's line of the receipt."""
    document, record, version = _outcome(decision)
    derived: dict[str, Any] = {}
    if isinstance(part.order, RecordResults):
        derived["grades"] = resulting.graded_results(dossier, part.order.study, document)
    else:
        names = ("classification", "serious", "suspected", "unexpected")
        case = case_of(
            dossier,
            part.order.study,
            record,
            changes=decision.changes,
            now=now,
            by=part.order.author.subject,
        )
        derived = {**{name: document[name] for name in names}, **follows_today(case)}
    return {
        "pointer": part.pointer,
        "id": str(record),
        "version": version,
        "write": decision.write,
        "derived": derived,
        "warnings": document["warnings"],
    }


def _outcome(decision: Decision) -> tuple[Mapping[str, Any], UUID, int]:
    if decision.changes:
        change = decision.changes[0]
        return change.members, change.id, change.version
    standing = parse_json(str(decision.standing).encode())
    return standing, UUID(standing["id"]), standing["version"]
