from decimal import Decimal
from typing import Any

import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    ago,
    consent,
    faults,
    infusion,
    kind,
    visit,
    wrote,
)

FIRST, SECOND = "2021-09-15", "2021-09-29"


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    return await enrolment.enrolled()


def warned(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["pointer"], one["code"]) for one in answer["warnings"]}


async def test_the_first_infusion_begins_treatment(enrolment: Enrolment, path: str) -> None:
    answer = await enrolment.post(f"{path}/infusions", infusion())
    statuses = (await enrolment.get(f"{path}/status")).json()["items"]
    assert wrote(answer) == (201, "created")
    assert (statuses[2]["status"], statuses[2]["date"]) == ("on_treatment", FIRST)
    await enrolment.made(f"{path}/infusions", infusion("W2", SECOND))
    assert len((await enrolment.get(f"{path}/status")).json()["items"]) == len(statuses)


async def test_the_dose_follows_the_days_weight(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/visits", visit())
    made = await enrolment.made(f"{path}/infusions", infusion())
    assert (made["cells_planned"], made["weight_kg"]) == (137_000_000, 68.5)
    assert (made["weighed_on"], made["warnings"]) == (FIRST, [])


async def test_a_weight_within_14_days_serves_and_is_flagged(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.made(f"{path}/visits", visit("SCR", "2021-09-02"))
    made = await enrolment.made(f"{path}/infusions", infusion())
    assert (made["cells_planned"], made["weighed_on"]) == (137_000_000, "2021-09-02")
    assert len(warned(made)) == 1


async def test_an_older_weight_plans_no_dose(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/visits", visit("SCR", "2021-09-02"))
    made = await enrolment.made(f"{path}/infusions", infusion(day="2021-09-17"))
    assert made["cells_planned"] is None
    assert len(warned(made)) == 1


@pytest.mark.parametrize(
    ("given", "is_odd"), [(150_700_000, False), (150_700_001, True), (123_299_999, True)]
)
async def test_more_than_ten_percent_from_plan_is_warned_of(
    enrolment: Enrolment, path: str, given: int, *, is_odd: bool
) -> None:
    await enrolment.made(f"{path}/visits", visit())
    made = await enrolment.made(f"{path}/infusions", infusion(cells_given=given))
    assert bool(warned(made)) is is_odd
    found = (await enrolment.get(f"{path}/deviations")).json()["items"]
    assert ("dose_differs_from_plan" in {one["code"] for one in found}) is is_odd


async def test_a_short_gap_is_warned_of(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/visits", visit())
    await enrolment.made(f"{path}/infusions", infusion())
    made = await enrolment.made(f"{path}/infusions", infusion("W2", "2021-09-18"))
    found = (await enrolment.get(f"{path}/deviations")).json()["items"]
    assert "/started_at" in {pointer for pointer, _ in warned(made)}
    assert "infusion_gap_short" in {one["code"] for one in found}


async def test_a_visit_has_one_infusion(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/infusions", infusion())
    again = await enrolment.post(f"{path}/infusions", infusion())
    other = await enrolment.post(f"{path}/infusions", infusion(batch="UC-2021-08"))
    assert wrote(again) == (200, "unchanged")
    assert kind(other) == (409, "infusion-recorded")
    assert made["id"] in other.json()["detail"]


async def test_a_source_makes_one_infusion(enrolment: Enrolment, path: str) -> None:
    source = {"source_system": "edc", "source_ref": path[-12:]}
    made = await enrolment.made(f"{path}/infusions", infusion("unscheduled", **source))
    again = await enrolment.post(f"{path}/infusions", infusion("unscheduled", **source))
    other = await enrolment.post(f"{path}/infusions", infusion("unscheduled", SECOND, **source))
    assert wrote(again) == (200, "unchanged")
    assert again.json()["id"] == made["id"]
    assert made["source_ref"] == path[-12:]
    assert kind(other) == (409, "source-already-used")
    assert made["id"] in other.json()["detail"]


async def test_a_retracted_infusion_keeps_its_source(enrolment: Enrolment, path: str) -> None:
    source = {"source_system": "edc", "source_ref": path[-12:]}
    made = await enrolment.made(f"{path}/infusions", infusion(**source))
    retraction = f"{path}/infusions/{made['id']}/retraction"
    await enrolment.post(retraction, {"reason": "another participant's"}, If_Match='"1"')
    again = await enrolment.post(f"{path}/infusions", infusion(**source))
    assert kind(again) == (409, "source-already-used")
    assert wrote(await enrolment.post(f"{path}/infusions", infusion())) == (201, "created")


async def test_the_same_unscheduled_infusion_again_is_unchanged(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.made(f"{path}/infusions", infusion("unscheduled"))
    again = await enrolment.post(f"{path}/infusions", infusion("unscheduled"))
    other = await enrolment.post(f"{path}/infusions", infusion("unscheduled", batch="UC-2021-08"))
    assert wrote(again) == (200, "unchanged")
    assert kind(other) == (409, "infusion-recorded")


async def test_a_weight_that_comes_later_plans_the_dose(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/infusions", infusion())
    single = f"{path}/infusions/{made['id']}"
    assert (made["cells_planned"], warned(made)) == (None, {("", "no_usable_weight")})
    await enrolment.made(f"{path}/visits", visit())
    weighed = (await enrolment.get(single)).json()
    assert (weighed["cells_planned"], weighed["warnings"]) == (137_000_000, [])
    assert (await enrolment.get(f"{path}/infusions")).json()["items"] == [weighed]
    assert (weighed["version"], weighed["recorded_by"]) == (2, "investigator-1")
    before = made["recorded_at"].replace("+", "%2B")
    then = (await enrolment.get(f"{single}?as_of={before}")).json()
    assert then["cells_planned"] is None


async def test_a_corrected_weight_ends_the_deviation(enrolment: Enrolment, path: str) -> None:
    misread = visit(vital_signs={"weight_kg": Decimal("86.5")})
    await enrolment.made(f"{path}/visits", misread)
    made = await enrolment.made(f"{path}/infusions", infusion())
    assert ("/cells_given", "dose_differs_from_plan") in warned(made)
    fixed = await enrolment.post(f"{path}/visits", visit(change_reason="digits swapped"))
    closed = {one["code"] for one in fixed.json()["queries"]["closed"]}
    assert closed == {"dose_differs_from_plan"}
    found = (await enrolment.get(f"{path}/deviations")).json()["items"]
    assert "dose_differs_from_plan" not in {one["code"] for one in found}


async def test_a_second_infusion_of_one_day_is_warned_of(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/infusions", infusion())
    made = await enrolment.made(f"{path}/infusions", infusion("W2"))
    assert ("/started_at", "infusion_gap_short") in warned(made)


async def test_a_missed_infusion_is_skipped_and_not_doubled(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.made(f"{path}/visits", visit())
    await enrolment.made(f"{path}/infusions", infusion())
    missed = {"status": "missed", "reason": "fever"}
    await enrolment.made(f"{path}/visits/W2/plan", missed)
    await enrolment.made(f"{path}/visits", visit("W4", "2021-10-13"))
    made = await enrolment.made(f"{path}/infusions", infusion("W4", "2021-10-13"))
    assert (made["cells_planned"], made["warnings"]) == (137_000_000, [])


async def test_unscheduled_infusions_are_many(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/infusions", infusion("unscheduled"))
    await enrolment.made(f"{path}/infusions", infusion("unscheduled", SECOND))
    assert len((await enrolment.get(f"{path}/infusions")).json()["items"]) == 2


@pytest.mark.parametrize(
    ("stated", "fault"),
    [
        ({"visit": "W99"}, ("/visit", "unknown_visit")),
        ({"started_at": ago(hours=-1), "stopped_at": None}, ("/started_at", "in_the_future")),
        ({"stopped_at": ago(hours=-1)}, ("/stopped_at", "in_the_future")),
        ({"stopped_at": "2021-09-15T09:59:59+08:00"}, ("/stopped_at", "before_start")),
    ],
)
async def test_an_impossible_infusion_is_refused(
    enrolment: Enrolment, path: str, stated: dict[str, Any], fault: tuple[str, str]
) -> None:
    answer = await enrolment.post(f"{path}/infusions", infusion(**stated))
    assert answer.status_code == 422
    assert faults(answer) == {fault}


async def test_all_faults_of_an_infusion_are_told_at_once(enrolment: Enrolment, path: str) -> None:
    later = {"started_at": ago(hours=-1), "stopped_at": ago(hours=-2)}
    answer = await enrolment.post(f"{path}/infusions", infusion("W99", **later))
    assert faults(answer) == {
        ("/visit", "unknown_visit"),
        ("/started_at", "in_the_future"),
        ("/stopped_at", "in_the_future"),
    }


async def test_an_infusion_whose_visits_leave_the_calendar_is_refused(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.made(f"{path}/consents", consent(signed_at="1900-01-01T09:00:00+08:00"))
    answer = await enrolment.post(f"{path}/infusions", infusion(day="1900-01-28"))
    assert answer.status_code == 422
    assert faults(answer) == {("/started_at", "RANGE")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cells_given", 0),
        ("cells_given", Decimal("1.5")),
        ("cells_given", "137000000"),
        ("viability_percent", Decimal("100.1")),
        ("viability_percent", True),
        ("volume_ml", 0),
        ("batch", "x" * 65),
    ],
)
async def test_an_impossible_value_is_refused(
    enrolment: Enrolment, path: str, name: str, value: object
) -> None:
    answer = await enrolment.post(f"{path}/infusions", {**infusion(), name: value})
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {f"/{name}"}


async def test_infusions_need_enrolment(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    answer = await enrolment.post(f"{path}/infusions", infusion())
    assert kind(answer) == (409, "not-enrolled")


@pytest.mark.parametrize("scope", ["treatment", "data"])
async def test_infusions_need_both_consents(enrolment: Enrolment, path: str, scope: str) -> None:
    made = (await enrolment.get(f"{path}/consents")).json()["items"][0]
    body = {"withdrawn_at": "2021-09-20T09:00:00+08:00", "scope": [scope]}
    await enrolment.post(f"{path}/consents/{made['id']}/withdrawal", body)
    late = await enrolment.post(f"{path}/infusions", infusion("W2", SECOND))
    early = await enrolment.post(f"{path}/infusions", infusion())
    assert kind(late) == (409, "no-consent-in-force")
    assert wrote(early) == (201, "created")


async def test_nobody_is_infused_after_leaving(enrolment: Enrolment, path: str) -> None:
    left = {"status": "withdrawn", "date": "2021-09-20", "reason": "moved"}
    await enrolment.made(f"{path}/status", left)
    late = await enrolment.post(f"{path}/infusions", infusion("W2", SECOND))
    early = await enrolment.post(f"{path}/infusions", infusion())
    assert kind(late) == (409, "participation-ended")
    assert wrote(early) == (201, "created")
    assert (await enrolment.get(path)).json()["status"] == "withdrawn"


async def test_a_correction_is_a_new_version(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/infusions", infusion())
    at = f"{path}/infusions/{made['id']}"
    changed = infusion(batch="UC-2021-08", change_reason="misread")
    bare = await enrolment.put(at, changed)
    stale = await enrolment.put(at, changed, If_Match='"2"')
    silent = await enrolment.put(at, infusion(batch="UC-2021-08"), If_Match='"1"')
    done = await enrolment.put(at, changed, If_Match='"1"')
    again = await enrolment.put(at, changed, If_Match='"2"')
    versions = (await enrolment.get(f"{at}/versions")).json()["items"]
    assert (bare.status_code, stale.status_code, silent.status_code) == (428, 412, 422)
    assert faults(silent) == {("/change_reason", "change_reason_required")}
    assert (wrote(done), wrote(again)) == ((200, "updated"), (200, "unchanged"))
    assert [one["batch"] for one in versions] == ["UC-2021-07", "UC-2021-08"]


async def test_a_correction_names_a_visit_of_the_study(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/infusions", infusion())
    body = infusion("W99", change_reason="misread")
    answer = await enrolment.put(f"{path}/infusions/{made['id']}", body, If_Match='"1"')
    assert faults(answer) == {("/visit", "unknown_visit")}


async def test_a_correction_does_not_take_another_infusions_visit(
    enrolment: Enrolment, path: str
) -> None:
    first = await enrolment.made(f"{path}/infusions", infusion())
    second = await enrolment.made(f"{path}/infusions", infusion("W2", SECOND))
    moved = {**infusion("W0", SECOND), "change_reason": "wrong visit"}
    answer = await enrolment.put(f"{path}/infusions/{second['id']}", moved, If_Match='"1"')
    assert kind(answer) == (409, "infusion-recorded")
    assert first["id"] in answer.json()["detail"]


async def test_a_retracted_infusion_counts_for_nothing(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/infusions", infusion())
    at, reason = f"{path}/infusions/{made['id']}", {"reason": "other participant"}
    bare = await enrolment.post(f"{at}/retraction", reason)
    done = await enrolment.post(f"{at}/retraction", reason, If_Match='"1"')
    again = await enrolment.post(f"{at}/retraction", reason, If_Match='"2"')
    body = infusion(change_reason="after all")
    corrected = await enrolment.put(at, body, If_Match='"2"')
    schedule = (await enrolment.get(f"{path}/schedule")).json()
    assert bare.status_code == 428
    assert (wrote(done), wrote(again)) == ((200, "updated"), (200, "unchanged"))
    assert kind(corrected) == (409, "record-retracted")
    assert {one["is_projection"] for one in schedule["visits"]} == {True}


async def test_an_unknown_infusion_is_not_found(enrolment: Enrolment, path: str) -> None:
    reason = {"reason": "wrong"}
    missing = f"{path}/infusions/018f0000-0000-7000-8000-000000000000"
    assert (await enrolment.get(missing)).status_code == 404
    answer = await enrolment.post(f"{missing}/retraction", reason, If_Match='"1"')
    assert answer.status_code == 404


@pytest.mark.parametrize("role", ["auditor", "statistician", "safety_officer", "admin"])
async def test_only_writers_infuse(enrolment: Enrolment, path: str, role: str) -> None:
    assert (await enrolment.post(f"{path}/infusions", infusion(), role=role)).status_code == 403
