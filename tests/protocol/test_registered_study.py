import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from services.enrolment.domain.criteria.judging import RULE_BY_CRITERION
from services.enrolment.domain.criteria.laboratory import RULES as LABORATORY_RULES
from services.kernel.exact_json import canonical_json
from services.kernel.refusals import NotFound
from services.protocol import computable
from services.protocol.loading import load_studies
from services.protocol.settings import setting_by_place
from services.safety.domain.stopping import CONDITIONS
from services.scoring.domain.instruments import INSTRUMENTS

STUDY = load_studies()["NCT03745417"]
VECTORS = Path(__file__).parents[1] / "vectors"
DOCUMENTATION = ("alternatives", "available", "anaemia_alternative_who")
"""Members of the defaults that describe other readings and set nothing."""


def read(name: str) -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"), parse_float=Decimal)


def settings_in(value: Any, place: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {".".join(place): tuple(value) if isinstance(value, list) else value}
    return {
        name: setting
        for member, below in value.items()
        if not any(word in member for word in DOCUMENTATION)
        for name, setting in settings_in(below, (*place, member)).items()
    }


def test_settings_are_the_defaults_of_the_rulebook() -> None:
    beside = ("trial", "version", "timezone", "infusion_weeks", "visits")
    defaults = read("profile_defaults.json")
    expected = {name: value for name, value in defaults.items() if name not in beside}
    assert setting_by_place(STUDY.settings) == settings_in(expected)


def test_visits_are_the_defaults_of_the_rulebook() -> None:
    defaults = read("profile_defaults.json")
    found = [
        {
            "visit": plan.code,
            "offset_days": plan.offset_days,
            "window_before": plan.window_before_days,
            "window_after": plan.window_after_days,
            "range_days": plan.range_days and list(plan.range_days),
            "infusion": plan.has_infusion,
            "window_source": plan.window_source,
        }
        for plan in STUDY.visits
    ]
    assert found == defaults["visits"]
    weeks = [
        plan.offset_days // 7 for plan in STUDY.infusion_visits if plan.offset_days is not None
    ]
    assert weeks == defaults["infusion_weeks"]
    assert {site.time_zone for site in STUDY.sites} == {defaults["timezone"]}


def test_criteria_are_those_of_the_catalogue_in_its_order() -> None:
    members = ("id", "type", "text", "attested_by", "data")
    found = [{name: getattr(one, name) for name in members} for one in STUDY.criteria]
    assert found == read("criteria_catalogue.json")["criteria"]
    assert len(found) == 47


def test_a_person_judges_what_is_neither_computed_nor_measured() -> None:
    computed = {"I1b", "I2", "I3", "E4a", "E4b", *LABORATORY_RULES}
    judged = {one.id for one in STUDY.criteria if one.needs_attestation}
    assert judged == {one.id for one in STUDY.criteria} - computed


def test_one_primary_outcome_measure_is_registered() -> None:
    assert [one.type for one in STUDY.outcome_measures] == ["primary"] + ["secondary"] * 8
    relapse = [one.id for one in STUDY.outcome_measures if one.method.startswith("relapse_")]
    assert relapse == ["relapse_treatment", "relapse_follow_up"]


ACTIVITIES = {
    "consent": "SCR",
    "demographics": "SCR",
    "eligibility": "SCR W0",
    "pasi": "SCR W0 W2 W4 W6 W8 W12 W16 W20 W24",
    "bsa": "SCR W0 W2 W4 W6 W8 W12 W16 W20 W24",
    "dlqi": "SCR W0 W4 W8 W12 W16 W24",
    "vas": "SCR W0 W4 W8 W12 W16 W24",
    "sas": "SCR W12 W24",
    "sds": "SCR W12 W24",
    "weight": "SCR W0 W2 W4 W6 W8 W12 W16 W20 W24",
    "vital_signs": "SCR W0 W2 W4 W6 W8 W12 W16 W20 W24",
    "laboratory": "SCR W0 W4 W8 W12 W24",
    "tumour_markers": "SCR W24",
    "pregnancy_test": "SCR W0 W2 W4 W6 W8 W12 W24",
    "infusion": "W0 W2 W4 W6 W8",
    "observation": "W0 W2 W4 W6 W8",
    "adverse_events": "SCR W0 W2 W4 W6 W8 W12 W16 W20 W24",
    "medicines": "SCR W0 W2 W4 W6 W8 W12 W16 W20 W24",
}


def test_activities_stand_at_the_visits_of_the_rulebook() -> None:
    found = {
        activity.code: " ".join(v.code for v in STUDY.visits if activity.code in v.activities)
        for activity in STUDY.activities
    }
    assert found == ACTIVITIES


def test_infusion_follows_assessments_and_the_check() -> None:
    order = {activity.code: activity.order for activity in STUDY.activities}
    assessed = [one.order for one in STUDY.activities if one.instrument is not None]
    assert max(assessed) < order["eligibility"] < order["infusion"]
    assert min(order.values()) == order["consent"]


def test_every_setting_has_its_source_in_the_document() -> None:
    document = json.loads(canonical_json(STUDY.as_document()), parse_float=Decimal)
    sources = document["sources"]
    assert set(setting_by_place(STUDY.settings)) < set(sources)
    assert {one["source"] for one in sources.values()} == {"registry", "assumption"}
    assert all(one["reference"] for one in sources.values())
    assert sources["eligibility.sas_gt"] == {
        "value": 50,
        "source": "registry",
        "reference": "exclusion 4",
    }
    assert sources["dose.min_gap_days"]["reference"] == "rulebook section 7"


@pytest.mark.parametrize("member", ["visits", "criteria", "outcome_measures", "arms", "settings"])
def test_document_holds_the_protocol(member: str) -> None:
    document = json.loads(canonical_json(STUDY.as_document()))
    assert document["study"] == "NCT03745417"
    assert document[member]


def test_titles_for_a_phone_tell_nothing_of_the_disease() -> None:
    assert all(visit.title == f"Visit {visit.code}" for visit in STUDY.visits)


def test_parts_are_found_by_code_or_not_at_all() -> None:
    assert STUDY.visit("W4").offset_days == 28
    assert STUDY.site("GDTCM").time_zone == "Asia/Shanghai"
    assert STUDY.criterion("E5o").needs_attestation
    assert STUDY.source_of("nothing") is None
    for find in (STUDY.visit, STUDY.site, STUDY.criterion):
        with pytest.raises(NotFound):
            find("nothing")


def test_results_become_canonical_exactly() -> None:
    calcium = STUDY.laboratory_test_by_name["calcium_total"]
    assert calcium.factor_by_unit == {"mmol/L": 1, "mg/dL": Fraction(1000, 4008)}
    assert calcium.units_by_loinc == {"2000-8": ("mmol/L",), "17861-6": ("mg/dL",)}
    assert set(calcium.refused_loinc) == {"1995-0", "1994-3"}
    hemoglobin = STUDY.laboratory_test_by_name["hemoglobin"]
    assert hemoglobin.factor_by_unit["mmol/L"] == Fraction(16114, 1000)


def test_what_files_may_name_is_what_services_compute() -> None:
    assert set(RULE_BY_CRITERION) == computable.CRITERIA
    assert set(INSTRUMENTS) == computable.INSTRUMENTS
    assert set(CONDITIONS) == computable.STOPPING_CONDITIONS
    assert set(STUDY.laboratory_test_by_name) == computable.LABORATORY_TESTS
    assert {one.method for one in STUDY.outcome_measures} == computable.OUTCOME_METHODS
