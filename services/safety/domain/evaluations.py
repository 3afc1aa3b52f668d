"""The evaluations of safety: the rules of stored records, without storing anything.

Answers have the members of the vectors `ae_clocks` and `ae_incidence`.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as form

from services.kernel.values import NUMBER, WHOLE, Flag, Moment, Name
from services.protocol.settings import Regime, Settings
from services.safety.domain.case_updates import CaseUpdate, accumulate
from services.safety.domain.classification import judge_case
from services.safety.domain.clocks import Clock, binding_due_date, derive_cumulative_clocks
from services.safety.domain.incidence import CountedEvent, Incidence, count_incidence
from services.safety.domain.timing import is_soon_after_infusion, is_treatment_emergent

CLOSED = ConfigDict(extra="forbid")
STOP_TREATMENT = "STOP_STUDY_TREATMENT_REVIEW"
EARLIER_DATE_BINDS = "INITIAL_DUE_IS_EARLIER_OF_BOTH"


@form(frozen=True, kw_only=True, config=CLOSED)
class AdverseEventInput:
    """A case as it became known, update by update, and the infusions about it.

    Absent regimes are the study's; absent infusions are unknown, an empty list is none.
    """

    updates: Annotated[tuple[CaseUpdate, ...], Field(min_length=1, max_length=1000)]
    regimes: tuple[Regime, ...] | None = None
    onset: Moment | None = None
    infusions: Annotated[tuple[Moment, ...], Field(max_length=1000)] | None = None
    worsened_after_first_infusion: Flag | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class IncidentEvent:
    """One adverse event of a subject; the class may be uncoded."""

    subject: Name
    pt: Name
    soc: Name | None = None
    serious: Flag | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class IncidenceInput:
    """Adverse events, how many subjects had an infusion, and the registry's threshold."""

    n_at_risk: Annotated[int, Field(ge=0, le=1_000_000), WHOLE]
    events: Annotated[tuple[IncidentEvent, ...], Field(max_length=100_000)]
    threshold_percent: Annotated[Decimal, Field(ge=0, le=100), NUMBER] | None = None


def evaluate_adverse_event(
    asked: AdverseEventInput, settings: Settings, time_zone: ZoneInfo
) -> dict[str, Any]:
    """Answer the evaluation `adverse-event`: class, timing and the clocks that run.

    Triage that ended because seriousness was decided is not listed.
    """
    *_, stands = accumulate(asked.updates)
    regimes = settings.safety_regimes if asked.regimes is None else asked.regimes
    judged = judge_case(stands)
    clocks = [
        clock
        for clock in derive_cumulative_clocks(asked.updates, regimes, time_zone)
        if clock.ended_by_version is None
    ]
    return {
        "serious": judged.serious,
        "suspected": judged.suspected,
        "unexpected": judged.unexpected,
        "classification": judged.classification,
        "treatment_emergent": is_treatment_emergent(
            asked.onset,
            asked.infusions,
            worsened=asked.worsened_after_first_infusion,
            settings=settings.safety,
            time_zone=time_zone,
        ),
        "within_24h_of_infusion": is_soon_after_infusion(
            asked.onset, asked.infusions, settings=settings.safety, time_zone=time_zone
        ),
        "clocks": [clock_members(clock) for clock in clocks],
        "notes": [*judged.notes, *clock_notes(clocks)],
    }


def evaluate_incidence(asked: IncidenceInput, settings: Settings) -> Incidence:
    """Answer the evaluation `ae-incidence`; an absent threshold is the setting's."""
    threshold = asked.threshold_percent
    if threshold is None:
        threshold = settings.safety.other_event_threshold_percent_export
    events = [
        CountedEvent(subject=one.subject, soc=one.soc, pt=one.pt, serious=one.serious)
        for one in asked.events
    ]
    return count_incidence(events, n_at_risk=asked.n_at_risk, threshold_percent=threshold)


def clock_members(clock: Clock) -> dict[str, Any]:
    """Return a clock as it is answered: of hours with `due`, of days with its dates."""
    members: dict[str, Any] = {"clock": clock.clock}
    if clock.due is not None:
        members["due"] = clock.due
    else:
        members |= {
            "basis_days": clock.basis_days,
            "day0": clock.day0,
            "due_date": clock.due_date,
        }
    return members | {
        "started_by_version": clock.started_by_version,
        "counted_from": {
            "member": clock.counted_from,
            "at": clock.started_at,
            "version": clock.counted_from_version,
        },
        "facts": [
            {"pointer": fact.pointer, "value": fact.value, "version": fact.version}
            for fact in clock.facts
        ],
        "rule": clock.rule,
        "source": clock.source,
    }


def clock_notes(clocks: Iterable[Clock]) -> list[str]:
    """Return what to know beside the clocks: stop and review, which date binds."""
    started = {clock.clock: clock for clock in clocks}
    notes = []
    if "STEM_CELL_COMMITTEES_24H" in started:
        notes.append(STOP_TREATMENT)
    if "SUSAR_UPGRADE_FATAL_LT" in started:
        notes.append(f"{EARLIER_DATE_BINDS}:{binding_due_date(started.values())}")
    return notes
