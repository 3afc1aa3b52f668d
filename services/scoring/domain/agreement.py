"""The assessor's BSA beside the one that follows from the PASI form's percents.

Both are kept apart; where they are of one visit and day and more than 5 points apart, the one
recorded later says so (rulebook section 1).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from services.protocol.visit_calendar import site_date

MOST_APART: Final = 5
OTHER: Final = {"bsa": "pasi", "pasi": "bsa"}
"""Which instrument says something about the same skin."""
_MEMBER: Final = {"bsa": "bsa_percent", "pasi": "bsa_percent_from_regions"}
_POINTER: Final = {"bsa": "/answers/percent", "pasi": "/answers/regions"}

Document = Mapping[str, Any]


def may_disagree(instrument: str, answers: Document) -> bool:
    """Tell whether answers, not yet checked, may say how much of the body is affected."""
    if instrument != "pasi":
        return instrument in OTHER
    regions = answers.get("regions")
    found = regions.values() if isinstance(regions, Mapping) else ()
    return any(isinstance(one, Mapping) and one.get("area_percent") is not None for one in found)


def _area(members: Document) -> Decimal | None:
    member = _MEMBER.get(members["instrument"])
    value = None if member is None else members["derived"].get(member)
    return None if value is None else Decimal(value)


def disagreement(members: Document, others: Iterable[Document], time_zone: str) -> list[Any]:
    """Return the warning that an assessment deserves beside the others of its participant."""
    area = _area(members)
    if area is None:
        return []
    for other in others:
        counterpart = _area(other)
        is_other = other["instrument"] == OTHER[members["instrument"]]
        if is_other and counterpart is not None and _is_same_visit(members, other, time_zone):
            return _warn(members["instrument"], abs(area - counterpart))
    return []


def _is_same_visit(one: Document, other: Document, time_zone: str) -> bool:
    days = {site_date(_instant(each["assessed_at"]), time_zone) for each in (one, other)}
    return one["visit"] == other["visit"] and len(days) == 1


def _instant(at: datetime | str) -> datetime:
    return at if isinstance(at, datetime) else datetime.fromisoformat(at)


def _warn(instrument: str, apart: Decimal) -> list[Any]:
    if apart <= MOST_APART:
        return []
    return [
        {
            "pointer": _POINTER[instrument],
            "code": "BSA_DIFFERS_FROM_REGIONS",
            "detail": "The assessor's BSA and that of the regions are more than 5 points apart.",
        }
    ]
