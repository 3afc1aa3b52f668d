import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.kernel.refusals import Impossible
from services.protocol.evaluating import Question
from services.protocol.loading import load_studies
from services.protocol.overriding import override_study
from services.protocol.visit_calendar import visit_window

STUDY = load_studies()["NCT03745417"]
DEFAULTS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "profile_defaults.json").read_text("utf-8"),
    parse_float=Decimal,
)
DAY_1 = date(2021, 9, 15)


def test_all_defaults_of_the_rulebook_together_change_nothing() -> None:
    assert override_study(STUDY, DEFAULTS) == STUDY


@pytest.mark.parametrize("place", ["timezone", "visits", "infusion_weeks", "settings"])
def test_null_and_absent_change_nothing(place: str) -> None:
    assert override_study(STUDY, {} if place == "settings" else {place: None}) == STUDY
    assert Question().study_on(STUDY) is STUDY


def test_another_time_zone_holds_at_all_sites() -> None:
    asked = Question(settings={"timezone": "America/New_York"})
    assert {site.time_zone for site in asked.study_on(STUDY).sites} == {"America/New_York"}


def test_one_visit_is_planned_otherwise() -> None:
    wider = {"visit": "W12", "window_before": 5, "window_after": 7}
    plan = override_study(STUDY, {"visits": [wider]})
    window = visit_window(plan.visit("W12"), DAY_1)
    assert (window.first_day, window.last_day) == (date(2021, 12, 3), date(2021, 12, 15))
    others = [visit for visit in plan.visits if visit.code != "W12"]
    assert others == [visit for visit in STUDY.visits if visit.code != "W12"]


def test_infusions_are_planned_in_other_weeks() -> None:
    by_weeks = override_study(STUDY, {"infusion_weeks": [0, 4, 12]})
    assert [visit.code for visit in by_weeks.infusion_visits] == ["W0", "W4", "W12"]
    by_visit = override_study(STUDY, {"visits": [{"visit": "W2", "infusion": False}]})
    assert [visit.code for visit in by_visit.infusion_visits] == ["W0", "W4", "W6", "W8"]


def test_readings_and_plan_are_overridden_together() -> None:
    study = override_study(
        STUDY, {"timezone": "Europe/Berlin", "eligibility": {"renal_rule": "both"}}
    )
    assert study.settings.eligibility.renal_rule == "both"
    assert study.sites[0].time_zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("overrides", "pointer", "code"),
    [
        ({"timezone": "Mars/Olympus"}, "/settings/timezone", "setting"),
        ({"timezone": 8}, "/settings/timezone", "setting"),
        ({"visits": {}}, "/settings/visits", "setting"),
        ({"visits": [{"visit": "W99"}]}, "/settings/visits/0/visit", "unknown_visit"),
        (
            {"visits": [{"visit": "W2", "offset_days": -1}]},
            "/settings/visits/0/offset_days",
            "setting",
        ),
        ({"visits": [{"visit": "W2", "day": 1}]}, "/settings/visits/0/day", "unknown_setting"),
        ({"visits": [{"visit": "W2", "offset_days": 28}]}, "/settings/visits", "setting"),
        ({"infusion_weeks": [0, 3]}, "/settings/infusion_weeks", "setting"),
        ({"infusion_weeks": [2]}, "/settings/visits", "setting"),
        ({"infusion_weeks": [Decimal("0.5")]}, "/settings/infusion_weeks/0", "setting"),
        ({"week12": {"anchor": "later"}}, "/settings/week12/anchor", "setting"),
        (
            {"eligibility": {"boundary_rule": "elapsed > required"}},
            "/settings/eligibility/boundary_rule",
            "setting",
        ),
    ],
)
def test_what_cannot_be_set_is_refused(overrides: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(Impossible) as refused:
        override_study(STUDY, overrides)
    assert {(fault.pointer, fault.code) for fault in refused.value.faults} == {(pointer, code)}
