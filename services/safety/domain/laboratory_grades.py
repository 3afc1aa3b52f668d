"""Grades of laboratory results by CTCAE version 5, and what they suggest to record.

Limits of normal are the report's. A grade is 0 to 4, unknown where a limit that decides it
is missing. Software proposes; people record adverse events (rulebook, ground rule 5).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from services.protocol.study import LaboratoryTest, Study
from services.safety.domain.laboratory import (
    LaboratoryReport,
    LaboratoryResult,
    canonical_value,
    code_fits,
)
from services.safety.domain.laboratory_scales import SCALES, Scale

ABNORMAL_BASELINE_FROM: Final = Fraction("1.5")
"""Multiple of an abnormal baseline from which a transaminase has grade 1, included."""
BASELINE_GRADES: Final = frozenset({2, 3})
"""Grades of creatinine that a multiple of baseline gives too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaboratoryGrade:
    """A result on one scale: its place in the report, its grade, the rule in words."""

    place: int
    test: str
    scale: str
    grade: int | None
    rule: str


@dataclass(frozen=True, slots=True)
class _Amounts:
    """Value, limits of normal and baseline in one unit."""

    value: Fraction
    lln: Fraction | None
    uln: Fraction | None
    baseline: Fraction | None
    is_baseline_high: bool


def grade_report(
    report: LaboratoryReport,
    study: Study,
    baseline_by_test: Mapping[str, LaboratoryResult] | None = None,
) -> list[LaboratoryGrade]:
    """Return the grade of each result on each scale of its test.

    `baseline_by_test` has the last results before the first infusion.
    """
    baselines = baseline_by_test or {}
    return [
        LaboratoryGrade(
            place=place,
            test=result.test,
            scale=scale.name,
            grade=_grade(scale, result, study, baselines.get(result.test)),
            rule=scale.rule,
        )
        for place, result in enumerate(report.results)
        for scale in SCALES
        if scale.test == result.test
    ]


def find_baselines(
    history: Iterable[LaboratoryReport], first_infusion_at: datetime | None
) -> dict[str, LaboratoryResult]:
    """Return the last result with a value of each test, collected by the first infusion."""
    if first_infusion_at is None:
        return {}
    before = [one for one in history if one.collected_at <= first_infusion_at]
    return {
        result.test: result
        for report in sorted(before, key=lambda one: one.collected_at)
        for result in report.results
        if result.value is not None
    }


def grade_in_course(
    report: LaboratoryReport,
    study: Study,
    history: Iterable[LaboratoryReport],
    first_infusion_at: datetime | None,
) -> list[LaboratoryGrade]:
    """Return the grades of a report among the participant's others.

    What was collected by the first infusion has no baseline: it may be one.
    """
    is_after = first_infusion_at is not None and report.collected_at > first_infusion_at
    return grade_report(
        report, study, find_baselines(history, first_infusion_at) if is_after else None
    )


def propose_adverse_events(
    report: LaboratoryReport,
    study: Study,
    history: Iterable[LaboratoryReport],
    first_infusion_at: datetime | None = None,
) -> list[dict[str, str]]:
    """Return a warning for each value of a higher grade than the last one before.

    `history` is the participant's other reports; before the first value there was no grade.
    """
    others = list(history)
    earlier = [one for one in others if one.collected_at < report.collected_at]
    last = {
        graded.scale: graded.grade
        for one in sorted(earlier, key=lambda one: one.collected_at)
        for graded in grade_in_course(one, study, others, first_infusion_at)
        if graded.grade is not None
    }
    return [
        {
            "pointer": f"/results/{graded.place}",
            "code": "adverse_event_proposed",
            "detail": f"CTCAE grade {graded.grade}, higher than before: consider recording an"
            f" adverse event. {graded.rule}",
        }
        for graded in grade_in_course(report, study, others, first_infusion_at)
        if graded.grade and graded.grade > last.get(graded.scale, 0)
    ]


def _grade(
    scale: Scale, result: LaboratoryResult, study: Study, baseline: LaboratoryResult | None
) -> int | None:
    test = study.laboratory_test_by_name.get(result.test)
    amounts = None if test is None else _amounts(scale, result, test, baseline)
    if amounts is None:
        return None
    reached = 0
    is_open = False
    for grade, limit in _limits(scale, amounts):
        is_open = is_open or limit is None
        if limit is not None and _is_beyond(scale, amounts.value, limit):
            reached = max(reached, grade)
    if _is_from_abnormal_baseline(scale, amounts):
        reached = max(reached, 1)
    return None if is_open and reached == 0 else reached


def _amounts(
    scale: Scale,
    result: LaboratoryResult,
    test: LaboratoryTest,
    baseline: LaboratoryResult | None,
) -> _Amounts | None:
    if scale.measure == "times_uln":
        return _in_own_unit(result, test, baseline)
    value = canonical_value(result, result.value, test)
    if value is None:
        return None
    lln = canonical_value(result, result.lln, test)
    uln = canonical_value(result, result.uln, test)
    return _Amounts(value, lln, uln, None, is_baseline_high=False)


def _in_own_unit(
    result: LaboratoryResult, test: LaboratoryTest, baseline: LaboratoryResult | None
) -> _Amounts | None:
    """Return the amounts as reported: a multiple needs no known unit, only the same one."""
    if result.value is None or (result.unit is not None and not code_fits(result, test)):
        return None
    lln, uln = _exact(result.lln), _exact(result.uln)
    if baseline is None or baseline.unit != result.unit or baseline.value is None:
        return _Amounts(Fraction(result.value), lln, uln, None, is_baseline_high=False)
    is_high = baseline.uln is not None and baseline.value > baseline.uln
    base = Fraction(baseline.value)
    return _Amounts(Fraction(result.value), lln, uln, base, is_baseline_high=is_high)


def _limits(scale: Scale, amounts: _Amounts) -> Iterator[tuple[int, Fraction | None]]:
    is_replaced = scale.baseline == "replaces_uln_if_abnormal" and amounts.is_baseline_high
    unit = amounts.baseline if is_replaced else amounts.uln
    for grade, limit in scale.steps:
        if scale.measure == "canonical_unit":
            yield grade, limit
        elif scale.measure == "above_uln":
            yield grade, None if unit is None else unit + limit
        else:
            yield grade, None if unit is None else unit * limit
        if scale.baseline == "also_counts" and amounts.baseline and grade in BASELINE_GRADES:
            yield grade, amounts.baseline * limit
    if scale.is_from_normal and not is_replaced:
        yield 1, amounts.lln if scale.direction == "low" else amounts.uln


def _is_beyond(scale: Scale, value: Fraction, limit: Fraction) -> bool:
    return value < limit if scale.direction == "low" else value > limit


def _is_from_abnormal_baseline(scale: Scale, amounts: _Amounts) -> bool:
    if scale.baseline != "replaces_uln_if_abnormal" or not amounts.is_baseline_high:
        return False
    return amounts.value >= ABNORMAL_BASELINE_FROM * (amounts.baseline or 0)


def _exact(amount: Decimal | None) -> Fraction | None:
    return None if amount is None else Fraction(amount)
