from decimal import Decimal
from typing import Any

import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    ago,
    faults,
    in_days,
    infusion,
    kind,
    visit,
    wrote,
)


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    return await enrolment.enrolled()


def part(**stated: Any) -> dict[str, Any]:
    """Return the infusion as a part of a visit."""
    body = infusion(**stated)
    del body["visit"]
    return body


async def test_a_visit_is_recorded_with_its_parts(enrolment: Enrolment, path: str) -> None:
    answer = await enrolment.post(f"{path}/visits", visit(infusion=part()), role="edc")
    receipt = answer.json()
    assert wrote(answer) == (201, "created")
    held = {"code": "W0", "target_date": "2021-09-15", "timing": "in_window", "version": 1}
    assert held.items() <= receipt["visit"].items()
    assert receipt["visit"]["days_from_target"] == 0
    said = [(one["pointer"], one["write"]) for one in receipt["parts"]]
    assert said == [("/vital_signs", "created"), ("/infusion", "created")]
    assert receipt["parts"][1]["derived"] == {"cells_planned": 137_000_000}


async def test_the_same_visit_again_is_unchanged(enrolment: Enrolment, path: str) -> None:
    body = visit(infusion=part())
    first = (await enrolment.post(f"{path}/visits", body)).json()
    again = await enrolment.post(f"{path}/visits", body)
    assert wrote(again) == (200, "unchanged")
    assert {one["write"] for one in again.json()["parts"]} == {"unchanged"}
    assert [one["id"] for one in again.json()["parts"]] == [one["id"] for one in first["parts"]]


async def test_a_changed_visit_needs_a_reason(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/visits", visit())
    changed = visit(vital_signs={"weight_kg": 70})
    bare = await enrolment.post(f"{path}/visits", changed)
    done = await enrolment.post(f"{path}/visits", {**changed, "change_reason": "misread"})
    assert bare.status_code == 422
    assert faults(bare) == {("/change_reason", "change_reason_required")}
    assert wrote(done) == (200, "updated")
    assert done.json()["parts"][0]["write"] == "updated"


async def test_a_changed_infusion_of_a_visit_needs_a_reason(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.made(f"{path}/visits", visit(infusion=part()))
    changed = visit(infusion=part(batch="UC-2021-08"))
    bare = await enrolment.post(f"{path}/visits", changed)
    done = await enrolment.post(f"{path}/visits", {**changed, "change_reason": "misread"})
    assert faults(bare) == {("/change_reason", "change_reason_required")}
    assert wrote(done) == (200, "updated")
    assert [one["write"] for one in done.json()["parts"]] == ["unchanged", "updated"]


async def test_an_infusion_may_come_after_its_visit(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/visits", visit())
    answer = await enrolment.post(f"{path}/visits", visit(infusion=part()))
    assert wrote(answer) == (200, "updated")
    assert [one["write"] for one in answer.json()["parts"]] == ["unchanged", "created"]


async def test_the_source_names_the_visit(enrolment: Enrolment, path: str) -> None:
    source = {"source_system": "edc", "source_ref": path[-12:]}
    await enrolment.made(f"{path}/visits", visit("unscheduled", "2021-09-20", **source))
    moved = visit("unscheduled", "2021-09-21", **source, change_reason="wrong day")
    answer = await enrolment.post(f"{path}/visits", moved)
    assert wrote(answer) == (200, "updated")
    listed = (await enrolment.get(f"{path}/visits")).json()["items"]
    days = [one["actual_date"] for one in listed if one["code"] == "unscheduled"]
    assert days == ["2021-09-21"]


async def test_a_source_names_one_participants_visit(enrolment: Enrolment, path: str) -> None:
    source = {"source_system": "edc", "source_ref": path[-12:]}
    await enrolment.made(f"{path}/visits", visit(**source))
    other = await enrolment.enrolled()
    for where, body in ((other, visit(**source)), (path, visit("W2", "2021-09-29", **source))):
        answer = await enrolment.post(f"{where}/visits", {**body, "change_reason": "resent"})
        assert kind(answer) == (409, "source-already-used")


async def test_unscheduled_visits_each_have_their_infusion(enrolment: Enrolment, path: str) -> None:
    receipts = [
        await enrolment.made(f"{path}/visits", visit("unscheduled", day, infusion=part(day=day)))
        for day in ("2021-09-20", "2021-10-04")
    ]
    parts = [one["parts"][1] for one in receipts]
    assert [one["write"] for one in parts] == ["created", "created"]
    assert parts[0]["id"] != parts[1]["id"]
    assert receipts[0]["visit"]["id"] != receipts[1]["visit"]["id"]


async def test_a_receipt_tells_of_its_own_deviations(enrolment: Enrolment, path: str) -> None:
    first = await enrolment.made(f"{path}/visits", visit(infusion=part()))
    late = visit("W2", "2021-10-05", infusion=part(day="2021-10-05", cells_given=1))
    receipt = await enrolment.made(f"{path}/visits", late)
    assert first["deviations"] == []
    found = {(one["code"], one["visit"]) for one in receipt["deviations"]}
    assert found == {("visit_outside_window", "W2"), ("dose_differs_from_plan", "W2")}
    listed = (await enrolment.get(f"{path}/deviations")).json()["items"]
    assert {one["id"] for one in receipt["deviations"]} <= {one["id"] for one in listed}
    assert receipt["parts"][1]["warnings"][0]["pointer"] == "/cells_given"


async def test_times_of_another_day_are_warned_of(enrolment: Enrolment, path: str) -> None:
    body = visit()
    body["visit"]["started_at"] = "2021-09-14T23:59:59+08:00"
    receipt = await enrolment.made(f"{path}/visits", body)
    odd = [(one["pointer"], one["code"]) for one in receipt["visit"]["warnings"]]
    assert odd == [("/started_at", "other_day")]
    assert [one["code"] for one in receipt["queries"]["raised"]] == ["other_day"]
    held = (await enrolment.get(f"{path}/visits/W0")).json()
    assert held["warnings"] == receipt["visit"]["warnings"]


async def test_every_version_of_a_visit_is_read(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/visits", visit())
    changed = visit(vital_signs={"weight_kg": 70}, change_reason="misread")
    await enrolment.post(f"{path}/visits", changed)
    versions = (await enrolment.get(f"{path}/visits/W0/versions")).json()["items"]
    assert [one["vital_signs"]["weight_kg"] for one in versions] == [68.5, 70]
    assert [one["version"] for one in versions] == [1, 2]
    to_come = await enrolment.get(f"{path}/visits/W2/versions")
    assert kind(to_come) == (404, "not-found")


async def test_unscheduled_visits_are_many(enrolment: Enrolment, path: str) -> None:
    for day in ("2021-09-20", "2021-09-21"):
        await enrolment.made(f"{path}/visits", visit("unscheduled", day))
    answer = await enrolment.get(f"{path}/visits/unscheduled")
    assert answer.status_code == 404


async def test_validation_alone_writes_nothing(enrolment: Enrolment, path: str) -> None:
    answer = await enrolment.post(f"{path}/visits?validate_only=true", visit(infusion=part()))
    assert answer.is_success
    view = (await enrolment.get(f"{path}/visits/W0")).json()
    assert view["status"] == "overdue"
    assert (await enrolment.get(f"{path}/infusions")).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (visit("W99"), ("/visit/code", "unknown_visit")),
        (
            visit("W0", in_days(1), visit={"code": "W0", "date": in_days(1)}),
            ("/visit/date", "in_the_future"),
        ),
        (
            visit(visit={"code": "W0", "date": "2021-09-15", "started_at": ago(hours=-1)}),
            ("/visit/started_at", "in_the_future"),
        ),
        (visit(site="GDTCM"), ("/site", "other_site")),
        (
            visit(infusion=part(stopped_at="2021-09-15T09:00:00+08:00")),
            ("/infusion/stopped_at", "before_start"),
        ),
    ],
)
async def test_an_impossible_visit_is_refused(
    enrolment: Enrolment, path: str, body: dict[str, Any], fault: tuple[str, str]
) -> None:
    answer = await enrolment.post(f"{path}/visits", body)
    assert answer.status_code == 422
    assert faults(answer) == {fault}
    assert (await enrolment.get(f"{path}/visits/W0")).json()["actual_date"] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight_kg", 0),
        ("weight_kg", 701),
        ("temperature_celsius", Decimal("19.9")),
        ("systolic_mmhg", 401),
        ("diastolic_mmhg", "80"),
        ("pulse_per_min", -1),
        ("respiration_per_min", 151),
        ("height_cm", 180),
    ],
)
async def test_impossible_vital_signs_are_refused(
    enrolment: Enrolment, path: str, name: str, value: object
) -> None:
    answer = await enrolment.post(f"{path}/visits", visit(vital_signs={name: value}))
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {f"/vital_signs/{name}"}


async def test_before_enrolment_only_screening_is_held(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    refused = await enrolment.post(f"{path}/visits", visit())
    screened = await enrolment.post(f"{path}/visits", visit("SCR", "2021-09-02"))
    other = await enrolment.post(f"{path}/visits", visit("unscheduled", "2021-09-03"))
    assert kind(refused) == (409, "not-enrolled")
    assert (wrote(screened), wrote(other)) == ((201, "created"), (201, "created"))


async def test_a_visit_needs_consent_for_data(enrolment: Enrolment) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    answer = await enrolment.post(f"{path}/visits", visit("SCR", "2021-09-02"))
    assert kind(answer) == (409, "no-consent-in-force")


async def test_a_visit_without_a_time_counts_as_the_days_end(
    enrolment: Enrolment, path: str
) -> None:
    made = (await enrolment.get(f"{path}/consents")).json()["items"][0]
    body = {"withdrawn_at": "2021-09-15T09:00:00+08:00", "scope": ["data"]}
    await enrolment.post(f"{path}/consents/{made['id']}/withdrawal", body)
    timeless = visit(visit={"code": "W0", "date": "2021-09-15"})
    assert kind(await enrolment.post(f"{path}/visits", timeless)) == (409, "no-consent-in-force")
    assert wrote(await enrolment.post(f"{path}/visits", visit())) == (201, "created")


async def test_a_visit_after_leaving_is_refused(enrolment: Enrolment, path: str) -> None:
    left = {"status": "lost_to_follow_up", "date": "2021-09-20", "reason": "moved"}
    await enrolment.made(f"{path}/status", left)
    late = await enrolment.post(f"{path}/visits", visit("W2", "2021-09-29"))
    assert kind(late) == (409, "participation-ended")
    assert wrote(await enrolment.post(f"{path}/visits", visit())) == (201, "created")


async def test_a_visit_is_read_by_code_and_id(enrolment: Enrolment, path: str) -> None:
    made = (await enrolment.made(f"{path}/visits", visit()))["visit"]
    by_code = await enrolment.get(f"{path}/visits/W0")
    by_id = await enrolment.get(f"{path}/visits/{made['id']}")
    again = await enrolment.get(f"{path}/visits/W0", If_None_Match=by_code.headers["etag"])
    assert by_code.json() == by_id.json()
    assert by_code.json()["vital_signs"] == {"weight_kg": 68.5}
    assert again.status_code == 304
    assert (await enrolment.get(f"{path}/visits/W99")).status_code == 404


async def test_visits_are_read_as_they_stood(enrolment: Enrolment, path: str) -> None:
    listed = (await enrolment.get(f"{path}/status")).json()["items"][-1]["recorded_at"]
    await enrolment.made(f"{path}/visits", visit())
    at = listed.replace("+", "%2B")
    then = (await enrolment.get(f"{path}/visits/W0?as_of={at}")).json()
    now = (await enrolment.get(f"{path}/visits/W0")).json()
    assert (then["status"], now["status"]) == ("overdue", "done")


@pytest.mark.parametrize("role", ["auditor", "statistician", "safety_officer", "admin"])
async def test_only_writers_hold_visits(enrolment: Enrolment, path: str, role: str) -> None:
    assert (await enrolment.post(f"{path}/visits", visit(), role=role)).status_code == 403
