"""Criteria on what ended too short a while ago (rulebook section 6).

Periods count back from an anchor. A period is over when as much or more has elapsed. Dates
of which parts are unknown are judged at both extremes.
"""

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Final

from services.enrolment.domain.criteria.findings import Evaluation, Finding, Rule, in_words
from services.enrolment.domain.criteria.logic import agreeing, any_of
from services.enrolment.domain.criteria.statements import SEX, settled_by_sex
from services.enrolment.domain.eligibility_facts import TherapyRecord
from services.kernel.refusals import Impossible
from services.kernel.values import PartialDate
from services.protocol.settings import WashoutClass
from services.protocol.visit_calendar import add_months

_TRIAL_ENDS: Final = "/other_trials/participation_end_dates"
_TRIALS_COMPLETE: Final = "/other_trials/history_complete"
_THERAPIES: Final = "/therapies/records"
_THERAPIES_COMPLETE: Final = "/therapies/history_complete"
_REPRODUCTIVE_COMPLETE: Final = "/reproductive/history_complete"


def is_within_months(ended: PartialDate | None, anchor: date | None, months: int) -> bool | None:
    """Tell whether fewer than `months` calendar months lie between the end and the anchor."""
    if ended is None or anchor is None:
        return None
    return agreeing(
        _over_on(ended.earliest, months) > anchor, _over_on(ended.latest, months) > anchor
    )


def _over_on(ended: date, months: int) -> date:
    """Return the day on which the period is over; the last there is for what never is."""
    try:
        return add_months(ended, months)
    except Impossible:
        return date.max


def is_within_days(ended: PartialDate | None, anchor: date | None, days: int) -> bool | None:
    """Tell whether fewer than `days` days lie between the end and the anchor."""
    if ended is None or anchor is None:
        return None
    return agreeing((anchor - ended.earliest).days < days, (anchor - ended.latest).days < days)


def _ended_lately(end_pointer: str, evaluation: Evaluation) -> Finding:
    """Judge E3b or E3d: a pregnancy or breastfeeding that ended within a year."""
    settings = evaluation.settings
    ended = evaluation.read(end_pointer)
    anchor_pointer = evaluation.anchor_pointer(settings.pregnancy_anchor)
    if ended is None:
        # Only a history stated to be complete makes "no date" mean "never".
        outcome = False if evaluation.read(_REPRODUCTIVE_COMPLETE) else None
        lacking: tuple[str, ...] = (end_pointer, _REPRODUCTIVE_COMPLETE)
    else:
        anchor = evaluation.anchor_date(settings.pregnancy_anchor)
        outcome = is_within_months(ended, anchor, settings.pregnancy_lactation_months)
        lacking = (end_pointer if anchor else anchor_pointer,)
    settled = settled_by_sex(evaluation)
    return Finding(
        result=settled or in_words(outcome),
        read=(SEX, end_pointer, _REPRODUCTIVE_COMPLETE, anchor_pointer),
        settings=("pregnancy_lactation_months", "pregnancy_anchor", "boundary_rule"),
        lacking=(SEX,) if settled else lacking,
    )


def _other_trial(evaluation: Evaluation) -> Finding:
    """Judge E8b: part in another trial that ended within a calendar month."""
    settings = evaluation.settings
    anchor_pointer = evaluation.anchor_pointer(settings.other_trial_anchor)
    anchor = evaluation.anchor_date(settings.other_trial_anchor)
    pointers = _items(evaluation, _TRIAL_ENDS)
    outcomes = [
        is_within_months(evaluation.read(pointer), anchor, settings.other_trial_months)
        for pointer in pointers
    ]
    return _of_history(
        evaluation,
        dict(zip(pointers, outcomes, strict=True)),
        completeness=_TRIALS_COMPLETE,
        anchor=anchor_pointer,
        settings=("other_trial_months", "other_trial_anchor", "boundary_rule"),
    )


def _washout(treatment: WashoutClass, evaluation: Evaluation) -> Finding:
    """Judge E9a to E9e: a treatment that ended within its washout, or goes on."""
    settings = evaluation.settings
    anchor = evaluation.anchor_date(settings.washout_anchor)
    days = settings.washout_days[treatment]
    outcome_by_pointer = {
        pointer: _record_outcome(record, treatment, anchor, days)
        for pointer in _items(evaluation, _THERAPIES)
        if (record := evaluation.read(pointer)).class_ in (treatment, None)
    }
    return _of_history(
        evaluation,
        outcome_by_pointer,
        completeness=_THERAPIES_COMPLETE,
        anchor=evaluation.anchor_pointer(settings.washout_anchor),
        settings=("washout_days", "washout_anchor", "boundary_rule"),
    )


def _record_outcome(
    record: TherapyRecord, treatment: WashoutClass, anchor: date | None, days: int
) -> bool | None:
    # Whether it goes on must be stated: a last dose long ago may be only the last so far.
    is_within = any_of(record.ongoing, is_within_days(record.last_dose_date, anchor, days))
    if record.class_ != treatment and is_within:
        return None  # of an unknown class: it may be this one
    return is_within


def _of_history(
    evaluation: Evaluation,
    outcome_by_pointer: Mapping[str, bool | None],
    *,
    completeness: str,
    anchor: str,
    settings: tuple[str, ...],
) -> Finding:
    """Judge a list: one within decides; without one, only a complete list says no."""
    is_complete = evaluation.read(completeness)
    unlisted = False if is_complete else None
    undecided = tuple(p for p, outcome in outcome_by_pointer.items() if outcome is None)
    lacking = undecided if is_complete else (*undecided, completeness)
    if undecided and evaluation.read(anchor) is None:
        lacking = (*lacking, anchor)
    return Finding(
        result=in_words(any_of(*outcome_by_pointer.values(), unlisted)),
        read=(*outcome_by_pointer, completeness, anchor),
        settings=settings,
        lacking=lacking,
    )


def _items(evaluation: Evaluation, pointer: str) -> list[str]:
    return [f"{pointer}/{index}" for index in range(len(evaluation.read(pointer) or ()))]


_WASHOUT_BY_CRITERION: Final[Mapping[str, WashoutClass]] = {
    "E9a": "topical",
    "E9b": "systemic",
    "E9c": "uvb",
    "E9d": "puva",
    "E9e": "biologic",
}

RULES: Final[Mapping[str, Rule]] = {
    "E3b": partial(_ended_lately, "/reproductive/last_pregnancy_end_date"),
    "E3d": partial(_ended_lately, "/reproductive/last_lactation_end_date"),
    "E8b": _other_trial,
    **{
        criterion: partial(_washout, treatment)
        for criterion, treatment in _WASHOUT_BY_CRITERION.items()
    },
}
