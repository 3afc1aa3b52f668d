"""The schedule as a calendar (iCalendar, RFC 5545), also for a phone that has no token."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Request
from icalendar import Calendar, Event, Timezone, vDate
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.enrolment.domain.phone_address import SetAddress, address_id, decide_address
from services.enrolment.domain.phone_calendar import CalendarEntry, derive_calendar
from services.enrolment.domain.planning import course_of
from services.enrolment.domain.schedule import Course, derive_schedule
from services.enrolment.facts import find_calendar, load_files, load_past_files
from services.enrolment.routes.finding import (
    BY_HAND,
    STAFF,
    own_id,
    study_of,
    today_at,
)
from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import (
    Call,
    CallDep,
    IdempotencyKey,
    documented,
    may,
    open_router,
    read_response,
    router,
    weak_tag,
)
from services.kernel.problems import Unavailable
from services.kernel.refusals import NotFound
from services.kernel.storage import Database
from services.kernel.writing import Answer, Outcome, submit
from services.protocol.loading import Studies
from services.protocol.study import Study

CALENDAR: Final = "text/calendar"
_SECRET_BYTES: Final = 32
_SHOWN: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The calendar."},
    304: {"description": "The caller holds it already."},
}


class CalendarResponse(Response):
    """A calendar (iCalendar, RFC 5545)."""

    media_type = CALENDAR


class AddressView(BaseModel):
    """The secret address of a calendar, told once."""

    write: Literal["created"]
    address: Annotated[str, Field(description="A path at this system that needs no token.")]
    version: int


class RevocationView(BaseModel):
    """Whether there was an address to end."""

    write: Literal["updated", "unchanged"]


calendars = router(prefix="/v1/studies/{study}", tags=["visits"])
published = open_router(prefix="/v1/calendars", tags=["visits"])


async def calendar_response(request: Request, study: Study, participant: UUID) -> Response:
    """Return the participant's calendar, with a tag that follows its content."""
    site, history = await past_courses(request, study, participant)
    today = today_at(study, site)
    entries = derive_calendar((at, derive_schedule(study, then, today)) for at, then in history)
    body = write_calendar(entries, study.site(site).time_zone)
    etag = weak_tag(body)
    answer = read_response(request, body, etag, cache="private, no-cache")
    answer.headers["Content-Type"] = f"{CALENDAR}; charset=utf-8"
    return answer


async def past_courses(
    request: Request, study: Study, participant: UUID
) -> tuple[str, list[tuple[datetime, Course]]]:
    """Return the site, and what the schedule followed from after each change of a record."""
    history, site = [], ""
    async with held(request, Database).pooled() as connection:
        async for at, file in load_past_files(connection, study.number, participant):
            site = file.site
            history.append((at, course_of(study, file)))
    return site, history


def write_calendar(entries: Sequence[CalendarEntry], time_zone: str) -> bytes:
    """Return the calendar's bytes; its days are those of the site's zone."""
    calendar = Calendar()
    calendar.add("PRODID", "-//trial-events//schedule//EN")
    calendar.add("VERSION", "2.0")
    calendar.add("METHOD", "PUBLISH")
    calendar.add("X-WR-CALNAME", "Appointments")
    calendar.add("X-WR-TIMEZONE", time_zone)
    days = [entry.day for entry in entries]
    if days:
        year = timedelta(days=366)
        zone = Timezone.from_tzid(
            time_zone, first_date=min(days) - year, last_date=max(days) + year
        )
        calendar.add_component(zone)
    for event in _events(entries):
        calendar.add_component(event)
    text: bytes = calendar.to_ical()
    return text


def _events(entries: Iterable[CalendarEntry]) -> Iterable[Event]:
    for entry in entries:
        event = Event()
        event.add("UID", entry.uid)
        event.add("DTSTAMP", entry.changed_at)
        event.add("LAST-MODIFIED", entry.changed_at)
        event.add("DTSTART", vDate(entry.day))
        event.add("DTEND", vDate(entry.day + timedelta(days=1)))
        event.add("SUMMARY", "Appointment")
        event.add("STATUS", entry.status)
        event.add("SEQUENCE", entry.sequence)
        event.add("CLASS", "PRIVATE")
        event.add("TRANSP", "TRANSPARENT")
        if entry.first_day is not None and entry.last_day is not None:
            event.add("DESCRIPTION", f"Possible from {entry.first_day} to {entry.last_day}.")
        yield event


@calendars.get(
    "/participants/{participant}/schedule.ics",
    response_class=CalendarResponse,
    **may(*STAFF, "participant", is_tagged=True),
)
async def read_calendar(request: Request, participant: str, call: CallDep) -> Response:
    """Return the schedule as a calendar with opaque titles; what fell away is cancelled."""
    identity = await own_id(request, call, participant)
    return await calendar_response(request, study_of(request, call), identity)


@calendars.post(
    "/participants/{participant}/schedule/address",
    status_code=201,
    response_model=AddressView,
    **may(*BY_HAND, "participant"),
)
async def make_address(
    request: Request, participant: str, call: CallDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make the secret address of a phone's calendar; it ends the one made before.

    Told once and kept as a digest: whoever asks again, also with the same key, gets another.
    """
    del idempotency_key
    secret = token_urlsafe(_SECRET_BYTES)

    def render(outcomes: Sequence[Outcome]) -> Answer:
        version = outcomes[0].recorded[0].change.version
        address = f"/v1/calendars/{secret}.ics"
        body = {"write": "created", "address": address, "version": version}
        return Answer(201, canonical_json(body), {"Location": address})

    return await _set_address(request, call, participant, _digest(secret), render)


@calendars.post(
    "/participants/{participant}/schedule/address/revocation",
    response_model=RevocationView,
    **may(*BY_HAND, "participant"),
)
async def revoke_address(
    request: Request, participant: str, call: CallDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """End the secret address: from now on nothing is found under it."""
    del idempotency_key

    def render(outcomes: Sequence[Outcome]) -> Answer:
        write = "updated" if outcomes[0].recorded else "unchanged"
        return Answer(200, canonical_json({"write": write}))

    return await _set_address(request, call, participant, None, render)


async def _set_address(
    request: Request, call: Call, participant: str, digest: str | None, render: Any
) -> Response:
    study = study_of(request, call)
    identity = await own_id(request, call, participant)
    order = SetAddress(
        study=study,
        participant=identity,
        id=address_id(study.number, identity),
        sites=call.caller.sites,
        digest=digest,
    )
    # An answer kept under a key would keep the secret in plain.
    keyless = replace(call, key=None)
    return await submit(
        request, keyless, [order], load=load_files, decide=decide_address, render=render
    )


@published.get(
    "/{secret}.ics",
    response_class=CalendarResponse,
    openapi_extra={"x-public": True},
    responses={**_SHOWN, **documented(NotFound, Unavailable)},
)
async def read_published_calendar(request: Request, secret: str) -> Response:
    """Return the calendar of a secret address; needs no token, and tells no one whose it is."""
    async with held(request, Database).pooled() as connection:
        found = await find_calendar(connection, _digest(secret))
    if found is None:
        raise NotFound
    study, participant = found
    return await calendar_response(request, held(request, Studies)[study], participant)


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
