"""Stopping rules: facts that ask for a pause and a review (rulebook section 8).

The study file says which rules there are. A signal proposes `pause_for_review` and nothing
more: it stops no treatment by itself. People acknowledge it; new facts raise it again.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import NAMESPACE_OID, UUID, uuid5

from services.protocol.study import StoppingRule, Study
from services.safety.domain.classification import Classification

PROPOSAL: Final = "pause_for_review"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyFact:
    """What the rules need of one adverse event as it stands; retracted ones are none.

    `terms` are the reporter's words and the coded term, if any.
    """

    adverse_event: UUID
    participant: UUID
    version: int
    recorded_at: datetime
    terms: tuple[str, ...]
    classification: Classification
    suspected: bool
    grade: int | None = None
    is_fatal: bool | None = None
    is_soon_after_infusion: bool | None = None

    @property
    def key(self) -> UUID:
        """What a rule could find in it: another grade or class makes another fact."""
        judged = (self.grade, self.is_fatal, self.suspected, self.classification)
        return uuid5(self.adverse_event, repr((*judged, *self.terms)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A stopping rule that holds, and the facts that make it hold.

    `participant` is None for a rule of the study. `new_facts` nobody acknowledged yet.
    """

    id: UUID
    rule: str
    scope: Literal["study", "participant"]
    participant: UUID | None
    text: str
    facts: tuple[SafetyFact, ...]
    new_facts: tuple[SafetyFact, ...]

    @property
    def status(self) -> Literal["raised", "acknowledged"]:
        """Whether somebody has acknowledged all of its facts."""
        return "raised" if self.new_facts else "acknowledged"

    @property
    def proposal(self) -> str:
        """What it asks for."""
        return PROPOSAL

    @property
    def latest_fact_at(self) -> datetime:
        """When the last of its facts was recorded."""
        return max(fact.recorded_at for fact in self.facts)


def derive_signals(
    study: Study,
    facts: Iterable[SafetyFact],
    acknowledged: Mapping[UUID, Collection[UUID]] | None = None,
) -> list[Signal]:
    """Return the signals of a study, in the order of its rules, then of participants.

    `acknowledged` has by signal the keys of the facts that people have acknowledged.
    """
    known = sorted(facts, key=lambda fact: (fact.recorded_at, fact.adverse_event))
    return [
        _signal(study, rule, participant, matching, acknowledged or {})
        for rule in study.stopping_rules
        for participant, matching in _matching(rule, known)
    ]


def signal_id(study: Study, rule: StoppingRule, participant: UUID | None) -> UUID:
    """Return the signal's id, the same whenever it is derived."""
    return uuid5(NAMESPACE_OID, f"{study.number}/{rule.id}/{participant or ''}")


def _matching(
    rule: StoppingRule, facts: Sequence[SafetyFact]
) -> Iterator[tuple[UUID | None, tuple[SafetyFact, ...]]]:
    """Yield the facts that make a rule hold: of the study, or of each participant."""
    holds = CONDITIONS[rule.condition]
    matching = tuple(fact for fact in facts if holds(rule, fact))
    participants = sorted({fact.participant for fact in matching})
    if rule.scope == "study":
        if len(participants) >= rule.participants:
            yield None, matching
        return
    for participant in participants:
        yield participant, tuple(fact for fact in matching if fact.participant == participant)


def _signal(
    study: Study,
    rule: StoppingRule,
    participant: UUID | None,
    facts: tuple[SafetyFact, ...],
    acknowledged: Mapping[UUID, Collection[UUID]],
) -> Signal:
    identity = signal_id(study, rule, participant)
    known = acknowledged.get(identity, ())
    return Signal(
        id=identity,
        rule=rule.id,
        scope=rule.scope,
        participant=participant,
        text=rule.text,
        facts=facts,
        new_facts=tuple(fact for fact in facts if fact.key not in known),
    )


def _has_grade(rule: StoppingRule, fact: SafetyFact) -> bool:
    return rule.min_grade is not None and (fact.grade or 0) >= rule.min_grade


def _has_term(rule: StoppingRule, fact: SafetyFact) -> bool:
    stated = [_plain(term) for term in fact.terms]
    return any(_plain(part) in term for part in rule.terms for term in stated)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _is_infusion_reaction(rule: StoppingRule, fact: SafetyFact) -> bool:
    # An undecided time could be within the limit: the proposal is on the safe side.
    is_possible = fact.is_soon_after_infusion is not False
    return fact.suspected and is_possible and _has_grade(rule, fact)


CONDITIONS: Final[Mapping[str, Callable[[StoppingRule, SafetyFact], bool]]] = {
    "suspected_death_or_grade": lambda rule, fact: (
        fact.suspected and (fact.is_fatal is True or _has_grade(rule, fact))
    ),
    "suspected_grade": lambda rule, fact: fact.suspected and _has_grade(rule, fact),
    "product_term": lambda rule, fact: fact.suspected and _has_term(rule, fact),
    "term": _has_term,
    "infusion_grade": _is_infusion_reaction,
    "susar": lambda _, fact: fact.classification == "SUSAR",
}
"""What a rule's `condition` means."""
