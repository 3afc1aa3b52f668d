"""A case as it became known, whatever the order in which its updates arrived (rulebook 8).

An update says since when a party has known what it states. What arrives late is put where it
was known; the case at a time is what was stated as known by then. A version of a stored record
states the whole case anew, and stands for itself.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from services.safety.domain.case_updates import CaseUpdate, add_update

_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Known:
    """The case as it was known at a time; `version` is the update that says since when."""

    at: datetime
    version: int
    case: CaseUpdate


@dataclass(slots=True)
class _Entry:
    at: datetime | None
    version: int
    stated: CaseUpdate
    case: CaseUpdate


class Knowledge:
    """What one party knew when, as far as the updates that have arrived tell."""

    def __init__(self) -> None:
        self._times: list[datetime] = []
        self._entries: list[_Entry] = []

    def learn(self, stated: CaseUpdate, at: datetime | None, version: int) -> Iterator[Known]:
        """Take in what an update states as known at a time; yield each state that is new.

        Without a time it was known, but nobody has said since when.
        """
        time = at or _BEFORE_ALL
        place = bisect_right(self._times, time)
        self._times.insert(place, time)
        self._entries.insert(place, _Entry(at, version, stated, stated))
        before = self._entries[place - 1].case if place else CaseUpdate()
        for index, entry in enumerate(self._entries[place:]):
            case = add_update(before, entry.stated)
            if index and case == entry.case:
                return  # what follows stands as it was
            entry.case = before = case
            if entry.at is not None:
                yield Known(entry.at, entry.version, case)


def states_nothing_else(update: CaseUpdate) -> bool:
    """Tell whether an update states only since when something is known."""
    return replace(update, **_NO_TIMES) == CaseUpdate()


_NO_TIMES: Final = dict.fromkeys(
    ("investigator_aware_at", "sponsor_aware_at", "new_information_at", "recorded_at")
)
