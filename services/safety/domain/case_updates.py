"""What is stated about an adverse event's case, update by update (rulebook section 8).

An update of an evaluation adds to what was stated before; a version of a stored record
replaces it. `accumulate` turns the first kind into the second, so that classification and
clocks have one kind of input: the case as it stood after each update.
"""

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as form

from services.kernel.values import WHOLE, Flag, Instant
from services.safety.domain.seriousness import UNJUDGED, Seriousness, add_statements

Causality = Literal["certain", "probable", "possible", "unlikely", "unrelated", "unassessable"]
CtcaeGrade = Annotated[int, Field(ge=1, le=5), WHOLE]
"""CTCAE v5 grade: 1 mild to 5 death."""


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CaseUpdate:
    """One update of a case; `None` states nothing.

    `recorded_at` stands in for an awareness that a stored version does not state.
    """

    investigator_aware_at: Instant | None = None
    sponsor_aware_at: Instant | None = None
    seriousness: Seriousness | None = None
    investigator_causality: Causality | None = None
    sponsor_causality: Causality | None = None
    expected: Flag | None = None
    ctcae_grade: CtcaeGrade | None = None
    new_information_at: Instant | None = None
    handling_completed_at: Instant | None = None
    recorded_at: Instant | None = None

    @property
    def criteria(self) -> Seriousness:
        """The six criteria; all open where none was judged."""
        return self.seriousness or UNJUDGED


def accumulate(updates: Iterable[CaseUpdate]) -> tuple[CaseUpdate, ...]:
    """Return the case as it stood after each update; what is not stated changes nothing."""
    stood: list[CaseUpdate] = []
    for update in updates:
        stood.append(add_update(stood[-1], update) if stood else update)
    return tuple(stood)


def add_update(before: CaseUpdate, later: CaseUpdate) -> CaseUpdate:
    """Return the case after a later update; what that leaves open stays as it was."""
    stated = {
        member.name: value
        for member in fields(CaseUpdate)
        if (value := getattr(later, member.name)) is not None
    }
    criteria = add_statements(before.criteria, later.criteria)
    return replace(before, **(stated | {"seriousness": criteria}))
