"""Dates are the site's: at month ends, on leap day, and when the clocks of Berlin are moved."""

from datetime import date, timedelta
from typing import Any, Final

import ics
import pytest
from icalendar import Calendar

from tests.enrolment.enrolment_calls import (
    OTHER_STUDY,
    Enrolment,
    consent,
    screening,
    visit,
)

PLANS: Final = {
    "clocks go forward at the first week end": date(2024, 3, 10),
    "clocks go back on the target": date(2023, 10, 8),
    "month end before leap day": date(2024, 1, 31),
    "leap day": date(2024, 2, 29),
    "last day of February": date(2023, 2, 28),
    "new year": date(2024, 12, 31),
}


async def planned(enrolment: Enrolment, day: date, site: str = "BER") -> str:
    """Return the path of a participant for whom a first infusion is planned."""
    one = await enrolment.registered(site, study=OTHER_STUDY)
    path = f"/participants/{one['id']}"
    await enrolment.made(f"{path}/consents", consent(), study=OTHER_STUDY)
    body = screening(planned_first_infusion_date=day.isoformat())
    put = await enrolment.put(f"{path}/screening", body, study=OTHER_STUDY)
    assert put.status_code == 201, put.text
    return path


@pytest.mark.parametrize("day", PLANS.values(), ids=PLANS)
async def test_windows_count_in_calendar_days(enrolment: Enrolment, day: date) -> None:
    path = await planned(enrolment, day)
    body = (await enrolment.get(f"{path}/schedule", study=OTHER_STUDY)).json()
    found = {
        one["code"]: [one[name] for name in ("target_date", "window_start", "window_end")]
        for one in body["visits"]
    }
    days = {"D21": (21, 20, 25), "D56": (56, 55, 60), "D84": (84, 77, 98)}
    expected = {
        code: [(day + timedelta(days=count)).isoformat() for count in counts]
        for code, counts in days.items()
    }
    assert expected.items() <= found.items()
    assert body["time_zone"] == "Europe/Berlin"


@pytest.mark.parametrize("day", PLANS.values(), ids=PLANS)
async def test_a_foreign_parser_reads_the_same_days(enrolment: Enrolment, day: date) -> None:
    path = await planned(enrolment, day)
    schedule = (await enrolment.get(f"{path}/schedule", study=OTHER_STUDY)).json()["visits"]
    answer = await enrolment.get(f"{path}/schedule.ics", study=OTHER_STUDY)
    events = ics.Calendar(answer.text).events
    targets = {one["target_date"] for one in schedule if one["target_date"]}
    assert {event.begin.date().isoformat() for event in events} == targets
    assert all(event.all_day and event.duration == timedelta(days=1) for event in events)
    [zone] = Calendar.from_ical(answer.content).walk("VTIMEZONE")
    parts = {part.name for part in zone.subcomponents}
    assert (str(zone["TZID"]), parts) == ("Europe/Berlin", {"STANDARD", "DAYLIGHT"})


@pytest.mark.parametrize(
    ("started_at", "day"),
    [
        ("2024-03-30T22:59:59Z", "2024-03-30"),
        ("2024-03-30T23:00:00Z", "2024-03-31"),
        ("2024-03-31T21:59:59Z", "2024-03-31"),
        ("2024-03-31T22:00:00Z", "2024-04-01"),
        ("2023-10-29T22:59:59Z", "2023-10-29"),
        ("2023-10-29T23:00:00Z", "2023-10-30"),
        ("2024-02-28T23:00:00Z", "2024-02-29"),
        ("2024-02-29T23:00:00Z", "2024-03-01"),
        ("2024-03-01T06:59:59+08:00", "2024-02-29"),
    ],
)
async def test_a_visit_belongs_to_the_sites_day(
    enrolment: Enrolment, started_at: str, day: str
) -> None:
    path = await planned(enrolment, date(2024, 4, 5))
    held = {"code": "unscheduled", "date": day, "started_at": started_at}
    body = {**visit(), "visit": held}
    receipt = await enrolment.made(f"{path}/visits", body, study=OTHER_STUDY)
    assert receipt["visit"]["warnings"] == []
    held["date"] = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    other: dict[str, Any] = await enrolment.made(f"{path}/visits", body, study=OTHER_STUDY)
    assert [one["code"] for one in other["visit"]["warnings"]] == ["other_day"]
