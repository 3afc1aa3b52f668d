"""A participant's outcomes by every reading, each with what it was derived from."""

from dataclasses import replace
from typing import Any, Final, get_args

from services.protocol.settings import RelapseDefinition, Settings, Week12Anchor
from services.protocol.study import Study
from services.scoring.domain.courses import Course
from services.scoring.domain.derivations import derivation
from services.scoring.domain.dlqi import can_fall_meaningfully, is_meaningful
from services.scoring.domain.improvement import as_number
from services.scoring.domain.outcome_views import (
    outcome_view,
    relapse_view,
    value_view,
    week12_view,
    window_view,
)
from services.scoring.domain.outcomes import Outcome, derive_outcome
from services.scoring.domain.participant_files import ParticipantFile, course_of

_BY_PASI: Final = (
    "baseline",
    "week12",
    "improvement_percent",
    "change",
    "responders_observed",
    "responders_nri",
    "locf",
    "bocf",
    "relapse",
)
_BY_OTHERS: Final = ("baseline", "week12", "change", "improvement_percent", "locf", "bocf")
OTHERS: Final = ("vas", "bsa", "dlqi")


def participant_view(file: ParticipantFile, study: Study) -> dict[str, Any]:
    """Return a participant's outcomes by the study's settings, and by the other readings."""
    course = course_of(file, study, "pasi")
    outcome = derive_outcome(course, study, study.settings)
    return {
        **outcome_view(outcome),
        "week12_by_anchor": _by_anchor(course, study),
        "relapse_by_definition": _by_definition(course, study),
        **{
            instrument: _other_view(
                instrument,
                derive_outcome(course_of(file, study, instrument), study, study.settings),
                study,
            )
            for instrument in OTHERS
            if instrument in study.instruments
        },
        "derivation": derivation(outcome, study, _BY_PASI),
    }


def _by_anchor(course: Course, study: Study) -> dict[str, Any]:
    """Return week 12 as each reading of "after treatment" finds it."""
    found = {}
    for anchor in get_args(Week12Anchor):
        outcome = derive_outcome(course, study, with_anchor(study.settings, anchor))
        found[anchor] = {"window": window_view(outcome.window), **week12_view(outcome)}
    return found


def _by_definition(course: Course, study: Study) -> dict[str, Any]:
    """Return relapse as each definition finds it."""
    found = {}
    for definition in get_args(RelapseDefinition):
        settings = with_definition(study.settings, definition)
        relapse = derive_outcome(course, study, settings).relapse
        found[definition] = None if relapse is None else relapse_view(relapse)
    return found


def with_anchor(settings: Settings, anchor: Week12Anchor) -> Settings:
    """Return the settings with another anchor of week 12."""
    return replace(settings, week12=replace(settings.week12, anchor=anchor))


def with_definition(settings: Settings, definition: RelapseDefinition) -> Settings:
    """Return the settings with another definition of relapse."""
    return replace(settings, relapse=replace(settings.relapse, definition=definition))


def _other_view(instrument: str, outcome: Outcome, study: Study) -> dict[str, Any]:
    """Return the outcome by another instrument than PASI."""
    course, carried = outcome.course, outcome.last_carried
    view = {
        "baseline": value_view(outcome.baseline, course, "value"),
        "week12": value_view(outcome.week12, course, "value"),
        "change": outcome.change,
        "improvement_percent": as_number(outcome.improvement),
        "locf": None,
        "bocf": None,
    }
    if carried is not None:
        last = value_view(carried, course, "value") or {}
        view["locf"] = {**last, "change": outcome.change_locf}
    if outcome.change_bocf is not None:
        view["bocf"] = {"change": outcome.change_bocf}
    names = [*_BY_OTHERS]
    if instrument == "dlqi":
        view["meaningful_improvement"] = {
            "reached": is_meaningful(outcome.change),
            "possible": can_fall_meaningfully(outcome.baseline_value),
        }
        names.append("meaningful_improvement")
    return {**view, "derivation": derivation(outcome, study, names)}
