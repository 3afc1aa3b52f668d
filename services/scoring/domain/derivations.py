"""How each of a participant's outcomes came about: rule, inputs with versions, settings.

Source: rulebook section 2; where each setting comes from stands in the study file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.protocol.study import Study
from services.scoring.domain.courses import Infusion, Record, Value
from services.scoring.domain.outcome_views import window_view
from services.scoring.domain.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule in words, and the settings that it reads."""

    text: str
    settings: Sequence[str] = ()


WEEK_12: Final = ("week12.anchor", "week12.selection", "week12.tie")
RELAPSE: Final = (
    *WEEK_12,
    "relapse.definition",
    "relapse.missing",
    "relapse.count",
    "relapse.followup_days_after_week12_target",
)
RULES: Final = {
    "baseline": Rule(
        text="The last value at or before the first infusion; one of the same day without a "
        "time counts as before."
    ),
    "week12": Rule(
        text="The value nearest to the target within the window; of two as near, the one that "
        "the setting names.",
        settings=WEEK_12,
    ),
    "improvement_percent": Rule(
        text="(baseline - week 12) / baseline * 100; undefined for a baseline of 0.",
        settings=WEEK_12,
    ),
    "change": Rule(text="Week 12 - baseline.", settings=WEEK_12),
    "responders_observed": Rule(
        text="PASI-n: improvement of at least n percent, compared exactly; unknown without a "
        "value at week 12.",
        settings=WEEK_12,
    ),
    "responders_nri": Rule(
        text="As observed; a missing week 12 counts as no response.",
        settings=(*WEEK_12, "missing_data.responder"),
    ),
    "locf": Rule(
        text="The last value after baseline up to the end of the window.",
        settings=("week12.anchor", "missing_data.sensitivity"),
    ),
    "bocf": Rule(
        text="As observed; a missing week 12 counts as no improvement.",
        settings=(*WEEK_12, "missing_data.sensitivity"),
    ),
    "relapse": Rule(
        text="The first value not in response after one in response, on the day on which it is "
        "observed; treatment ends with week 12, or with its target.",
        settings=RELAPSE,
    ),
    "meaningful_improvement": Rule(
        text="The total fell by at least 4 points; impossible from a baseline below 4.",
        settings=WEEK_12,
    ),
}


def derivation(outcome: Outcome, study: Study, names: Iterable[str]) -> dict[str, Any]:
    """Return for each named outcome its rule, the records used, and the settings read."""
    by_name = _inputs(outcome)
    value_by_place = study.value_by_place
    return {
        name: {
            "rule": RULES[name].text,
            "inputs": _listed(by_name[name]),
            "settings": {
                place: {"value": value_by_place[place], "source": study.source_of(place)}
                for place in RULES[name].settings
            },
        }
        | ({"window": window_view(outcome.window)} if name == "week12" else {})
        for name in names
    }


def _inputs(outcome: Outcome) -> dict[str, list[Value | Infusion | None]]:
    course = outcome.course
    start: list[Value | Infusion | None] = [course.first_infusion, outcome.baseline]
    anchors = [course.first_infusion, course.last_infusion]
    both = [outcome.baseline, outcome.week12]
    followed = outcome.relapse.values if outcome.relapse else ()
    return {
        "baseline": start,
        "week12": [*anchors, outcome.week12],
        "improvement_percent": [*both],
        "change": [*both],
        "responders_observed": [*both],
        "responders_nri": [course.first_infusion, *both],
        "locf": [*start, outcome.last_carried],
        "bocf": [course.first_infusion, *both],
        "relapse": [*start, outcome.week12, *followed],
        "meaningful_improvement": [*both],
    }


def _listed(inputs: Iterable[Value | Infusion | None]) -> list[dict[str, Any]]:
    """Return each record once."""
    found = {one.record: one for one in inputs if one is not None and one.record is not None}
    return [_record_view(record, one) for record, one in found.items() if record is not None]


def _record_view(record: Record, source: Value | Infusion) -> dict[str, Any]:
    view = {
        "record": record.kind,
        "id": record.id,
        "version": record.version,
        "date": source.on,
    }
    if isinstance(source, Infusion):
        return view
    return {**view, "rule": record.rule, "value": source.value}
