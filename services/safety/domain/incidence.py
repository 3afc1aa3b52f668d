"""Tables of adverse events: subjects once per row, events every time (rulebook section 8).

Denominators are everyone with at least one infusion. Terms are free text here.
The registry's tables: rulebook section 9; "exceeds" a threshold is strict.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NotRequired, TypeVar

from typing_extensions import TypedDict

from services.safety.domain.classification import Classification

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedEvent:
    """One adverse event of a subject, as the tables count it; `None` is unknown."""

    subject: str
    soc: str | None
    pt: str
    serious: bool | None
    grade: int | None = None
    suspected: bool | None = None
    classification: Classification | None = None
    is_fatal: bool | None = None
    is_treatment_emergent: bool | None = None
    is_infusion_related: bool | None = None
    led_to_stop: bool = False


class Count(TypedDict):
    """Subjects and events."""

    subjects: int
    events: int


class ClassRow(Count):
    """A system organ class; null where the sender gave none."""

    soc: str | None


class TermRow(ClassRow):
    """A term within its class."""

    pt: str


class RegistryTables(TypedDict):
    """The registry's tables; the threshold is in percent, as a string.

    An event whose seriousness is not yet known is in neither table. Deaths are those from any
    cause, known from an adverse event or from a participant's status.
    """

    deathsNumAffected: NotRequired[int]
    deathsNumAtRisk: NotRequired[int]
    frequencyThreshold: str
    seriousNumAffected: int
    seriousNumAtRisk: int
    seriousEvents: list[TermRow]
    otherNumAffected: int
    otherNumAtRisk: int
    otherEvents: list[TermRow]


class Incidence(TypedDict):
    """The tables of a set of adverse events."""

    any_event_subjects: int
    any_event_events: int
    by_soc: list[ClassRow]
    by_pt: list[TermRow]
    ctgov: RegistryTables


class SafetySummary(Incidence):
    """The tables and counts of a study; `*_unknown` are events not yet judged."""

    n_at_risk: int
    serious: Count
    serious_unknown: Count
    deaths: Count
    leading_to_stop: Count
    treatment_emergent: Count
    treatment_emergent_by_pt: list[TermRow]
    infusion_related: Count
    by_grade: dict[str, Count]
    by_relationship: dict[str, Count]
    by_classification: dict[str, Count]
    not_at_risk: Count


def count_incidence(
    events: Sequence[CountedEvent], *, n_at_risk: int, threshold_percent: Decimal
) -> Incidence:
    """Return the tables of all events, and the registry's."""
    total = count(events)
    return Incidence(
        any_event_subjects=total["subjects"],
        any_event_events=total["events"],
        by_soc=_by_class(events),
        by_pt=_by_term(events),
        ctgov=_registry_tables(events, n_at_risk, threshold_percent),
    )


def summarise_safety(
    events: Iterable[CountedEvent],
    *,
    at_risk: Collection[str],
    threshold_percent: Decimal,
    died: Collection[str] = (),
    is_emergent_only: bool = False,
) -> SafetySummary:
    """Return the tables of a study; subjects without an infusion are counted apart.

    `died` are the subjects whose status says so.
    """
    all_events = [event for event in events if event.is_treatment_emergent or not is_emergent_only]
    counted = [event for event in all_events if event.subject in at_risk]
    emergent = [event for event in counted if event.is_treatment_emergent]
    fatal = [event for event in counted if event.is_fatal]
    tables = count_incidence(counted, n_at_risk=len(at_risk), threshold_percent=threshold_percent)
    dead = {event.subject for event in fatal} | {one for one in died if one in at_risk}
    tables["ctgov"] |= {"deathsNumAffected": len(dead), "deathsNumAtRisk": len(at_risk)}
    return SafetySummary(
        **tables,
        n_at_risk=len(at_risk),
        serious=count(event for event in counted if event.serious),
        serious_unknown=count(event for event in counted if event.serious is None),
        deaths=count(fatal),
        leading_to_stop=count(event for event in counted if event.led_to_stop),
        treatment_emergent=count(emergent),
        treatment_emergent_by_pt=_by_term(emergent),
        infusion_related=count(event for event in counted if event.is_infusion_related),
        by_grade=_counts((event, event.grade) for event in counted),
        by_relationship=_counts((event, _relationship(event)) for event in counted),
        by_classification=_counts((event, event.classification) for event in counted),
        not_at_risk=count(event for event in all_events if event.subject not in at_risk),
    )


def count(events: Iterable[CountedEvent]) -> Count:
    """Count subjects once and events every time."""
    subjects = [event.subject for event in events]
    return Count(subjects=len(set(subjects)), events=len(subjects))


def _by_class(events: Iterable[CountedEvent]) -> list[ClassRow]:
    groups = _grouped((event.soc, event) for event in events)
    return [
        ClassRow(soc=soc, **count(groups[soc])) for soc in sorted(groups, key=_unknown_class_last)
    ]


def _by_term(events: Iterable[CountedEvent]) -> list[TermRow]:
    groups = _grouped(((event.soc, event.pt), event) for event in events)
    rows = sorted(groups, key=lambda row: (_unknown_class_last(row[0]), row[1]))
    return [TermRow(soc=soc, pt=pt, **count(groups[soc, pt])) for soc, pt in rows]


def _registry_tables(
    events: Sequence[CountedEvent], n_at_risk: int, threshold_percent: Decimal
) -> RegistryTables:
    serious = [event for event in events if event.serious]
    not_serious = [event for event in events if event.serious is False]
    frequent = [
        row
        for row in _by_term(not_serious)
        if 100 * row["subjects"] > threshold_percent * n_at_risk
    ]
    shown = {(row["soc"], row["pt"]) for row in frequent}
    affected = count(event for event in not_serious if (event.soc, event.pt) in shown)
    return RegistryTables(
        frequencyThreshold=_plain(threshold_percent),
        seriousNumAffected=count(serious)["subjects"],
        seriousNumAtRisk=n_at_risk,
        seriousEvents=_by_term(serious),
        otherNumAffected=affected["subjects"],
        otherNumAtRisk=n_at_risk,
        otherEvents=frequent,
    )


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _relationship(event: CountedEvent) -> str | None:
    if event.suspected is None:
        return None
    return "suspected" if event.suspected else "not_suspected"


def _counts(judged: Iterable[tuple[CountedEvent, int | str | None]]) -> dict[str, Count]:
    groups = _grouped(
        ("unknown" if value is None else str(value), event) for event, value in judged
    )
    return {value: count(groups[value]) for value in sorted(groups)}


def _grouped(keyed: Iterable[tuple[Key, CountedEvent]]) -> Mapping[Key, list[CountedEvent]]:
    groups: dict[Key, list[CountedEvent]] = {}
    for key, event in keyed:
        groups.setdefault(key, []).append(event)
    return groups


def _unknown_class_last(soc: str | None) -> tuple[bool, str]:
    return (soc is None, soc or "")
