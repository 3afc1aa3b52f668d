"""Why a clock started: the facts by which the case qualified, one by one (rulebook section 8)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from services.safety.domain.case_updates import CaseUpdate
from services.safety.domain.classification import SUSPECTING
from services.safety.domain.clock_rules import ClockName
from services.safety.domain.seriousness import Seriousness

SEVERE: Final = ("death", "life_threatening")
CRITERIA: Final = tuple(member.name for member in fields(Seriousness))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFact:
    """What a version stated: the member, its value, and since which version it stood so."""

    pointer: str
    value: Any
    version: int


def clock_facts(clock: ClockName, stood: Sequence[CaseUpdate]) -> tuple[ClockFact, ...]:
    """Return the facts that started a clock; `stood` ends with the version that started it.

    A null value is one that nobody had stated, read on the safe side.
    """
    return tuple(
        ClockFact(
            pointer=pointer,
            value=_at(stood[-1], pointer),
            version=stated_since(stood, pointer),
        )
        for name in _FACTS[clock]
        for pointer in name(stood[-1])
    )


def _open(case: CaseUpdate) -> Iterator[str]:
    return (f"/seriousness/{name}" for name in CRITERIA if getattr(case.criteria, name) is None)


def _serious(case: CaseUpdate) -> Iterator[str]:
    return _true(case, CRITERIA)


def _severe(case: CaseUpdate) -> Iterator[str]:
    return _true(case, SEVERE)


def _true(case: CaseUpdate, names: Sequence[str]) -> Iterator[str]:
    return (f"/seriousness/{name}" for name in names if getattr(case.criteria, name) is True)


def _suspected(case: CaseUpdate) -> Iterator[str]:
    if case.investigator_causality is None or case.investigator_causality in SUSPECTING:
        yield "/investigator_causality"
    if case.sponsor_causality in SUSPECTING:
        yield "/sponsor_causality"


def _unexpected(_case: CaseUpdate) -> Iterator[str]:
    yield "/expected"


def _handled(_case: CaseUpdate) -> Iterator[str]:
    yield "/handling_completed_at"


def _news(_case: CaseUpdate) -> Iterator[str]:
    yield "/new_information_at"


_Named = Callable[[CaseUpdate], Iterator[str]]
_FACTS: Final[Mapping[ClockName, tuple[_Named, ...]]] = {
    "TRIAGE_SERIOUSNESS_24H": (_open,),
    "SAE_TO_SPONSOR_24H": (_serious,),
    "STEM_CELL_COMMITTEES_24H": (_serious, _suspected),
    "STEM_CELL_FINAL_REPORT": (_serious, _suspected, _handled),
    "SUSAR_INITIAL": (_serious, _suspected, _unexpected),
    "SUSAR_UPGRADE_FATAL_LT": (_severe, _suspected, _unexpected),
    "SUSAR_FOLLOW_UP": (_severe, _suspected, _unexpected),
    "NEW_INFORMATION_FOLLOW_UP": (_news,),
}


def _at(case: CaseUpdate, pointer: str) -> Any:
    _, member, *criterion = pointer.split("/")
    return getattr(case.criteria, criterion[0]) if criterion else getattr(case, member)


def stated_since(stood: Sequence[CaseUpdate], pointer: str) -> int:
    """Return the version since which a member has had its last value."""
    value = _at(stood[-1], pointer)
    version = len(stood)
    while version > 1 and _at(stood[version - 2], pointer) == value:
        version -= 1
    return version
