"""The schedule as a calendar, read by a parser that has nothing to do with the writer."""

from datetime import date

import httpx
import ics
import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    consent,
    infusion,
    kind,
    screening,
    visit,
    wrote,
)

SECRETS_OF_A_CALENDAR = ("NCT", "W2", "Week", "psoriasis", "infusion", "EDC-", "S0")


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    return await enrolment.enrolled()


def events(answer: httpx.Response) -> dict[date, ics.Event]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    return {event.begin.date(): event for event in ics.Calendar(answer.text).events}


def lines(event: ics.Event) -> dict[str, str]:
    return {line.name: line.value for line in event.extra}


async def test_the_schedule_is_served_as_a_calendar(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/infusions", infusion())
    by_path = await enrolment.get(f"{path}/schedule.ics")
    by_accept = await enrolment.get(f"{path}/schedule", Accept="text/calendar")
    found = events(by_path)
    schedule = (await enrolment.get(f"{path}/schedule")).json()["visits"]
    targets = {date.fromisoformat(one["target_date"]) for one in schedule if one["target_date"]}
    assert by_accept.content == by_path.content
    assert set(found) == targets
    assert all(event.all_day for event in found.values())
    assert "X-WR-TIMEZONE:Asia/Shanghai" in by_path.text
    assert "TZID:Asia/Shanghai" in by_path.text


async def test_a_calendar_tells_nothing_on_a_locked_screen(enrolment: Enrolment, path: str) -> None:
    answer = await enrolment.get(f"{path}/schedule.ics")
    participant = path.rpartition("/")[2]
    assert {event.name for event in events(answer).values()} == {"Appointment"}
    for word in (*SECRETS_OF_A_CALENDAR, participant):
        assert word not in answer.text


async def test_a_move_keeps_the_uid_and_raises_the_sequence(
    enrolment: Enrolment, path: str
) -> None:
    before = events(await enrolment.get(f"{path}/schedule.ics"))[date(2021, 9, 29)]
    body = {"status": "planned", "date": "2021-09-30", "reason": "holiday"}
    await enrolment.post(f"{path}/visits/W2/plan", body)
    after = events(await enrolment.get(f"{path}/schedule.ics"))[date(2021, 9, 30)]
    assert after.uid == before.uid
    assert int(lines(after)["SEQUENCE"]) == int(lines(before)["SEQUENCE"]) + 1


async def test_what_falls_away_is_cancelled_not_dropped(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/infusions", infusion())
    before = events(await enrolment.get(f"{path}/schedule.ics"))
    left = {"status": "withdrawn", "date": "2021-10-20", "reason": "moved away"}
    await enrolment.made(f"{path}/status", left)
    after = events(await enrolment.get(f"{path}/schedule.ics"))
    assert {day: event.uid for day, event in after.items()} == {
        day: event.uid for day, event in before.items()
    }
    assert after[date(2021, 9, 29)].status == "CONFIRMED"
    assert after[date(2021, 12, 8)].status == "CANCELLED"


async def test_a_calendar_held_already_is_not_sent_again(enrolment: Enrolment, path: str) -> None:
    held = (await enrolment.get(f"{path}/schedule.ics")).headers
    same = await enrolment.get(f"{path}/schedule.ics", If_None_Match=held["etag"])
    await enrolment.made(f"{path}/visits", visit("W0", "2021-09-16"))
    changed = await enrolment.get(f"{path}/schedule.ics", If_None_Match=held["etag"])
    assert held["cache-control"] == "private, no-cache"
    assert (same.status_code, same.content, changed.status_code) == (304, b"", 200)


async def test_a_participant_without_a_plan_has_an_empty_calendar(enrolment: Enrolment) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    assert events(await enrolment.get(f"{path}/schedule.ics")) == {}


async def test_a_phone_reads_the_secret_address_without_a_token(
    enrolment: Enrolment, path: str
) -> None:
    one = path.rpartition("/")[2]
    at = f"{path}/schedule/address"
    made = await enrolment.call("POST", at, role="participant", participant=one)
    address = made.json()["address"]
    read = await enrolment.client.get(address)
    own = await enrolment.get(f"{path}/schedule.ics")
    assert wrote(made) == (201, "created")
    assert made.headers["cache-control"] == "no-store"
    assert made.headers["location"] == address
    assert read.content == own.content
    assert one not in address


async def test_the_secret_is_long_and_kept_as_a_digest_only(
    enrolment: Enrolment, path: str
) -> None:
    made = await enrolment.call("POST", f"{path}/schedule/address", Idempotency_Key="calendar-1")
    secret = made.json()["address"].removeprefix("/v1/calendars/").removesuffix(".ics")
    assert len(secret) >= 43
    async with enrolment.database.pooled() as connection:
        for table in ("event", "schedule_address_version", "idempotency"):
            rows = await connection.fetch(f"SELECT t::text FROM {table} t")
            assert not [row for row in rows if secret in row[0]]
            assert not [row for row in rows if secret.encode().hex() in row[0]]


async def test_another_address_ends_the_one_before(enrolment: Enrolment, path: str) -> None:
    at = f"{path}/schedule/address"
    first = (await enrolment.call("POST", at)).json()["address"]
    second = (await enrolment.call("POST", at)).json()["address"]
    assert first != second
    assert (await enrolment.client.get(first)).status_code == 404
    assert (await enrolment.client.get(second)).status_code == 200


async def test_a_revoked_address_leads_nowhere(enrolment: Enrolment, path: str) -> None:
    at = f"{path}/schedule/address"
    never = await enrolment.call("POST", f"{at}/revocation")
    address = (await enrolment.call("POST", at)).json()["address"]
    done = await enrolment.call("POST", f"{at}/revocation")
    again = await enrolment.call("POST", f"{at}/revocation")
    assert kind(never) == (404, "not-found")
    assert (wrote(done), wrote(again)) == ((200, "updated"), (200, "unchanged"))
    assert kind(await enrolment.client.get(address)) == (404, "not-found")
    renewed = (await enrolment.call("POST", at)).json()["address"]
    assert (await enrolment.client.get(renewed)).status_code == 200


@pytest.mark.parametrize("secret", ["x", "a" * 43, "..", "%00", "é"])
async def test_a_guessed_address_is_not_found(enrolment: Enrolment, secret: str) -> None:
    assert (await enrolment.client.get(f"/v1/calendars/{secret}.ics")).status_code == 404


@pytest.mark.parametrize("role", ["edc", "auditor", "statistician", "safety_officer", "admin"])
async def test_only_the_site_and_the_participant_share(
    enrolment: Enrolment, path: str, role: str
) -> None:
    answer = await enrolment.call("POST", f"{path}/schedule/address", role=role)
    assert answer.status_code == 403


async def test_a_participant_shares_its_own_schedule_only(enrolment: Enrolment, path: str) -> None:
    other = (await enrolment.registered())["id"]
    at = f"{path}/schedule/address"
    answer = await enrolment.call("POST", at, role="participant", participant=other)
    assert answer.status_code == 404


async def test_a_calendar_counts_from_what_was_known(enrolment: Enrolment) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    await enrolment.made(f"{path}/consents", consent())
    await enrolment.put(f"{path}/screening", screening())
    found = events(await enrolment.get(f"{path}/schedule.ics"))
    assert {event.status for event in found.values()} == {"TENTATIVE"}
    assert date(2021, 9, 15) in found
