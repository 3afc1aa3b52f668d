"""What a criterion's rule finds, and what it reads to find it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal
from zoneinfo import ZoneInfo

from services.enrolment.domain.eligibility_facts import EligibilityFacts
from services.protocol.settings import EligibilitySettings
from services.protocol.study import LaboratoryTest

Result = Literal["met", "not_met", "unknown", "not_applicable"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The facts, and the study's readings under which they are judged."""

    facts: EligibilityFacts
    settings: EligibilitySettings
    time_zone: ZoneInfo
    test_by_name: Mapping[str, LaboratoryTest]

    def read(self, pointer: str) -> Any:
        """Return the fact at a JSON pointer, `None` where it or its section is not stated."""
        found: Any = self.facts
        for part in pointer.removeprefix("/").split("/"):
            if found is None:
                return None
            found = found[int(part)] if part.isdigit() else _member(found, part)
        return found

    def anchor_pointer(self, anchor: Literal["consent", "first_infusion"]) -> str:
        """Return where the date stands from which a period counts back."""
        return "/consent/datetime" if anchor == "consent" else "/planned_first_infusion_date"

    def anchor_date(self, anchor: Literal["consent", "first_infusion"]) -> date | None:
        """Return the date from which a period counts back, in the site's time zone."""
        stated = self.read(self.anchor_pointer(anchor))
        if anchor == "first_infusion" or stated is None:
            return stated  # type: ignore[no-any-return]  # the type of the pointer's member
        return stated.astimezone(self.time_zone).date()  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One criterion's result, with JSON pointers to what it was found from.

    `settings` are names of the eligibility settings that applied; `lacking` points to what
    would decide an unknown; `derived` are values computed on the way, with their unit.
    """

    result: Result
    read: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    derived: Mapping[str, tuple[object, str | None]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


Rule = Callable[[Evaluation], Finding]


def in_words(outcome: bool | None) -> Result:  # noqa: FBT001 - the three truth values themselves
    """Return the contract's word for a truth value."""
    if outcome is None:
        return "unknown"
    return "met" if outcome else "not_met"


def _member(section: object, name: str) -> Any:
    if isinstance(section, Mapping):
        return section.get(name)
    return getattr(section, "class_" if name == "class" else name)
