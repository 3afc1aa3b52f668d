"""When an adverse event began, relative to the infusions (rulebook section 8).

Dates without a time, or of which parts are unknown, are stretches of time: an answer is
known where every moment of the stretch agrees. Treatment emergence alone is decided on the
safe side: an onset that could be after the first infusion counts as after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.kernel.values import PartialDate
from services.protocol.settings import SafetySettings

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The moments that a statement of time may mean, and the site's days that they are on.

    `at` is the moment itself where it is known; `end` is exclusive.
    """

    begin: datetime
    end: datetime
    first_day: date
    last_day: date
    at: datetime | None = None

    @property
    def is_one_day(self) -> bool:
        """Tell whether the site's day is known."""
        return self.first_day == self.last_day


def stretch_of(stated: PartialDate | datetime, time_zone: ZoneInfo) -> Stretch:
    """Return what a time or a partial date may mean at the site."""
    if isinstance(stated, datetime):
        day = stated.astimezone(time_zone).date()
        return Stretch(stated, stated + timedelta.resolution, day, day, at=stated)
    first, last = stated.earliest, stated.latest
    return Stretch(_midnight(first, time_zone), _midnight(last + ONE_DAY, time_zone), first, last)


def is_treatment_emergent(
    onset: PartialDate | datetime | None,
    infusions: Sequence[PartialDate | datetime] | None,
    *,
    worsened: bool | None,
    settings: SafetySettings,
    time_zone: ZoneInfo,
) -> bool | None:
    """Tell whether it began, or worsened, from the first infusion until the last day.

    An onset that is unknown or partial and could be then is taken to be. Unknown where the
    infusions are; without any infusion nothing is treatment-emergent.
    """
    if infusions is None:
        return True if worsened else None
    given = [stretch_of(infusion, time_zone) for infusion in infusions]
    if not given or onset is None:
        return bool(worsened or given)
    begun = stretch_of(onset, time_zone)
    last_day = _last_day(given, settings)
    is_before_end = begun.first_day <= last_day
    is_after_begin = begun.end > min(infusion.begin for infusion in given)
    return is_before_end and (is_after_begin or worsened is True)


def is_soon_after_infusion(
    onset: PartialDate | datetime | None,
    infusions: Sequence[PartialDate | datetime] | None,
    *,
    settings: SafetySettings,
    time_zone: ZoneInfo,
) -> bool | None:
    """Tell whether it began 0 to 24 hours, both included, after the start of any infusion.

    Where one of the two has no time: on the same day yes, on the next unknown.
    """
    if infusions is None:
        return None
    if onset is None:
        return None if infusions else False
    begun = stretch_of(onset, time_zone)
    limit = timedelta(hours=settings.infusion_related_hours)
    answers = {
        _is_soon_after(begun, stretch_of(infusion, time_zone), limit) for infusion in infusions
    }
    if True in answers:
        return True
    return None if None in answers else False


def _is_soon_after(begun: Stretch, given: Stretch, limit: timedelta) -> bool | None:
    if begun.at is not None and given.at is not None:
        return timedelta(0) <= begun.at - given.at <= limit
    if begun.is_one_day and begun.first_day == given.first_day == given.last_day:
        return True
    # A day without a time lasts to its end: the limit may reach into it.
    is_possible = begun.end > given.begin and begun.begin < given.end + limit
    return None if is_possible else False


def _last_day(given: Sequence[Stretch], settings: SafetySettings) -> date:
    first_infusion = min(infusion.last_day for infusion in given)
    return first_infusion + timedelta(days=settings.treatment_emergent_until_day - 1)


def _midnight(day: date, time_zone: ZoneInfo) -> datetime:
    # In UTC, because hours are added to it: local clocks may be put forward.
    return datetime.combine(day, time.min, time_zone).astimezone(UTC)
