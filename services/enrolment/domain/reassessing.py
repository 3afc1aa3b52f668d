"""Whether who was enrolled is still eligible, now that more is known (rulebook section 6).

An enrolment stands; what is learnt afterwards shows as a deviation, never as a silent
change. Judged for the first infusion, day 1, to which the anchors move; until then for the
time of the decision. What happened later does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from services.enrolment.domain.judging_file import Gathered, judge_file


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedVerdict:
    """What the criteria say of an enrolled participant who is not eligible any more."""

    decision: UUID
    at: datetime
    verdict: str
    failed: tuple[str, ...]
    unknown: tuple[str, ...]


def reassess(gathered: Gathered, decision: Mapping[str, Any]) -> ChangedVerdict | None:
    """Return the verdict that changed since a decision to enrol; None where it did not."""
    at = gathered.first_infusion_at or datetime.fromisoformat(decision["decided_at"])
    judged = judge_file(replace(gathered, at=at))
    if judged.verdict == decision["verdict"]:
        return None
    return ChangedVerdict(
        decision=UUID(decision["id"]),
        at=at,
        verdict=judged.verdict,
        failed=judged.failed,
        unknown=judged.unknown,
    )
