"""The signals of a study from what is stored, and their acknowledgement by people.

Source: the contract's `S/safety/signals`; rulebook section 8 (stopping rules). A signal is
derived whenever it is read; stored is only who acknowledged which of its facts, and why.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.kernel.records import Change, Decision, Recorded, Resource, Stored, unchanged
from services.kernel.refusals import Conflict, Fault, Impossible, NotFound
from services.protocol.study import Study
from services.safety.domain.cases import Case, case_of, timing_of
from services.safety.domain.dossier import ADVERSE_EVENT, Dossier, Order
from services.safety.domain.stopping import SafetyFact, Signal, derive_signals

SIGNAL_ACKNOWLEDGEMENT: Final = Resource("signal_acknowledgement")
Dossiers = Mapping[UUID, Dossier]


class SignalAcknowledged(Conflict):
    """Every fact of the signal was acknowledged before, in other words.

    Read the signal: its acknowledgements say by whom and why.
    """

    depends_on_facts = False


def safety_facts(dossiers: Dossiers, study: Study) -> Iterator[SafetyFact]:
    """Yield what the stopping rules need of each adverse event that stands."""
    for participant, dossier in dossiers.items():
        for record, versions in dossier.of_kind(ADVERSE_EVENT).items():
            if not versions[-1].is_retracted:
                yield _fact(participant, case_of(dossier, study, record))


def _fact(participant: UUID, case: Case) -> SafetyFact:
    document = case.versions[-1]
    coding = document["coding"]
    return SafetyFact(
        adverse_event=case.id,
        participant=participant,
        version=document["version"],
        recorded_at=datetime.fromisoformat(document["recorded_at"]),
        terms=(document["term"], *([coding["term"]] if coding else [])),
        classification=document["classification"],
        suspected=document["suspected"],
        grade=document["ctcae_grade"],
        is_fatal=(document["seriousness"] or {}).get("death"),
        is_soon_after_infusion=timing_of(case)["within_24h_of_infusion"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeSignal(Order):
    """Acknowledge a signal; `signal` is its id, `id` that of the acknowledgement.

    `facts` are those that the caller has seen; None names all that the caller may see.
    """

    signal: UUID
    facts: tuple[UUID, ...] | None
    reason: str


@dataclass(slots=True)
class SignalFile:
    """The dossiers that a study's signals follow from, and what was acknowledged."""

    study: Study
    dossiers: Dossiers
    acknowledgements: list[Stored] = field(default_factory=list)

    def absorb(self, recorded: Recorded) -> None:
        """Take in an acknowledgement of the same batch."""
        self.acknowledgements.append(Stored.of(recorded))

    def signals(self) -> list[Signal]:
        """Return the signals as they stand."""
        acknowledged: dict[UUID, set[UUID]] = {}
        for stored in self.acknowledgements:
            document = stored.document
            keys = acknowledged.setdefault(UUID(document["signal"]), set())
            keys.update(UUID(one["id"]) for one in document["facts"])
        return derive_signals(self.study, safety_facts(self.dossiers, self.study), acknowledged)

    def of_signal(self, signal: UUID) -> list[Stored]:
        """Return a signal's acknowledgements, the first first."""
        return [one for one in self.acknowledgements if one.document["signal"] == str(signal)]

    def site_of(self, fact: SafetyFact) -> str | None:
        """Return the site at which the fact's participant is."""
        return case_of(self.dossiers[fact.participant], self.study, fact.adverse_event).site

    def visible(
        self, facts: Sequence[SafetyFact], sites: frozenset[str] | None
    ) -> list[SafetyFact]:
        """Return the facts of the caller's sites; None covers all sites."""
        return [one for one in facts if sites is None or self.site_of(one) in sites]


def decide_acknowledgement(file: SignalFile, command: AcknowledgeSignal, now: datetime) -> Decision:
    """Record that a person has seen a signal's facts; the same again changes nothing.

    Raises NotFound, Impossible for facts that the signal has not, SignalAcknowledged.
    """
    del now
    signal = next((one for one in file.signals() if one.id == command.signal), None)
    shown = [] if signal is None else file.visible(signal.facts, command.sites)
    if signal is None or not shown:
        raise NotFound
    new = _named(command, shown, signal.new_facts)
    if not new:
        return _again(file.of_signal(signal.id), command)
    change = Change(
        resource=SIGNAL_ACKNOWLEDGEMENT,
        id=command.id,
        participant=command.participant,
        members={
            "signal": str(signal.id),
            "rule": signal.rule,
            "facts": [_fact_seen(fact) for fact in new],
            "reason": command.reason,
        },
    )
    return Decision(write="created", changes=(change,))


def _named(
    command: AcknowledgeSignal, shown: Sequence[SafetyFact], new: Sequence[SafetyFact]
) -> list[SafetyFact]:
    """Return what is acknowledged now; raises Impossible for facts that are not shown."""
    if command.facts is None:
        return [fact for fact in shown if fact in new]
    known = {fact.key for fact in shown}
    faults = [
        Fault(f"/facts/{place}", "unknown_fact", "The signal has no such fact.")
        for place, key in enumerate(command.facts)
        if key not in known
    ]
    if faults:
        raise Impossible("A fact is named that the signal does not have.", faults=faults)
    return [fact for fact in shown if fact in new and fact.key in command.facts]


def _again(before: Iterable[Stored], command: AcknowledgeSignal) -> Decision:
    for stored in before:
        if stored.document["reason"] == command.reason:
            return unchanged(stored)
    raise SignalAcknowledged


def _fact_seen(fact: SafetyFact) -> dict[str, Any]:
    return {
        "id": str(fact.key),
        "adverse_event": str(fact.adverse_event),
        "version": fact.version,
    }
