"""The numeric limits of CTCAE version 5 for the laboratory tests of the rulebook, as data.

Only numbers are here: the event names of CTCAE follow a licensed dictionary. Grades that
need a clinical judgement (symptoms, transfusion, urgent intervention) are left out.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

Direction = Literal["low", "high"]
Measure = Literal["canonical_unit", "above_uln", "times_uln"]
Baseline = Literal["unused", "replaces_uln_if_abnormal", "also_counts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Grades of one direction of one test.

    `steps` are (grade, limit), the worst first; a value beyond the limit has the grade, one
    at the limit has not. `is_from_normal` gives grade 1 beyond the limit of normal itself.
    """

    test: str
    direction: Direction
    measure: Measure
    steps: tuple[tuple[int, Fraction], ...]
    rule: str
    is_from_normal: bool = True
    baseline: Baseline = "unused"

    @property
    def name(self) -> str:
        """The scale's name, such as `platelets_low`."""
        return f"{self.test}_{self.direction}"


def _steps(**limits: str) -> tuple[tuple[int, Fraction], ...]:
    worst_first = sorted(limits.items(), reverse=True)
    return tuple(
        (int(grade.removeprefix("grade_")), Fraction(limit)) for grade, limit in worst_first
    )


def _transaminase(test: str) -> Scale:
    return Scale(
        test=test,
        direction="high",
        measure="times_uln",
        steps=_steps(grade_2="3", grade_3="5", grade_4="20"),
        rule="Grade 1 above ULN, 2 above 3, 3 above 5, 4 above 20 times ULN; after an abnormal"
        " baseline 1 from 1.5, 2 above 3, 3 above 5, 4 above 20 times baseline.",
        baseline="replaces_uln_if_abnormal",
    )


SCALES: Final = (
    Scale(
        test="hemoglobin",
        direction="low",
        measure="canonical_unit",
        steps=_steps(grade_2="100", grade_3="80"),
        rule="Grade 1 below LLN, 2 below 100, 3 below 80 g/L.",
    ),
    Scale(
        test="hemoglobin",
        direction="high",
        measure="above_uln",
        steps=_steps(grade_2="20", grade_3="40"),
        rule="Grade 1 above ULN, 2 more than 20, 3 more than 40 g/L above it.",
    ),
    Scale(
        test="platelets",
        direction="low",
        measure="canonical_unit",
        steps=_steps(grade_2="75", grade_3="50", grade_4="25"),
        rule="Grade 1 below LLN, 2 below 75, 3 below 50, 4 below 25 x 10*9/L.",
    ),
    Scale(
        test="wbc",
        direction="low",
        measure="canonical_unit",
        steps=_steps(grade_2="3", grade_3="2", grade_4="1"),
        rule="Grade 1 below LLN, 2 below 3, 3 below 2, 4 below 1 x 10*9/L.",
    ),
    Scale(
        test="wbc",
        direction="high",
        measure="canonical_unit",
        steps=_steps(grade_3="100"),
        rule="Grade 3 above 100 x 10*9/L; no other grade has a number.",
        is_from_normal=False,
    ),
    _transaminase("alt"),
    _transaminase("ast"),
    Scale(
        test="creatinine",
        direction="high",
        measure="times_uln",
        steps=_steps(grade_2="1.5", grade_3="3", grade_4="6"),
        rule="Grade 1 above ULN, 2 above 1.5, 3 above 3, 4 above 6 times ULN; also 2 above 1.5,"
        " 3 above 3 times baseline.",
        baseline="also_counts",
    ),
    Scale(
        test="calcium_total",
        direction="low",
        measure="canonical_unit",
        steps=_steps(grade_2="2.0", grade_3="1.75", grade_4="1.5"),
        rule="Grade 1 below LLN, 2 below 2.0, 3 below 1.75, 4 below 1.5 mmol/L; the value is"
        " not corrected for albumin.",
    ),
    Scale(
        test="calcium_total",
        direction="high",
        measure="canonical_unit",
        steps=_steps(grade_2="2.9", grade_3="3.1", grade_4="3.4"),
        rule="Grade 1 above ULN, 2 above 2.9, 3 above 3.1, 4 above 3.4 mmol/L; the value is"
        " not corrected for albumin.",
    ),
)
