from datetime import date
from typing import Any
from uuid import uuid4

import orjson
import pytest

from services.enrolment.routes import schedules
from services.enrolment.routes.finding import Place
from tests.enrolment.enrolment_calls import (
    Enrolment,
    faults,
    in_days,
    infusion,
    kind,
    screening,
    visit,
    wrote,
)

MEMBERS = {
    "id",
    "code",
    "title",
    "target_date",
    "window_start",
    "window_end",
    "actual_date",
    "status",
    "timing",
    "reason",
    "activities",
}


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    return await enrolment.enrolled()


async def scheduled(enrolment: Enrolment, path: str) -> dict[str, Any]:
    answer = await enrolment.get(f"{path}/schedule")
    assert answer.status_code == 200, answer.text
    return {visit["code"]: visit for visit in answer.json()["visits"]}


async def test_the_schedule_has_the_members_of_the_contract(
    enrolment: Enrolment, path: str
) -> None:
    answer = await enrolment.get(f"{path}/schedule")
    body = answer.json()
    assert set(body) == {"version", "server_time", "time_zone", "next", "visits"}
    assert body["time_zone"] == "Asia/Shanghai"
    assert [one["code"] for one in body["visits"]][:3] == ["SCR", "W0", "W2"]
    assert set(body["visits"][0]) >= MEMBERS
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["etag"].startswith('W/"')
    assert isinstance(body["version"], int)


async def test_before_the_first_infusion_targets_are_projections(
    enrolment: Enrolment, path: str
) -> None:
    before = await scheduled(enrolment, path)
    await enrolment.made(f"{path}/infusions", infusion(day="2021-09-16"))
    after = await scheduled(enrolment, path)
    assert (before["W2"]["target_date"], before["W2"]["is_projection"]) == ("2021-09-29", True)
    assert (after["W2"]["target_date"], after["W2"]["is_projection"]) == ("2021-09-30", False)


async def test_a_phone_that_holds_the_schedule_gets_304(enrolment: Enrolment, path: str) -> None:
    held = (await enrolment.get(f"{path}/schedule")).headers["etag"]
    same = await enrolment.get(f"{path}/schedule", If_None_Match=held)
    await enrolment.made(f"{path}/visits", visit())
    changed = await enrolment.get(f"{path}/schedule", If_None_Match=held)
    assert (same.status_code, same.content) == (304, b"")
    assert changed.status_code == 200
    assert changed.headers["etag"] != held


async def test_reading_changes_no_version(enrolment: Enrolment, path: str) -> None:
    first = (await enrolment.get(f"{path}/schedule")).json()
    second = (await enrolment.get(f"{path}/schedule")).json()
    assert first["version"] == second["version"]
    assert first["server_time"] != second["server_time"]


async def test_what_is_due_today_is_next(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    moved = screening(planned_first_infusion_date=in_days(0), change_reason="moved")
    await enrolment.put(f"{path}/screening", moved, If_Match='"1"')
    body = (await enrolment.get(f"{path}/schedule")).json()
    statuses = {one["code"]: one["status"] for one in body["visits"]}
    assert (statuses["W0"], statuses["W2"]) == ("due", "planned")
    assert body["next"]["code"] == "W0"


async def test_the_version_grows_with_the_content_only(enrolment: Enrolment, path: str) -> None:
    async def version() -> int:
        found: int = (await enrolment.get(f"{path}/schedule")).json()["version"]
        return found

    seen = [await version()]
    await enrolment.made(f"{path}/visits", visit())
    seen.append(await version())
    weighed = visit(vital_signs={"weight_kg": 70}, change_reason="misread")
    assert wrote(await enrolment.post(f"{path}/visits", weighed)) == (200, "updated")
    assert await version() == seen[-1]
    await enrolment.made(f"{path}/visits/W2/plan", {"status": "missed", "reason": "ill"})
    seen.append(await version())
    await enrolment.made(f"{path}/infusions", infusion())
    seen.append(await version())
    assert seen == sorted(set(seen))
    assert seen[-1] == seen[0] + 3


@pytest.mark.parametrize(
    ("day", "timing"),
    [("2021-09-26", "early"), ("2021-09-29", "in_window"), ("2021-10-20", "late")],
)
async def test_status_and_timing_are_apart(
    enrolment: Enrolment, path: str, day: str, timing: str
) -> None:
    await enrolment.made(f"{path}/infusions", infusion())
    await enrolment.made(f"{path}/visits", visit("W2", day))
    held = (await scheduled(enrolment, path))["W2"]
    assert (held["status"], held["timing"], held["actual_date"]) == ("done", timing, day)


@pytest.mark.parametrize("status", ["missed", "cancelled"])
async def test_a_visit_not_held_says_why(enrolment: Enrolment, path: str, status: str) -> None:
    at = f"{path}/visits/W2/plan"
    bare = await enrolment.post(at, {"status": status})
    said = await enrolment.post(at, {"status": status, "reason": "ill"}, role="coordinator")
    again = await enrolment.post(at, {"status": status, "reason": "ill"})
    shown = (await scheduled(enrolment, path))["W2"]
    assert bare.status_code == 422
    assert faults(bare) == {("/reason", "reason_required")}
    assert (wrote(said), wrote(again)) == ((201, "created"), (200, "unchanged"))
    assert (shown["status"], shown["reason"], shown["timing"]) == (status, "ill", None)


async def test_an_appointment_is_moved_within_the_plan(enrolment: Enrolment, path: str) -> None:
    made = (await scheduled(enrolment, path))["W4"]["id"]
    first = {"status": "planned", "date": "2021-10-14", "reason": "holiday"}
    await enrolment.post(f"{path}/visits/{made}/plan", first)
    later = await enrolment.post(f"{path}/visits/W4/plan", {**first, "date": "2021-10-15"})
    shown = (await scheduled(enrolment, path))["W4"]
    assert wrote(later) == (200, "updated")
    assert (shown["planned_date"], shown["target_date"]) == ("2021-10-15", "2021-10-13")
    assert shown["reason"] == "holiday"


async def test_a_visit_that_was_held_takes_no_plan(enrolment: Enrolment) -> None:
    path = await enrolment.enrolled()
    await enrolment.made(f"{path}/visits", visit())
    answer = await enrolment.post(f"{path}/visits/W0/plan", {"status": "missed", "reason": "ill"})
    assert kind(answer) == (409, "visit-held")


async def test_all_that_was_said_of_a_visit_is_read(enrolment: Enrolment) -> None:
    path = await enrolment.enrolled()
    plan = f"{path}/visits/W2/plan"
    assert kind(await enrolment.get(plan)) == (404, "not-found")
    first = await enrolment.post(plan, {"status": "planned", "date": "2021-09-30"})
    second = await enrolment.post(plan, {"status": "missed", "reason": "fever"})
    assert (wrote(first), wrote(second)) == ((201, "created"), (200, "updated"))
    standing = await enrolment.get(plan)
    assert (standing.json()["status"], standing.headers["ETag"]) == ("missed", '"2"')
    versions = (await enrolment.get(f"{plan}/versions")).json()["items"]
    assert [one["status"] for one in versions] == ["planned", "missed"]
    assert kind(await enrolment.get(f"{path}/visits/W99/plan")) == (404, "not-found")


async def test_an_unknown_visit_takes_no_plan(enrolment: Enrolment, path: str) -> None:
    body = {"status": "missed", "reason": "ill"}
    assert (await enrolment.post(f"{path}/visits/W99/plan", body)).status_code == 404
    assert (await enrolment.post(f"{path}/visits/W2/plan", {"status": "done"})).status_code == 422


async def test_leaving_cancels_what_was_to_come(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/infusions", infusion())
    left = {"status": "withdrawn", "date": "2021-10-20", "reason": "moved away"}
    await enrolment.made(f"{path}/status", left)
    shown = await scheduled(enrolment, path)
    body = (await enrolment.get(f"{path}/schedule")).json()
    assert shown["W2"]["status"] == "overdue"
    assert (shown["W6"]["status"], shown["W6"]["reason"]) == ("cancelled", "moved away")
    assert body["next"] is None


async def test_stopping_treatment_cancels_infusions_only(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/infusions", infusion())
    stopped = {"status": "treatment_stopped", "date": "2021-09-20", "reason": "rash"}
    await enrolment.made(f"{path}/status", stopped)
    shown = await scheduled(enrolment, path)
    assert "infusion" not in shown["W4"]["activities"]
    assert "pasi" in shown["W4"]["activities"]
    assert shown["W4"]["status"] == "overdue"


async def test_a_participant_sees_its_own_schedule_only(enrolment: Enrolment, path: str) -> None:
    own = path.rpartition("/")[2]
    other = (await enrolment.registered())["id"]
    caller = {"role": "participant", "participant": own}
    assert (await enrolment.get(f"{path}/schedule", **caller)).status_code == 200
    assert (await enrolment.get(f"{path}/visits", **caller)).status_code == 200
    assert (await enrolment.get(f"{path}/consents", **caller)).status_code == 200
    assert (await enrolment.get(f"/participants/{other}/schedule", **caller)).status_code == 404
    assert (await enrolment.get(f"{path}/infusions", **caller)).status_code == 403


async def told(process: Enrolment, path: str) -> tuple[str, dict[str, Any]]:
    answer = await process.get(f"{path}/schedule")
    body = {name: value for name, value in answer.json().items() if name != "server_time"}
    return answer.headers["etag"], body


async def test_a_schedule_that_is_kept_is_the_one_that_follows_now(
    enrolment: Enrolment, twin: Enrolment, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [await told(enrolment, path)]
    # The other process writes, so that the first can only learn of it by reading.
    await twin.made(f"{path}/infusions", infusion(day="2021-09-16"))
    seen.append(await told(enrolment, path))
    missed = {"status": "missed", "reason": "travelling"}
    await twin.made(f"{path}/visits/W2/plan", missed)
    seen.append(await told(enrolment, path))
    assert await told(enrolment, path) == seen[-1] == await told(twin, path)
    assert len({etag for etag, _ in seen}) == 3
    monkeypatch.setattr(schedules, "today_at", lambda *_: date(2021, 9, 20))
    earlier = await told(enrolment, path)
    assert earlier == await told(twin, path)
    assert earlier != seen[-1]


def test_so_many_schedules_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "_MOST_DRAWN", 2)
    kept, day = schedules.DrawnSchedules(), date(2021, 9, 20)
    places = [Place(uuid4(), "GDTCM", 7) for _ in range(3)]
    nothing = orjson.Fragment(b"null")
    for place in places:
        drawn = schedules.Drawn(7, day, 'W/"1"', 1, nothing, nothing)
        kept.keep("NCT03745417", place.participant, drawn)
    found = [kept.find("NCT03745417", place, day) is not None for place in places]
    assert found == [False, True, True]
    assert kept.find("NCT03745417", places[2], date(2021, 9, 21)) is None
    assert kept.find("OTHER", places[2], day) is None
