"""The schedule as a phone's calendar shows it: appointments that name nothing (RFC 5545).

A calendar is shown on locked screens and copied to other people's servers, so an entry tells
neither study nor visit nor participant. What changes is the same entry with the next
sequence; what falls away stays, cancelled.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from services.enrolment.domain.schedule import UNSCHEDULED, Schedule, ScheduleEntry

EntryStatus = Literal["TENTATIVE", "CONFIRMED", "CANCELLED"]
_FALLEN_AWAY: Final = frozenset({"missed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEntry:
    """One appointment: a day at the site, how sure it is, how often it changed and when last.

    `first_day` and `last_day` are the window in which it may be moved, where it has one.
    """

    uid: str
    day: date
    status: EntryStatus
    first_day: date | None
    last_day: date | None
    sequence: int
    changed_at: datetime

    def says_same(self, other: "CalendarEntry") -> bool:
        """Tell whether a phone would show the same."""
        return replace(self, sequence=0, changed_at=other.changed_at) == replace(other, sequence=0)


def derive_calendar(history: Iterable[tuple[datetime, Schedule]]) -> tuple[CalendarEntry, ...]:
    """Return the entries that stand after the schedules that stood, each since a time."""
    standing: dict[str, CalendarEntry] = {}
    for at, schedule in history:
        now = {entry.uid: entry for entry in _entries(schedule, at)}
        for entry in (*now.values(), *_gone(standing, now, at)):
            before = standing.get(entry.uid)
            if before is None:
                standing[entry.uid] = entry
            elif not entry.says_same(before):
                standing[entry.uid] = replace(entry, sequence=before.sequence + 1)
    return tuple(sorted(standing.values(), key=lambda entry: (entry.day, entry.uid)))


def _gone(
    standing: Mapping[str, CalendarEntry], now: Mapping[str, CalendarEntry], at: datetime
) -> Iterator[CalendarEntry]:
    for uid, entry in standing.items():
        if uid not in now:
            yield replace(entry, status="CANCELLED", changed_at=at)


def _entries(schedule: Schedule, at: datetime) -> Iterator[CalendarEntry]:
    for visit in schedule.visits:
        day = visit.actual_date or visit.planned_date or visit.target_date
        if day is not None:
            yield CalendarEntry(
                uid=str(_uid(visit)),
                day=day,
                status=_status(visit),
                first_day=visit.window_start,
                last_day=visit.window_end,
                sequence=0,
                changed_at=at,
            )


def _uid(visit: ScheduleEntry) -> UUID:
    """Return an id that stays, and that leads to no record."""
    return uuid5(NAMESPACE_URL, f"calendar/{visit.id}")


def _status(visit: ScheduleEntry) -> EntryStatus:
    if visit.status in _FALLEN_AWAY:
        return "CANCELLED"
    is_sure = visit.code == UNSCHEDULED or visit.actual_date or not visit.is_projection
    return "CONFIRMED" if is_sure else "TENTATIVE"
