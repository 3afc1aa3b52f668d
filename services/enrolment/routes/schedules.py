"""The schedule as a phone asks for it, again and again."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.enrolment.domain.schedule import ScheduleEntry, derive_schedule
from services.enrolment.domain.schedule_versions import count_versions
from services.enrolment.routes.calendars import CALENDAR, calendar_response, past_courses
from services.enrolment.routes.finding import STAFF, Place, own_place, study_of, today_at
from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import CallDep, may, read_response, router
from services.kernel.values import Instant
from services.protocol.study import Study

schedules = router(prefix="/v1/studies/{study}", tags=["visits"])

_EITHER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The schedule.", "content": {CALENDAR: {"schema": {"type": "string"}}}},
}
_RULES: Final = may(*STAFF, "participant", is_tagged=True)
_RULES["responses"] |= _EITHER


class ScheduleView(BaseModel):
    """The schedule as a phone shows it; dates are the site's."""

    version: Annotated[int, Field(ge=1, description="Grows when the content changes.")]
    server_time: Instant
    time_zone: Annotated[str, Field(description="The site's IANA time zone.")]
    next: Annotated[ScheduleEntry | None, Field(description="The visit that comes next.")]
    visits: list[ScheduleEntry]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A schedule as it is told: from so many events of the participant, on a day of the site."""

    events: int
    day: date
    etag: str
    version: int
    next: orjson.Fragment
    visits: orjson.Fragment


class DrawnSchedules:
    """The schedules that were asked for last, one a participant.

    A schedule follows from the participant's events and the day, so that the one drawn before
    serves until either is another.
    """

    def __init__(self) -> None:
        self._drawn: OrderedDict[tuple[str, UUID], Drawn] = OrderedDict()

    def find(self, study: str, place: Place, day: date) -> Drawn | None:
        """Return the schedule drawn before, if it still holds."""
        drawn = self._drawn.get((study, place.participant))
        holds = drawn is not None and (drawn.events, drawn.day) == (place.events, day)
        return drawn if holds else None

    def keep(self, study: str, participant: UUID, drawn: Drawn) -> None:
        """Keep a schedule, in place of the one kept longest if there are many."""
        self._drawn.pop((study, participant), None)
        self._drawn[study, participant] = drawn
        if len(self._drawn) > _MOST_DRAWN:
            self._drawn.popitem(last=False)


_MOST_DRAWN: Final = 2000


@schedules.get("/participants/{participant}/schedule", response_model=ScheduleView, **_RULES)
async def read_schedule(request: Request, participant: str, call: CallDep) -> Response:
    """Return the schedule as a phone shows it; dates are the site's.

    `version` grows, and the entity tag changes, when the content does: with a record, or with
    a status at midnight. `next` is what is due today, else what comes next.
    """
    place = await own_place(request, call, participant)
    study = study_of(request, call)
    if CALENDAR in request.headers.get("accept", ""):
        return await calendar_response(request, study, place.participant)
    drawn = await _drawn(request, study, place)
    body = {
        "version": drawn.version,
        "server_time": datetime.now(UTC),
        "time_zone": study.site(place.site).time_zone,
        "next": drawn.next,
        "visits": drawn.visits,
    }
    return read_response(request, canonical_json(body), drawn.etag, cache="private, no-cache")


async def _drawn(request: Request, study: Study, place: Place) -> Drawn:
    kept = held(request, DrawnSchedules)
    today = today_at(study, place.site)
    drawn = kept.find(study.number, place, today)
    if drawn is None:
        drawn = await _draw(request, study, place, today)
        kept.keep(study.number, place.participant, drawn)
    return drawn


async def _draw(request: Request, study: Study, place: Place, today: date) -> Drawn:
    _, history = await past_courses(request, study, place.participant)
    schedule = derive_schedule(study, history[-1][1], today)
    following = schedule.next
    time_zone = study.site(place.site).time_zone
    return Drawn(
        events=place.events,
        day=today,
        etag=f'W/"{schedule.digest}"',
        version=count_versions(study, history, time_zone, today),
        next=_told(None if following is None else _members(following)),
        visits=_told([_members(entry) for entry in schedule.visits]),
    )


def _told(value: Any) -> orjson.Fragment:
    return orjson.Fragment(canonical_json(value))


def _members(entry: ScheduleEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__dataclass_fields__}
