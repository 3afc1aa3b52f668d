"""The readings of a protocol that a study file sets and an evaluation may override.

Their places are the members of `profile_defaults.json` of the clinical rulebook, so that an
override such as `{"week12": {"anchor": "last_infusion"}}` means the same everywhere.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as form
from pydantic_core import PydanticCustomError

from services.kernel.refusals import Fault, Impossible
from services.kernel.values import NUMBER, WHOLE

CLOSED = ConfigDict(extra="forbid", arbitrary_types_allowed=False)

Limit = Annotated[Decimal, Field(ge=0), NUMBER]
Positive = Annotated[Decimal, Field(gt=0), NUMBER]
Days = Annotated[int, Field(ge=0, le=3660), WHOLE]
Months = Annotated[int, Field(ge=0, le=120), WHOLE]
Years = Annotated[int, Field(ge=0, le=150), WHOLE]
ZungIndex = Annotated[int, Field(ge=0, le=100), WHOLE]
Regime = Literal["CN_NMPA_2018", "ICH_E2A", "CN_STEM_CELL_2015"]
Week12Anchor = Literal["first_infusion", "last_infusion", "end_of_treatment_period"]
RelapseDefinition = Literal[
    "improvement_below_50_percent",
    "npf_loss_of_50_percent_of_improvement",
    "ema_more_than_50_percent_of_best_improvement",
]
WashoutClass = Literal["topical", "systemic", "uvb", "puva", "biologic"]
Sex = Literal["male", "female"]


def _each_once(regimes: tuple[Regime, ...]) -> tuple[Regime, ...]:
    if len(set(regimes)) < len(regimes):
        raise PydanticCustomError("repeated", "a regime is named twice")
    return regimes


@form(frozen=True, kw_only=True, config=CLOSED)
class Week12Settings:
    """How the week-12 value is found (rulebook section 2)."""

    anchor: Week12Anchor = "first_infusion"
    tie: Literal["later", "earlier"] = "later"
    selection: Literal["nearest non-missing"] = "nearest non-missing"


@form(frozen=True, kw_only=True, config=CLOSED)
class RelapseSettings:
    """What counts as relapse (rulebook section 2)."""

    definition: RelapseDefinition = "improvement_below_50_percent"
    missing: Literal["not_relapsed"] = "not_relapsed"
    count: Literal["first_per_period"] = "first_per_period"
    followup_days_after_week12_target: Days = 91


@form(frozen=True, kw_only=True, config=CLOSED)
class MissingDataSettings:
    """How missing values enter the analyses (rulebook section 2)."""

    responder: Literal["NRI"] = "NRI"
    continuous: Literal["observed_cases"] = "observed_cases"
    sensitivity: tuple[Literal["LOCF", "BOCF"], ...] = ("LOCF", "BOCF")


@form(frozen=True, kw_only=True, config=CLOSED)
class ConfidenceSettings:
    """Limits of a proportion (rulebook section 2)."""

    method: Literal["clopper_pearson", "wilson"] = "clopper_pearson"
    level: Annotated[Decimal, Field(gt=0, lt=1), NUMBER] = Decimal("0.95")


@form(frozen=True, kw_only=True, config=CLOSED)
class EligibilitySettings:
    """Limits and readings of the criteria (rulebook section 6)."""

    pasi_gt: Limit = Decimal(7)
    bsa_gt: Limit = Decimal(10)
    age_min: Years = 18
    age_max: Years = 65
    sas_gt: ZungIndex = 50
    sds_gt: ZungIndex = 53
    calcium_low_lt: Limit = Decimal("2.0")
    calcium_high_gt: Limit = Decimal("2.9")
    ast_alt_uln_multiple_gt: Positive = Decimal(2)
    hb_over_uln_gt_g_per_l: Limit = Decimal(20)
    anaemia_lt_g_per_l: Mapping[Sex, Positive]
    platelets_lt: Limit = Decimal("75.0")
    wbc_lt: Limit = Decimal("3.0")
    washout_days: Mapping[WashoutClass, Days]
    other_trial_months: Months = 1
    pregnancy_lactation_months: Months = 12
    renal_rule: Literal["either", "both"] = "either"
    washout_anchor: Literal["first_infusion", "consent"] = "first_infusion"
    other_trial_anchor: Literal["consent", "first_infusion"] = "consent"
    pregnancy_anchor: Literal["consent", "first_infusion"] = "consent"
    boundary_rule: Literal["elapsed >= required means the washout is satisfied"] = (
        "elapsed >= required means the washout is satisfied"
    )
    allergy_rule: Literal["any", "product_related_or_severe"] = "any"
    laboratory_window_days: Days = 28
    tumour_marker_panel: tuple[str, ...] = ("AFP", "CEA", "CA19-9", "CA125", "PSA")


@form(frozen=True, kw_only=True, config=CLOSED)
class DoseSettings:
    """Readings of the dosing rules (rulebook section 7)."""

    weight_max_age_days: Days = 14
    given_differs_warn_percent: Positive = Decimal(10)
    min_gap_days: Days = 10


@form(frozen=True, kw_only=True, config=CLOSED)
class SafetySettings:
    """Readings of the safety rules (rulebook section 8)."""

    treatment_emergent_until_day: Annotated[int, Field(ge=1, le=3660), WHOLE] = 176
    infusion_related_hours: Annotated[int, Field(ge=0, le=8784), WHOLE] = 24
    other_event_threshold_percent_export: Limit = Decimal(0)


@form(frozen=True, kw_only=True, config=CLOSED)
class Settings:
    """Every setting of a study, at its place in `profile_defaults.json`."""

    dose_cells_per_kg: Annotated[int, Field(gt=0, le=10**12), WHOLE]
    eligibility: EligibilitySettings
    week12: Week12Settings = Week12Settings()
    relapse: RelapseSettings = RelapseSettings()
    missing_data: MissingDataSettings = MissingDataSettings()
    confidence_interval: ConfidenceSettings = ConfidenceSettings()
    safety_regimes: Annotated[
        tuple[Regime, ...], Field(min_length=1), AfterValidator(_each_once)
    ] = ("CN_NMPA_2018",)
    dose: DoseSettings = DoseSettings()
    safety: SafetySettings = SafetySettings()


_SETTINGS = TypeAdapter(Settings)
DESCRIPTIONS: Final = frozenset(
    {
        "trial",
        "version",
        "safety_regimes_available",
        "week12.alternatives",
        "relapse.alternatives",
        "eligibility.allergy_rule_alternatives",
        "eligibility.renal_rule_alternatives",
        "eligibility.anaemia_alternative_who_lt_g_per_l",
    }
)
"""Places in `profile_defaults.json` that say what could be set, and set nothing themselves."""


def override_settings(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings with single members replaced, by their place; null replaces nothing.

    Members that only describe other readings are passed over. Raises Impossible with a fault
    a wrong member; pointers are below `/settings`.
    """
    merged = _merge(_SETTINGS.dump_python(settings), _without_descriptions(overrides))
    try:
        return _SETTINGS.validate_python(merged)
    except ValidationError as invalid:
        raise impossible_setting(invalid) from None


def impossible_setting(invalid: ValidationError) -> Impossible:
    """Return the refusal of overrides, with a fault a wrong member, below `/settings`."""
    faults = [
        Fault(
            _pointer(error["loc"]),
            "unknown_setting" if error["type"] == "unexpected_keyword_argument" else "setting",
            "No such setting, or a value that it cannot have.",
        )
        for error in invalid.errors(include_input=False, include_url=False)
    ]
    return Impossible("A setting cannot be so.", faults=faults)


def _without_descriptions(
    overrides: Mapping[str, Any], place: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        name: _without_descriptions(value, (*place, name)) if isinstance(value, Mapping) else value
        for name, value in overrides.items()
        if ".".join((*place, name)) not in DESCRIPTIONS
    }


def setting_by_place(settings: Settings) -> dict[str, Any]:
    """Return every single setting by its place, such as `week12.anchor`."""
    return dict(_leaves((), _SETTINGS.dump_python(settings)))


def _leaves(place: tuple[str, ...], value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield ".".join(place), value
        return
    for name, member in value.items():
        yield from _leaves((*place, name), member)


def _pointer(place: tuple[str | int, ...]) -> str:
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in place if part != "[key]"]
    return "/".join(["/settings", *parts])


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        before = merged.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[name] = _merge(before, value)
        elif value is not None or name not in merged:
            merged[name] = value
    return merged
