"""The registered outcome measures of a study, at their time frames (rulebook section 2)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from services.protocol.settings import Settings
from services.protocol.study import OutcomeMeasure, Study
from services.scoring.domain.derivations import RULES
from services.scoring.domain.instruments import INSTRUMENTS

Document = Mapping[str, Any]

ANALYSIS_SETS: Final = {
    "registered": "Everyone registered at the sites that the answer covers.",
    "treated": "At least one infusion.",
    "efficacy": "At least one infusion, and a PASI at baseline that is not zero.",
    "observed": "Of the efficacy set: with a PASI at week 12.",
}
_SETTINGS: Final = sorted({place for rule in RULES.values() for place in rule.settings})


def measured_by(study: Study) -> list[str]:
    """Return the instruments that the outcome measures need; PASI always."""
    named = {measure.instrument for measure in study.outcome_measures if measure.instrument}
    return sorted({"pasi", *named})


def study_view(
    study: Study,
    settings: Settings,
    cohort: Document,
    changes: Mapping[str, Document],
    counts: Mapping[str, int],
) -> dict[str, Any]:
    """Return the answer's members.

    `changes` are what became of each instrument's values from baseline to week 12, `counts`
    the participants of each analysis set.
    """
    return {
        "measures": [_measure_view(one, cohort, changes) for one in study.outcome_measures],
        "analysis_sets": {
            name: {"n": counts[name], "definition": text} for name, text in ANALYSIS_SETS.items()
        },
        "cohort": cohort,
        "derivation": {
            "rules": {name: rule.text for name, rule in RULES.items()},
            "settings": _settings_view(study, settings),
        },
    }


def _settings_view(study: Study, settings: Settings) -> dict[str, Any]:
    """Return the settings that were read, and where each comes from."""
    asked, registered = study.values_by(settings), study.value_by_place
    return {
        place: {
            "value": asked[place],
            "source": study.source_of(place) if asked[place] == registered[place] else "request",
        }
        for place in _SETTINGS
    }


def _measure_view(
    measure: OutcomeMeasure, cohort: Document, changes: Mapping[str, Document]
) -> dict[str, Any]:
    method, _, threshold = measure.method.partition("_")
    estimate: Callable[[], dict[str, Any]] = {
        "improvement": lambda: _improvement(cohort),
        "responders": lambda: _responders(cohort, threshold),
        "relapse": lambda: _relapse(cohort[measure.method]),
        "change": lambda: _change(measure.instrument or "pasi", changes),
    }[method]
    return {
        "id": measure.id,
        "type": measure.type,
        "title": measure.title,
        "time_frame": measure.time_frame,
        "source": measure.source,
        **estimate(),
    }


def _improvement(cohort: Document) -> dict[str, Any]:
    summary = cohort["improvement_percent_observed"]
    return {
        "n": summary["n"],
        "unit": "%",
        "analysis_set": "efficacy",
        "summary": summary,
        "sensitivity": {
            "locf": cohort["improvement_percent_locf"],
            "bocf": cohort["improvement_percent_bocf"],
        },
    }


def _responders(cohort: Document, percent: str) -> dict[str, Any]:
    proportion = cohort[f"pasi{percent}_nri"]
    return {
        "n": proportion["n"],
        "unit": "participants",
        "analysis_set": "efficacy",
        "proportion": proportion,
        "sensitivity": {"observed": cohort[f"pasi{percent}_observed"]},
    }


def _relapse(period: Document) -> dict[str, Any]:
    proportion = period["primary_relapsed_over_pasi50_achievers"]
    return {
        "n": proportion["n"],
        "unit": "participants",
        "analysis_set": "efficacy, at risk in the period",
        "proportion": proportion,
        "sensitivity": {
            name.removeprefix("sensitivity_"): found
            for name, found in period.items()
            if name.startswith("sensitivity_")
        },
    }


def _change(instrument: str, changes: Mapping[str, Document]) -> dict[str, Any]:
    change = changes[instrument]
    return {
        "n": change["summary"]["n"],
        "unit": INSTRUMENTS[instrument].unit,
        "analysis_set": "treated, with a value at baseline",
        **change,
    }
