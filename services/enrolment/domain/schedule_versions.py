"""How often a schedule has changed: the version by which a phone knows that it has news.

Counted from the records, never stored: a content lasts until a record changes it, or until
a window opens or has closed at the site's midnight. What leaves the content as it was, such
as another weight, does not count.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

from services.enrolment.domain.schedule import Course, Schedule, derive_schedule
from services.protocol.study import Study
from services.protocol.visit_calendar import site_date

_DAY = timedelta(days=1)

Step = tuple[datetime, Course]
"""What the schedule followed from, and since when."""


def count_versions(study: Study, history: Sequence[Step], time_zone: str, today: date) -> int:
    """Return how many contents the schedule has had, up to a day of the site.

    `history` begins with the oldest step.
    """
    steps = [
        *history[:1],
        *(step for before, step in pairwise(history) if before[1] != step[1]),
    ]
    began = [site_date(at, time_zone) for at, _ in steps]
    version, standing = 0, None
    for (_, course), first_day, last_day in zip(steps, began, [*began[1:], today], strict=True):
        for content in _contents(study, course, first_day, last_day):
            if content != standing:
                version, standing = version + 1, content
    return version


def _contents(study: Study, course: Course, first_day: date, last_day: date) -> Iterator[Schedule]:
    """Yield the schedule on the first day, and on each later one on which it may turn."""
    at_first = derive_schedule(study, course, first_day)
    yield at_first
    turning = {visit.window_start for visit in at_first.visits}
    turning |= {visit.window_end + _DAY for visit in at_first.visits if visit.window_end}
    for day in sorted(day for day in turning if day is not None):
        if first_day < day <= last_day:
            yield derive_schedule(study, course, day)
