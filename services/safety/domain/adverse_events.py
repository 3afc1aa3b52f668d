"""An adverse event as it is reported, and what is odd about a report (rulebook section 8).

Only the term is required: a report must never wait for detail. Odd but possible statements
are taken with warnings; a report is refused only for values that cannot be.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal

from pydantic import ConfigDict, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass as form
from pydantic_core import PydanticCustomError

from services.kernel.values import Code, Flag, Instant, Moment, Name, Narrative, PartialDate, Reason
from services.safety.domain.case_updates import Causality, CtcaeGrade
from services.safety.domain.seriousness import UNJUDGED, Seriousness

CLOSED = ConfigDict(extra="forbid")
ActionTaken = Literal[
    "dose_not_changed", "interrupted", "reduced", "withdrawn", "not_applicable", "unknown"
]
Outcome = Literal[
    "recovered", "recovering", "not_recovered", "recovered_with_sequelae", "fatal", "unknown"
]
OVER: Final[frozenset[Outcome]] = frozenset({"recovered", "recovered_with_sequelae", "fatal"})
NOT_OVER: Final[frozenset[Outcome]] = frozenset({"recovering", "not_recovered"})
FATAL_GRADE: Final = 5
LIFE_THREATENING_GRADE: Final = 4


@form(frozen=True, kw_only=True, config=CLOSED)
class Coding:
    """A coded term by the sender's own licensed dictionary; none is shipped here."""

    dictionary: Name
    term: Name
    version: Code | None = None
    code: Code | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class AdverseEventReport:
    """What is stated about an adverse event; `None` is not stated.

    `term` is in the reporter's own words. Seriousness is six criteria, not the grade.
    """

    term: Name
    onset: Moment | None = None
    end: Moment | None = None
    ongoing: Flag | None = None
    ctcae_grade: CtcaeGrade | None = None
    seriousness: Seriousness | None = None
    investigator_causality: Causality | None = None
    sponsor_causality: Causality | None = None
    expected: Flag | None = None
    action_taken: ActionTaken | None = None
    outcome: Outcome | None = None
    investigator_aware_at: Instant | None = None
    sponsor_aware_at: Instant | None = None
    new_information_at: Instant | None = None
    handling_completed_at: Instant | None = None
    worsened_after_first_infusion: Flag | None = None
    soc: Name | None = None
    coding: Coding | None = None
    other_treatment: Reason | None = None
    narrative: Narrative | None = None
    visit: Code | None = None

    @field_validator("end", mode="after")
    @classmethod
    def _ends_after_onset(
        cls, end: PartialDate | datetime | None, info: ValidationInfo
    ) -> PartialDate | datetime | None:
        onset = info.data.get("onset")
        if _is_certain(onset) and _is_certain(end) and is_before(end, onset):
            raise PydanticCustomError("end_before_onset", "It cannot end before it began.")
        return end

    @property
    def criteria(self) -> Seriousness:
        """The six criteria; all open where none was judged."""
        return self.seriousness or UNJUDGED


def is_before(earlier: PartialDate | datetime | None, later: PartialDate | datetime | None) -> bool:
    """Tell whether one is surely before the other; a time's date is that of its sender."""
    if earlier is None or later is None:
        return False
    if isinstance(earlier, datetime) and isinstance(later, datetime):
        return earlier < later
    last = earlier.date() if isinstance(earlier, datetime) else earlier.latest
    first = later.date() if isinstance(later, datetime) else later.earliest
    return last < first


def check_report(report: AdverseEventReport) -> list[dict[str, str]]:
    """Return what is odd about a report, each as `{pointer, code, detail}`."""
    return [
        {"pointer": pointer, "code": code, "detail": detail}
        for pointer, code, detail, is_odd in _EDIT_CHECKS
        if is_odd(report)
    ]


def _is_certain(stated: PartialDate | datetime | None) -> bool:
    return isinstance(stated, datetime) or (stated is not None and stated.is_full)


_EditCheck = tuple[str, str, str, Callable[[AdverseEventReport], bool]]
_EDIT_CHECKS: Final[tuple[_EditCheck, ...]] = (
    (
        "/ctcae_grade",
        "grade_5_without_death",
        "Grade 5 is death, and death is not stated.",
        lambda r: r.ctcae_grade == FATAL_GRADE and r.criteria.death is not True,
    ),
    (
        "/ctcae_grade",
        "death_without_grade_5",
        "Death is stated, and the grade is not 5.",
        lambda r: r.criteria.death is True and r.ctcae_grade != FATAL_GRADE,
    ),
    (
        "/ctcae_grade",
        "grade_4_without_life_threatening",
        "Grade 4 without a threat to life is usual for laboratory values only.",
        lambda r: (
            r.ctcae_grade == LIFE_THREATENING_GRADE and r.criteria.life_threatening is not True
        ),
    ),
    (
        "/outcome",
        "fatal_without_death",
        "The outcome is fatal, and death is not stated.",
        lambda r: r.outcome == "fatal" and r.criteria.death is not True,
    ),
    (
        "/outcome",
        "death_without_fatal",
        "Death is stated, and the outcome is another.",
        lambda r: r.criteria.death is True and r.outcome not in (None, "unknown", "fatal"),
    ),
    (
        "/ongoing",
        "ongoing_with_end",
        "It has an end and is said to go on.",
        lambda r: r.ongoing is True and r.end is not None,
    ),
    (
        "/ongoing",
        "ongoing_but_over",
        "The outcome says that it is over, and it is said to go on.",
        lambda r: r.ongoing is True and r.outcome in OVER,
    ),
    (
        "/outcome",
        "end_without_recovery",
        "It has an end, and the outcome says that it is not over.",
        lambda r: r.end is not None and r.outcome in NOT_OVER,
    ),
    (
        "/end",
        "end_before_onset",
        "As far as the dates are known, it ends before it began.",
        lambda r: is_before(r.end, r.onset),
    ),
    (
        "/investigator_aware_at",
        "aware_before_onset",
        "The investigator knew of it before it began.",
        lambda r: is_before(r.investigator_aware_at, r.onset),
    ),
    (
        "/sponsor_aware_at",
        "sponsor_aware_before_onset",
        "The sponsor knew of it before it began.",
        lambda r: is_before(r.sponsor_aware_at, r.onset),
    ),
    (
        "/handling_completed_at",
        "handled_before_onset",
        "Handling ended before it began.",
        lambda r: is_before(r.handling_completed_at, r.onset),
    ),
)
