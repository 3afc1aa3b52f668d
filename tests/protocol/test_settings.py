from decimal import Decimal
from typing import Any

import pytest

from services.kernel.refusals import Impossible
from services.protocol.evaluating import Question
from services.protocol.loading import load_studies
from services.protocol.settings import override_settings, setting_by_place

SETTINGS = load_studies()["NCT03745417"].settings


@pytest.mark.parametrize(
    ("overrides", "place", "value"),
    [
        ({"eligibility": {"renal_rule": "both"}}, "eligibility.renal_rule", "both"),
        ({"week12": {"anchor": "last_infusion"}}, "week12.anchor", "last_infusion"),
        ({"eligibility": {"age_min": Decimal("21.0")}}, "eligibility.age_min", 21),
        ({"eligibility": {"pasi_gt": Decimal("7.5")}}, "eligibility.pasi_gt", Decimal("7.5")),
        (
            {"eligibility": {"anaemia_lt_g_per_l": {"male": 130}}},
            "eligibility.anaemia_lt_g_per_l.male",
            Decimal(130),
        ),
        ({"safety_regimes": ["ICH_E2A"]}, "safety_regimes", ("ICH_E2A",)),
    ],
)
def test_override_replaces_one_setting_and_no_other(
    overrides: dict[str, Any], place: str, value: object
) -> None:
    before = setting_by_place(SETTINGS)
    after = setting_by_place(override_settings(SETTINGS, overrides))
    assert before[place] != after[place] == value
    assert {name for name in before if before[name] != after[name]} == {place}


@pytest.mark.parametrize("overrides", [{}, {"week12": None}, {"week12": {"anchor": None}}])
def test_null_says_nothing(overrides: dict[str, Any]) -> None:
    assert override_settings(SETTINGS, overrides) == SETTINGS


@pytest.mark.parametrize(
    ("overrides", "pointer", "code"),
    [
        ({"eligibility": {"age_min": True}}, "/settings/eligibility/age_min", "setting"),
        ({"eligibility": {"age_min": "18"}}, "/settings/eligibility/age_min", "setting"),
        ({"eligibility": {"sas_gt": Decimal("50.5")}}, "/settings/eligibility/sas_gt", "setting"),
        ({"eligibility": {"wbc_lt": -1}}, "/settings/eligibility/wbc_lt", "setting"),
        ({"week12": {"anchor": "later"}}, "/settings/week12/anchor", "setting"),
        ({"week12": 12}, "/settings/week12", "setting"),
        ({"safety": {"infusion_related_hours": 10**12}}, None, "setting"),
        ({"safety": {"treatment_emergent_until_day": 10**12}}, None, "setting"),
        ({"safety_regimes": []}, "/settings/safety_regimes", "setting"),
        ({"safety_regimes": ["ICH_E2A", "ICH_E2A"]}, "/settings/safety_regimes", "setting"),
        ({"confidence_interval": {"level": 1}}, "/settings/confidence_interval/level", "setting"),
        ({"week12": {"day": 1}}, "/settings/week12/day", "unknown_setting"),
        ({"nothing": None}, "/settings/nothing", "unknown_setting"),
        ({"a/b~c": 1}, "/settings/a~1b~0c", "unknown_setting"),
        (
            {"eligibility": {"washout_days": {"tea": 3}}},
            "/settings/eligibility/washout_days/tea",
            "setting",
        ),
    ],
)
def test_override_that_cannot_be_is_refused(
    overrides: dict[str, Any], pointer: str | None, code: str
) -> None:
    with pytest.raises(Impossible) as refused:
        override_settings(SETTINGS, overrides)
    (fault,) = refused.value.faults
    assert fault.code == code
    assert pointer in (None, fault.pointer)


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(Impossible) as refused:
        override_settings(SETTINGS, {"week12": {"anchor": 1}, "dose": {"min_gap_days": -1}})
    assert [fault.pointer for fault in refused.value.faults] == [
        "/settings/week12/anchor",
        "/settings/dose/min_gap_days",
    ]


def test_question_without_settings_is_answered_by_the_studys() -> None:
    assert Question().settings_on(SETTINGS) is SETTINGS
    asked = Question(settings={"week12": {"tie": "earlier"}})
    assert asked.settings_on(SETTINGS).week12.tie == "earlier"
