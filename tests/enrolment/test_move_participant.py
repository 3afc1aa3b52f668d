from typing import Any

import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    decision,
    faults,
    in_days,
    infusion,
    kind,
    wrote,
)

LEFT = {"status": "withdrawn", "date": "2021-09-20", "reason": "moved away"}
STOPPED = {"status": "treatment_stopped", "date": "2021-09-20", "reason": "rash"}


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    return await enrolment.enrolled()


async def status(enrolment: Enrolment, path: str) -> str:
    found: str = (await enrolment.get(path)).json()["status"]
    return found


async def test_each_status_says_who_when_and_why(enrolment: Enrolment, path: str) -> None:
    answer = await enrolment.post(f"{path}/status", LEFT, role="coordinator")
    history = (await enrolment.get(f"{path}/status")).json()["items"]
    assert wrote(answer) == (201, "created")
    assert [one["status"] for one in history] == ["screening", "enrolled", "withdrawn"]
    assert (history[-1]["reason"], history[-1]["date"]) == ("moved away", "2021-09-20")
    assert history[-1]["recorded_by"] == "coordinator-1"


async def test_stopping_treatment_is_not_leaving(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/infusions", infusion())
    made = await enrolment.made(f"{path}/status", STOPPED)
    assert made["status"] == "treatment_stopped"
    assert await status(enrolment, path) == "follow_up"
    completed = {"status": "completed", "date": "2022-03-02", "reason": None}
    assert wrote(await enrolment.post(f"{path}/status", completed)) == (201, "created")
    assert await status(enrolment, path) == "completed"


async def test_follow_up_begins_when_the_treatment_period_ends(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.made(f"{path}/infusions", infusion())
    assert await status(enrolment, path) == "follow_up"
    listed = (await enrolment.get("/participants?status=follow_up&limit=500")).json()["items"]
    assert path.rpartition("/")[2] in {one["id"] for one in listed}


async def test_follow_up_that_begins_by_itself_stands_in_the_history(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.made(f"{path}/infusions", infusion())
    await enrolment.made(f"{path}/status", {"status": "completed", "date": "2022-03-02"})
    history = (await enrolment.get(f"{path}/status")).json()["items"]
    assert [(one["status"], one["date"]) for one in history[2:]] == [
        ("on_treatment", "2021-09-15"),
        ("follow_up", "2021-12-08"),
        ("completed", "2022-03-02"),
    ]
    assert all(one["reason"] and one["recorded_by"] for one in history[:-1])
    assert (history[3]["version"], history[3]["recorded_by"]) == (0, "schedule")


async def test_treatment_entered_in_error_is_no_treatment(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/infusions", infusion())
    retraction = f"{path}/infusions/{made['id']}/retraction"
    await enrolment.post(retraction, {"reason": "another participant's"}, If_Match='"1"')
    assert await status(enrolment, path) == "enrolled"
    history = (await enrolment.get(f"{path}/status")).json()["items"]
    stands = [(one["status"], one["stands"]) for one in history]
    assert stands == [("screening", True), ("enrolled", True), ("on_treatment", False)]
    late = in_days(-20)
    await enrolment.made(f"{path}/infusions", infusion(day=late))
    history = (await enrolment.get(f"{path}/status")).json()["items"]
    assert (history[-1]["stands"], history[-1]["date"]) == (True, late)
    assert await status(enrolment, path) == "on_treatment"


async def test_a_status_is_read_as_recorded(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.post(f"{path}/status", LEFT)
    single = made.headers["Location"].removeprefix("/v1/studies/NCT03745417")
    read = await enrolment.get(single)
    versions = (await enrolment.get(f"{single}/versions")).json()["items"]
    assert (read.json()["status"], read.headers["ETag"]) == ("withdrawn", '"1"')
    assert versions == [read.json()]


async def test_the_history_is_read_as_it_stood(enrolment: Enrolment, path: str) -> None:
    before = (await enrolment.get(f"{path}/status")).json()["items"][-1]["recorded_at"]
    await enrolment.made(f"{path}/status", LEFT)
    then = await enrolment.get(f"{path}/status?as_of={before.replace('+', '%2B')}")
    assert [one["status"] for one in then.json()["items"]] == ["screening", "enrolled"]


async def test_the_same_status_again_is_unchanged(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/status", LEFT)
    assert wrote(await enrolment.post(f"{path}/status", LEFT)) == (200, "unchanged")


async def test_a_source_moves_once(enrolment: Enrolment, path: str) -> None:
    source = {"source_system": "edc", "source_ref": path[-12:]}
    await enrolment.made(f"{path}/status", {**LEFT, **source})
    again = await enrolment.post(f"{path}/status", {**LEFT, **source})
    assert wrote(again) == (200, "unchanged")


@pytest.mark.parametrize(
    "body",
    [STOPPED, {"status": "completed", "date": "2021-09-20"}],
)
async def test_only_allowed_transitions_are_made(
    enrolment: Enrolment, path: str, body: dict[str, Any]
) -> None:
    assert kind(await enrolment.post(f"{path}/status", body)) == (409, "status-not-allowed")


async def test_a_death_known_later_is_recorded(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/status", LEFT)
    died = {"status": "died", "date": "2021-10-01"}
    assert wrote(await enrolment.post(f"{path}/status", died)) == (201, "created")
    again = {**LEFT, "date": "2021-10-02"}
    assert kind(await enrolment.post(f"{path}/status", again)) == (409, "status-not-allowed")


async def test_nobody_leaves_before_the_status_began(enrolment: Enrolment, path: str) -> None:
    early = {**LEFT, "date": "2021-09-13"}
    assert kind(await enrolment.post(f"{path}/status", early)) == (409, "status-not-allowed")


async def test_who_never_consented_cannot_leave(enrolment: Enrolment) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    assert kind(await enrolment.post(f"{path}/status", LEFT)) == (409, "never-consented")


@pytest.mark.parametrize(
    ("stated", "fault"),
    [
        ({"date": in_days(1)}, ("/date", "in_the_future")),
        ({"reason": None}, ("/reason", "reason_required")),
    ],
)
async def test_an_impossible_status_is_refused(
    enrolment: Enrolment, path: str, stated: dict[str, Any], fault: tuple[str, str]
) -> None:
    answer = await enrolment.post(f"{path}/status", {**LEFT, **stated})
    assert answer.status_code == 422
    assert faults(answer) == {fault}


async def test_statuses_made_by_the_system_are_not_stated(enrolment: Enrolment, path: str) -> None:
    answer = await enrolment.post(f"{path}/status", {**LEFT, "status": "on_treatment"})
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {"/status"}


async def test_who_failed_screening_does_not_leave(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    failed = decision(decision="screen_fail", reason="infection")
    await enrolment.made(f"{path}/enrolment", failed)
    assert kind(await enrolment.post(f"{path}/status", LEFT)) == (409, "status-not-allowed")


@pytest.mark.parametrize("role", ["edc", "auditor", "statistician", "safety_officer", "admin"])
async def test_only_site_staff_move_participants(
    enrolment: Enrolment, path: str, role: str
) -> None:
    assert (await enrolment.post(f"{path}/status", LEFT, role=role)).status_code == 403
