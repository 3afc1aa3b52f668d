"""All assessments of one visit, accepted together or not at all.

A part is the same record as before when its own source reference is, else when instrument
and time are. The same content changes nothing; other content is a new version, for a reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.kernel.records import (
    Change,
    Decision,
    Stored,
    correction,
    is_same,
    refuse_used_source,
    require_reason,
)
from services.kernel.refusals import Fault, Impossible
from services.protocol.participation import require_past
from services.protocol.study import Study
from services.scoring.domain.assessments import (
    ASSESSMENT,
    STATED,
    AssessmentForm,
    Dossier,
    known_participation,
    require_gates,
    scored_members,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One assessment of a visit, with its place in it and the id it gets if it is new."""

    pointer: str
    id: UUID
    form: AssessmentForm
    source_system: str | None
    source_ref: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVisitAssessments:
    """Record all assessments of one visit; `faults` are of those that could not be read."""

    study: Study
    participant: UUID
    sites: frozenset[str] | None
    parts: tuple[Part, ...]
    change_reason: str | None
    faults: tuple[Fault, ...] = ()

    @property
    def streams(self) -> tuple[UUID, ...]:
        """Lock the participant's stream."""
        return (self.participant,)


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of one part: a change to write, or the record that stands."""

    pointer: str
    change: Change | None
    stored: Stored | None

    @property
    def write(self) -> str:
        """Tell what was done."""
        if self.change is None:
            return "unchanged"
        return "created" if self.change.version == 1 else "updated"


def settle_parts(dossier: Dossier, command: RecordVisitAssessments, now: datetime) -> list[Settled]:
    """Return what becomes of each part, in order.

    Raises Impossible with the faults of all parts, NotFound, NoConsentInForce,
    ParticipationEnded, SourceAlreadyUsed.
    """
    participation = known_participation(dossier, command.sites)
    scored = _score_all(command, now)
    settled = []
    time_zone = command.study.site(participation.site).time_zone
    for at, (part, (members, columns)) in enumerate(zip(command.parts, scored, strict=True)):
        stored = _standing(dossier, command.participant, part)
        if stored is not None and is_same(stored, members, STATED):
            settled.append(Settled(part.pointer, None, stored))
            continue
        require_gates(command.study, participation, part.form.assessed_at)
        beside = [earlier for earlier, _ in scored[:at]]
        dossier.compare(command.participant, members, time_zone, beside=beside)
        if stored is not None:
            reason = require_reason(command.change_reason)
            decision = correction(ASSESSMENT, stored, members, columns=columns, reason=reason)
            settled.append(Settled(part.pointer, decision.changes[0], stored))
            continue
        change = _new(command, part, participation.site, members, columns)
        settled.append(Settled(part.pointer, change, None))
    return settled


def decision_of(settled: Iterable[Settled]) -> Decision:
    """Return the decision that writes what is to be written."""
    changes = tuple(one.change for one in settled if one.change is not None)
    if not changes:
        return Decision(write="unchanged")
    is_new = all(change.version == 1 for change in changes)
    return Decision(write="created" if is_new else "updated", changes=changes)


def _score_all(
    command: RecordVisitAssessments, now: datetime
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    scored, faults = [], list(command.faults)
    for part in command.parts:
        try:
            require_past("/assessed_at", part.form.assessed_at, now)
        except Impossible as impossible:
            faults += _below(part.pointer, impossible.faults)
        try:
            scored.append(scored_members(command.study, part.form))
        except Impossible as impossible:
            faults += _below(part.pointer, impossible.faults)
    faults += _repeated(command.parts)
    if faults:
        raise Impossible("The visit holds values that cannot be.", faults=faults)
    return scored


def _repeated(parts: Iterable[Part]) -> list[Fault]:
    seen: set[tuple[Any, ...]] = set()
    faults = []
    for part in parts:
        mark = (part.source_system, part.source_ref) if part.source_ref else _slot(part)
        if mark in seen:
            detail = "Two parts of the visit are the same record."
            faults.append(Fault(part.pointer, "part_repeated", detail))
        seen.add(mark)
    return faults


def _below(pointer: str, faults: Iterable[Fault]) -> list[Fault]:
    return [Fault(_place(pointer, fault), fault.code, fault.detail) for fault in faults]


def _place(pointer: str, fault: Fault) -> str:
    # The visit is stated once, for all of its parts.
    return "/visit/code" if fault.pointer == "/visit" else pointer + fault.pointer


def _slot(part: Part) -> tuple[str, datetime]:
    return (part.form.instrument, part.form.assessed_at)


def _standing(dossier: Dossier, participant: UUID, part: Part) -> Stored | None:
    if part.source_ref is not None:
        twin = dossier.standing.by_source(part.source_system, part.source_ref)
        if twin is not None and twin.participant != participant:
            raise refuse_used_source(twin)
        return twin
    return dossier.in_slot(participant, *_slot(part))


def _new(
    command: RecordVisitAssessments,
    part: Part,
    site: str,
    members: Mapping[str, Any],
    columns: Mapping[str, Any],
) -> Change:
    return Change(
        resource=ASSESSMENT,
        id=part.id,
        participant=command.participant,
        site=site,
        visit=part.form.visit,
        members=members,
        columns=columns,
        source_system=part.source_system,
        source_ref=part.source_ref,
    )
