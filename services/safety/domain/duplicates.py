"""Whether a report may tell of an adverse event that is already recorded.

A suspicion for people to resolve: both records stay.
Source: rulebook, ground rule 4 (record, then query); the limit of likeness is ours.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Final
from uuid import UUID

from services.kernel.values import PartialDate
from services.safety.domain.adverse_events import AdverseEventReport, is_before

ALIKE_PERCENT: Final = 85
"""Share of characters that two terms have in common, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEvent:
    """An adverse event of the same participant, as it stands."""

    id: UUID
    term: str
    onset: PartialDate | datetime | None = None
    end: PartialDate | datetime | None = None


def warn_of_duplicates(
    report: AdverseEventReport, others: Iterable[KnownEvent]
) -> list[dict[str, str]]:
    """Return a warning for each record of the same participant that may tell of the same."""
    return [
        {
            "pointer": "/term",
            "code": "possible_duplicate",
            "detail": f"Adverse event {other.id} has a like term and may overlap in time.",
        }
        for other in others
        if has_like_term(report.term, other.term) and _may_overlap(report, other)
    ]


def has_like_term(one: str, other: str) -> bool:
    """Tell whether two terms use the same words, one adds to the other, or are spelt alike."""
    first, second = _words(one), _words(other)
    if not first or not second:
        return one == other
    if set(first) <= set(second) or set(second) <= set(first):
        return True
    left, right = " ".join(first), " ".join(second)
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    shared = sum(block.size for block in blocks)
    return 2 * 100 * shared >= ALIKE_PERCENT * (len(left) + len(right))


def _may_overlap(report: AdverseEventReport, other: KnownEvent) -> bool:
    return not (is_before(report.end, other.onset) or is_before(other.end, report.onset))


def _words(term: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", term).casefold()
    return "".join(letter if letter.isalnum() else " " for letter in plain).split()
