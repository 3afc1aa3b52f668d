"""The dose of an infusion: planned by weight, compared with what was given (rulebook 7).

A missed infusion is skipped: no later dose makes up for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as form
from typing_extensions import TypedDict

from services.kernel.refusals import Fault
from services.kernel.values import NUMBER
from services.protocol.settings import DoseSettings, Settings

WeightKg = Annotated[Decimal, Field(gt=0, le=700), NUMBER]


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DoseInput:
    """The weight that a dose is asked for; without one there is no dose."""

    weight_kg: WeightKg


class DoseAnswer(TypedDict):
    """The dose in cells, a whole number."""

    valid: bool
    dose_cells: int


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """A weight in kg and the site's date on which it was measured."""

    weight_kg: Decimal
    measured_on: date


@dataclass(frozen=True, kw_only=True)
class PlannedDose:
    """The planned cells, `None` without a usable weight, and the weight that they follow."""

    cells: int | None
    weight_kg: Decimal | None = None
    weighed_on: date | None = None
    is_earlier_weight: bool = False


def dose_cells(weight_kg: Decimal, cells_per_kg: int) -> int:
    """Return the cells of one infusion; a fraction of a cell is rounded half up."""
    return int((weight_kg * cells_per_kg).to_integral_value(ROUND_HALF_UP))


def evaluate_dose(asked: DoseInput, settings: Settings) -> DoseAnswer:
    """Answer the evaluation `dose`."""
    return {"valid": True, "dose_cells": dose_cells(asked.weight_kg, settings.dose_cells_per_kg)}


def plan_dose(weighings: Iterable[Weighing], infused_on: date, settings: Settings) -> PlannedDose:
    """Return the dose by the weight of the infusion's day, else by the last one recent enough.

    The earlier weight, at most `weight_max_age_days` old, is flagged.
    """
    max_age = settings.dose.weight_max_age_days
    usable = [w for w in weighings if 0 <= (infused_on - w.measured_on).days <= max_age]
    if not usable:
        return PlannedDose(cells=None)
    last = max(usable, key=lambda weighing: (weighing.measured_on, weighing.weight_kg))
    return PlannedDose(
        cells=dose_cells(last.weight_kg, settings.dose_cells_per_kg),
        weight_kg=last.weight_kg,
        weighed_on=last.measured_on,
        is_earlier_weight=last.measured_on != infused_on,
    )


def differs_from_plan(planned_cells: int, given_cells: int, settings: DoseSettings) -> bool:
    """Tell whether the cells given differ from the plan by more than the setting's percent."""
    limit = settings.given_differs_warn_percent
    return 100 * abs(given_cells - planned_cells) > limit * planned_cells


def shortest_gap_days(infused_on: date, others: Iterable[date]) -> int | None:
    """Return the days to the nearest other infusion, before or after; `None` without one."""
    return min((abs((infused_on - other).days) for other in others), default=None)


def infusion_warnings(
    *,
    infused_on: date,
    cells_given: int | None,
    planned: PlannedDose,
    other_infusions: Iterable[date],
    settings: DoseSettings,
) -> tuple[Fault, ...]:
    """Return what is odd about an infusion that was given; it is recorded all the same."""
    gap_days = shortest_gap_days(infused_on, other_infusions)
    odd = (
        ("", "no_usable_weight", "No weight of the day or recent enough: no planned dose.")
        if planned.cells is None
        else None,
        ("", "earlier_weight_used", "The planned dose follows an earlier weight.")
        if planned.is_earlier_weight
        else None,
        ("/cells_given", "dose_differs_from_plan", "The cells given differ from the plan.")
        if planned.cells is not None
        and cells_given is not None
        and differs_from_plan(planned.cells, cells_given, settings)
        else None,
        ("/started_at", "infusion_gap_short", "Another infusion is too near in time.")
        if gap_days is not None and gap_days < settings.min_gap_days
        else None,
    )
    return tuple(Fault(*parts) for parts in odd if parts is not None)
