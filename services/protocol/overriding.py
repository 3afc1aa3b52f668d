"""A study with single settings replaced, as an evaluation may ask (the vectors' README).

Beside the readings in `Settings` these are the members of `profile_defaults.json` that a
study file says elsewhere: the time zone of its sites, its visits, the weeks of infusions.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as form

from services.kernel.refusals import Fault, Impossible
from services.kernel.values import WHOLE, Flag
from services.protocol.contradictions import INFUSION, contradictions
from services.protocol.settings import impossible_setting, override_settings
from services.protocol.study import BeforeDay, Code, Days, Origin, Study, TimeZone, VisitPlan

CLOSED = ConfigDict(extra="forbid")
_BESIDE: Final = ("timezone", "visits", "infusion_weeks")
_MEMBER_BY_NAME: Final = {
    "offset_days": "offset_days",
    "window_before": "window_before_days",
    "window_after": "window_after_days",
    "range_days": "range_days",
    "infusion": "has_infusion",
    "window_source": "window_source",
}

Week = Annotated[int, Field(ge=0, le=520), WHOLE]


@form(frozen=True, kw_only=True, config=CLOSED)
class VisitSetting:
    """What is set otherwise of one visit; what is left out or null stays."""

    visit: Code
    offset_days: Days | None = None
    window_before: Days | None = None
    window_after: Days | None = None
    range_days: tuple[BeforeDay, BeforeDay] | None = None
    infusion: Flag | None = None
    window_source: Origin | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class PlanSettings:
    """The settings of a study that its file does not keep among the readings."""

    timezone: TimeZone | None = None
    visits: tuple[VisitSetting, ...] | None = None
    infusion_weeks: tuple[Week, ...] | None = None


_PLAN: Final = TypeAdapter(PlanSettings)


def override_study(study: Study, overrides: Mapping[str, Any]) -> Study:
    """Return the study with single settings replaced, by their place; null replaces nothing.

    Raises Impossible with a fault a wrong member; pointers are below `/settings`.
    """
    readings = {name: value for name, value in overrides.items() if name not in _BESIDE}
    settings = override_settings(study.settings, readings)
    try:
        plan = _PLAN.validate_python({n: v for n, v in overrides.items() if n in _BESIDE})
    except ValidationError as invalid:
        raise impossible_setting(invalid) from None
    sites = study.sites
    if plan.timezone is not None:
        sites = tuple(replace(site, time_zone=plan.timezone) for site in sites)
    planned = replace(study, sites=sites, visits=_visits(study, plan))
    _require_possible(planned)
    return replace(planned, settings=settings)


def _visits(study: Study, plan: PlanSettings) -> tuple[VisitPlan, ...]:
    visits = {visit.code: visit for visit in study.visits}
    for at, setting in enumerate(plan.visits or ()):
        if setting.visit not in visits:
            detail = "The study has no visit of this code."
            fault = Fault(f"/settings/visits/{at}/visit", "unknown_visit", detail)
            raise Impossible("A setting cannot be so.", faults=[fault])
        visits[setting.visit] = _set(visits[setting.visit], setting)
    if plan.infusion_weeks is None:
        return tuple(visits.values())
    days = {7 * week for week in plan.infusion_weeks}
    if not days <= {visit.offset_days for visit in visits.values()}:
        detail = "No visit is planned in this week."
        fault = Fault("/settings/infusion_weeks", "setting", detail)
        raise Impossible("A setting cannot be so.", faults=[fault])
    return tuple(_infused(visit, is_infused=visit.offset_days in days) for visit in visits.values())


def _set(visit: VisitPlan, setting: VisitSetting) -> VisitPlan:
    changed = {
        member: value
        for name, member in _MEMBER_BY_NAME.items()
        if (value := getattr(setting, name)) is not None
    }
    otherwise = replace(visit, **changed)
    return _infused(otherwise, is_infused=otherwise.has_infusion)


def _infused(visit: VisitPlan, *, is_infused: bool) -> VisitPlan:
    others = tuple(code for code in visit.activities if code != INFUSION)
    activities = (*others, INFUSION) if is_infused else others
    if is_infused and INFUSION in visit.activities:
        activities = visit.activities
    return replace(visit, has_infusion=is_infused, activities=activities)


def _require_possible(study: Study) -> None:
    faults = [
        Fault(f"/settings/{place[0]}", "setting", reason) for place, reason in contradictions(study)
    ]
    if faults:
        raise Impossible("The settings contradict each other.", faults=faults)
