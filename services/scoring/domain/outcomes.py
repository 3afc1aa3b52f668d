"""A participant's outcome by one instrument: baseline, week 12, response, relapse.

Source: rulebook section 2. Nothing is compared after rounding.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from services.protocol.settings import Settings
from services.protocol.study import Study
from services.protocol.visit_calendar import VisitWindow, shift, week12_window
from services.scoring.domain.courses import Course, Value
from services.scoring.domain.improvement import change_from, improvement_percent
from services.scoring.domain.relapse_periods import Limits, Relapse, derive_relapse


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a course comes to; undefined where treatment never began."""

    course: Course
    baseline: Value | None
    window: VisitWindow | None = None
    week12: Value | None = None
    last_carried: Value | None = None
    relapse: Relapse | None = None

    @property
    def baseline_value(self) -> Decimal | None:
        """The baseline's value."""
        return None if self.baseline is None else self.baseline.value

    @property
    def is_treated(self) -> bool:
        """Tell whether the participant had an infusion."""
        return bool(self.course.infusions)

    @property
    def is_analysed(self) -> bool:
        """Tell whether the participant belongs to the analysis set for efficacy."""
        return self.is_treated and bool(self.baseline_value)

    @property
    def improvement(self) -> Fraction | None:
        """The improvement at week 12, in percent."""
        return improvement_percent(self.baseline_value, _value_of(self.week12))

    @property
    def improvement_locf(self) -> Fraction | None:
        """The improvement by the last value carried forward."""
        return improvement_percent(self.baseline_value, _value_of(self.last_carried))

    @property
    def improvement_bocf(self) -> Fraction | None:
        """The improvement with a missing week 12 counted as none."""
        if not self.is_analysed:
            return None
        return Fraction(0) if self.improvement is None else self.improvement

    @property
    def change(self) -> Decimal | None:
        """The value at week 12 minus baseline."""
        return change_from(self.baseline_value, _value_of(self.week12))

    @property
    def change_locf(self) -> Decimal | None:
        """The last value carried forward minus baseline."""
        return change_from(self.baseline_value, _value_of(self.last_carried))

    @property
    def change_bocf(self) -> Decimal | None:
        """The change with a missing week 12 counted as none."""
        if not self.is_treated or self.baseline_value is None:
            return None
        return Decimal(0) if self.change is None else self.change

    def has_response(self, percent: int) -> bool:
        """Tell whether week 12 shows a response; missing counts as none (NRI)."""
        return self.improvement is not None and self.improvement >= percent


def _value_of(value: Value | None) -> Decimal | None:
    return None if value is None else value.value


def derive_outcome(course: Course, study: Study, settings: Settings) -> Outcome:
    """Return a participant's outcome by the settings' readings."""
    baseline, first, last = course.baseline, course.first_infusion, course.last_infusion
    window = None
    if first is not None and last is not None:
        window = week12_window(study, settings, first_infusion=first.on, last_infusion=last.on)
    if first is None or window is None:
        return Outcome(course=course, baseline=baseline)
    later = course.later
    inside = [one for one in later if window.first_day <= one.on <= window.last_day]
    carried = next((one for one in reversed(later) if one.on <= window.last_day), None)
    outcome = Outcome(
        course=course,
        baseline=baseline,
        window=window,
        week12=_nearest(inside, window, settings),
        last_carried=None if baseline is None else carried,
    )
    limits = relapse_limits(outcome, first.on, settings)
    if limits is None:
        return outcome
    definition = settings.relapse.definition
    return replace(
        outcome, relapse=derive_relapse(outcome.baseline_value, later, limits, definition)
    )


def _nearest(inside: Iterable[Value], window: VisitWindow, settings: Settings) -> Value | None:
    """Return the value nearest to the target; of two as near, the one that the setting names."""
    target = window.target_date or window.first_day
    ordered = list(inside)
    if settings.week12.tie == "later":
        ordered.reverse()
    return min(ordered, key=lambda one: abs((one.on - target).days), default=None)


def relapse_limits(outcome: Outcome, first_infusion: date, settings: Settings) -> Limits | None:
    """Return where the periods lie; None where relapse is undefined."""
    target = None if outcome.window is None else outcome.window.target_date
    if target is None or not outcome.is_analysed:
        return None
    return Limits(
        starts=first_infusion,
        boundary=outcome.week12.on if outcome.week12 else target,
        ends=shift(target, settings.relapse.followup_days_after_week12_target),
    )
