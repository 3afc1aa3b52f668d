"""One visit in one request, through the gateway to three running services."""

import asyncio
from typing import Any

from tests.gateway_visits.visit_calls import (
    faults,
    fever,
    kind,
    laboratory,
    sent,
    unscheduled,
    w0,
    written,
)
from tests.whole_system import WholeSystem, pasi, vas


async def test_a_visit_is_written_whole(system: WholeSystem) -> None:
    participant = await system.enrolled()
    answer = await sent(system, participant, w0())
    receipt = answer.json()
    assert (answer.status_code, receipt["write"]) == (201, "created")
    assert answer.headers["location"].endswith(f"/visits/{receipt['visit']['id']}")
    held = {"code": "W0", "target_date": "2021-09-14", "timing": "in_window", "days_from_target": 0}
    assert held.items() <= receipt["visit"].items()
    assert [(one["pointer"], one["version"], one["write"]) for one in receipt["parts"]] == [
        ("/assessments/0", 1, "created"),
        ("/assessments/1", 1, "created"),
        ("/vital_signs", 1, "created"),
        ("/laboratory_results/0", 1, "created"),
        ("/infusion", 1, "created"),
        ("/adverse_events/0", 1, "created"),
    ]
    assert receipt["parts"][0]["derived"]["pasi"] == 3
    assert receipt["deviations"] == []
    assert {one["service"] for one in receipt["events"]} == {"enrolment", "scoring", "safety"}


async def test_the_receipt_names_the_visits_own_events(system: WholeSystem) -> None:
    participants = [await system.registered() for _ in range(4)]
    answers = await asyncio.gather(*(sent(system, one, unscheduled()) for one in participants))
    for participant, answer in zip(participants, answers, strict=True):
        for event in answer.json()["events"]:
            own = await system.events(event["service"], participant)
            assert event["seq"] == own[-1]["position"]


async def test_warnings_and_deviations_are_told_by_pointer(system: WholeSystem) -> None:
    participant = await system.enrolled()
    body = w0()
    body["assessments"][0] = pasi(assessed_at="2021-09-14T09:00:00+08:00")
    del body["assessments"][0]["visit"]
    body["infusion"]["cells_given"] = 1_000_000
    receipt = (await sent(system, participant, body)).json()
    assert {(one["pointer"], one["code"]) for one in receipt["warnings"]} == {
        ("/assessments/0/answers/regions/head", "AREA_WITHOUT_SEVERITY"),
        ("/infusion/cells_given", "dose_differs_from_plan"),
    }
    assert [one["code"] for one in receipt["deviations"]] == ["dose_differs_from_plan"]


async def test_the_same_visit_again_changes_nothing(system: WholeSystem) -> None:
    participant = await system.enrolled()
    body = w0()
    first = (await sent(system, participant, body)).json()
    again = await sent(system, participant, body)
    assert (again.status_code, again.json()["write"]) == (200, "unchanged")
    assert {one["write"] for one in again.json()["parts"]} == {"unchanged"}
    assert [one["id"] for one in again.json()["parts"]] == [one["id"] for one in first["parts"]]
    assert again.json()["events"] == []


async def test_a_visit_without_references_is_recognised_by_kind_and_time(
    system: WholeSystem,
) -> None:
    participant = await system.registered()
    body = unscheduled()
    del body["source_system"], body["source_ref"]
    await sent(system, participant, body)
    again = await sent(system, participant, body)
    assert (again.status_code, again.json()["write"]) == (200, "unchanged")


async def test_twenty_at_once_are_one_visit(system: WholeSystem) -> None:
    participant = await system.registered()
    body = unscheduled()
    answers = await asyncio.gather(*(sent(system, participant, body) for _ in range(20)))
    statuses = sorted(one.status_code for one in answers)
    assert set(statuses) <= {200, 201, 409}
    assert sum(one.json().get("write") == "created" for one in answers) == 1
    visits = [
        one for one in await system.events("enrolment", participant) if one["resource"] == "visit"
    ]
    counts = await written(system, participant)
    assert (len(visits), counts["scoring"], counts["safety"]) == (1, 1, 1)


async def test_visits_may_come_out_of_order(system: WholeSystem) -> None:
    participant = await system.enrolled()
    await sent(system, participant, w0())
    for code, day in (("W4", "2021-10-12"), ("W2", "2021-09-28")):
        body = {"visit": {"code": code, "date": day}, "vital_signs": {"weight_kg": 70}}
        answer = await sent(system, participant, body)
        assert (answer.status_code, answer.json()["visit"]["timing"]) == (201, "in_window")


async def test_only_changed_parts_get_a_new_version(system: WholeSystem) -> None:
    participant = await system.enrolled()
    body = w0()
    await sent(system, participant, body)
    before = await written(system, participant)
    body["assessments"][1]["answers"]["value"] = 12
    refused = await sent(system, participant, body)
    assert faults(refused) == {("/change_reason", "change_reason_required")}
    assert await written(system, participant) == before
    done = await sent(system, participant, {**body, "change_reason": "misread"})
    assert (done.status_code, done.json()["write"]) == (200, "updated")
    assert {one["pointer"]: (one["version"], one["write"]) for one in done.json()["parts"]} == {
        "/assessments/0": (1, "unchanged"),
        "/assessments/1": (2, "updated"),
        "/vital_signs": (1, "unchanged"),
        "/laboratory_results/0": (1, "unchanged"),
        "/infusion": (1, "unchanged"),
        "/adverse_events/0": (1, "unchanged"),
    }


async def test_every_kind_of_part_can_be_corrected(system: WholeSystem) -> None:
    participant = await system.enrolled()
    body = w0()
    await sent(system, participant, body)
    body["vital_signs"] = {"weight_kg": 71}
    body["laboratory_results"][0]["results"][0]["value"] = 23
    body["infusion"]["batch"] = "UC-2021-10"
    body["adverse_events"][0]["outcome"] = "recovered"
    done = (await sent(system, participant, {**body, "change_reason": "query 17"})).json()
    changed = {one["pointer"] for one in done["parts"] if one["write"] == "updated"}
    assert changed == {
        "/vital_signs",
        "/laboratory_results/0",
        "/infusion",
        "/adverse_events/0",
    }


async def test_absent_parts_stay(system: WholeSystem) -> None:
    participant = await system.enrolled()
    body = w0()
    await sent(system, participant, body)
    few = {name: body[name] for name in ("source_system", "source_ref", "visit")}
    few["assessments"] = body["assessments"][:1]
    answer = await sent(system, participant, few)
    assert (answer.status_code, answer.json()["write"]) == (200, "unchanged")
    visit = await system.read(f"/participants/{participant}/visits/W0")
    assert visit["vital_signs"]["weight_kg"] == 70


async def test_a_reference_stays_with_its_visits_code(system: WholeSystem) -> None:
    participant = await system.enrolled()
    await sent(system, participant, w0())
    wrong = {
        **unscheduled(),
        "visit": {"code": "W2", "date": "2021-10-12"},
    }
    del wrong["assessments"], wrong["adverse_events"]
    assert (await sent(system, participant, wrong)).status_code == 201
    right = {**wrong, "visit": {"code": "W4", "date": "2021-10-12"}, "change_reason": "wrong form"}
    assert kind(await sent(system, participant, right)) == (409, "source-already-used")


async def test_a_reference_belongs_to_one_participant(system: WholeSystem) -> None:
    body = unscheduled()
    await sent(system, await system.registered(), body)
    other = await sent(system, await system.registered(), body)
    assert kind(other) == (409, "source-already-used")


async def test_every_fault_of_every_part_is_told_at_once(system: WholeSystem) -> None:
    participant = await system.enrolled()
    before = await written(system, participant)
    body = w0()
    body["unknown"] = 1
    body["assessments"][0]["answers"]["regions"]["head"]["erythema"] = 5
    del body["assessments"][1]["assessed_at"]
    body["assessments"].append({**body["assessments"][0], "instrument": "none"})
    body["vital_signs"]["weight_kg"] = 0
    body["laboratory_results"][0]["results"][0]["value"] = "22"
    body["laboratory_results"].append(laboratory(collected_at="2099-01-01T09:00:00Z"))
    body["infusion"] |= {"viability_percent": 101, "stopped_at": "2021-09-14T10:00:00+08:00"}
    body["adverse_events"][0]["ctcae_grade"] = 6
    body["adverse_events"].append({"onset": "2099"})
    body["adverse_events"].append({"term": "cough", "onset": "2099-01-01", "visit": "W0"})
    answer = await sent(system, participant, body)
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {
        "/unknown",
        "/assessments/0/answers/regions/head/erythema",
        "/assessments/1/assessed_at",
        "/assessments/2/instrument",
        "/vital_signs/weight_kg",
        "/laboratory_results/0/results/0/value",
        "/laboratory_results/1/collected_at",
        "/infusion/viability_percent",
        "/adverse_events/0/ctcae_grade",
        "/adverse_events/1/term",
        "/adverse_events/2/visit",
        "/adverse_events/2/onset",
    }
    assert await written(system, participant) == before


async def test_a_fault_of_the_visit_itself_hides_no_other(system: WholeSystem) -> None:
    participant = await system.registered()
    body: dict[str, Any] = unscheduled()
    body["visit"] = {"code": "W99", "date": "2099-01-01"}
    body["assessments"][0]["answers"]["value"] = 101
    told = faults(await sent(system, participant, body))
    assert told == {
        ("/visit/code", "unknown_visit"),
        ("/visit/date", "in_the_future"),
        ("/assessments/0/answers/value", "value:RANGE"),
    }
    del body["visit"], body["source_system"]
    told = faults(await sent(system, participant, body))
    assert {at for at, _ in told} == {"/visit", "", "/assessments/0/answers/value"}


async def test_a_refusal_by_state_records_the_adverse_events(system: WholeSystem) -> None:
    participant = await system.registered()
    refused = await sent(system, participant, w0())
    assert kind(refused) == (409, "not-enrolled")
    (part,) = refused.json()["parts"]
    assert (part["pointer"], part["write"]) == ("/adverse_events/0", "created")
    assert (await system.read(f"/participants/{participant}/assessments"))["items"] == []
    again = await sent(system, participant, w0())
    assert [one["write"] for one in again.json()["parts"]] == ["created"]
    listed = await system.read(f"/participants/{participant}/adverse-events")
    assert [one["term"] for one in listed["items"]] == ["fever", "fever"]


async def test_a_refused_visits_adverse_events_are_recorded_once(system: WholeSystem) -> None:
    participant = await system.registered()
    body = w0()
    first = (await sent(system, participant, body)).json()
    again = (await sent(system, participant, body)).json()
    assert [one["id"] for one in again["parts"]] == [one["id"] for one in first["parts"]]
    assert [one["write"] for one in again["parts"]] == ["unchanged"]


async def test_impossible_values_win_over_the_state(system: WholeSystem) -> None:
    participant = await system.registered()
    body = w0()
    body["assessments"][1]["answers"]["value"] = 101
    refused = await sent(system, participant, body)
    assert refused.status_code == 422
    assert (await system.read(f"/participants/{participant}/adverse-events"))["items"] == []


async def test_validation_says_all_and_writes_nothing(system: WholeSystem) -> None:
    participant = await system.enrolled()
    before = await written(system, participant)
    body = w0()
    said = await sent(system, participant, body, "?validate_only=true")
    assert (said.status_code, said.json()["write"]) == (200, "created")
    assert {one["id"] for one in said.json()["parts"]} == {None}
    assert said.json()["events"] == []
    body["assessments"][1]["answers"]["value"] = 101
    refused = await sent(system, participant, body, "?validate_only=true")
    assert faults(refused) == {("/assessments/1/answers/value", "value:RANGE")}
    assert await written(system, participant) == before


async def test_validation_of_a_refused_visit_writes_no_adverse_event(system: WholeSystem) -> None:
    participant = await system.registered()
    refused = await sent(system, participant, w0(), "?validate_only=true")
    assert (kind(refused), refused.json()["parts"]) == ((409, "not-enrolled"), [])
    assert (await system.read(f"/participants/{participant}/adverse-events"))["items"] == []


async def test_a_key_gets_the_first_answer_byte_for_byte(system: WholeSystem) -> None:
    participant = await system.registered()
    body, key = unscheduled(), f"visit-{participant}"
    first = await sent(system, participant, body, Idempotency_Key=key)
    again = await sent(system, participant, body, Idempotency_Key=f'"{key}"')
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = {**body, "vital_signs": {"weight_kg": 71}}
    refused = await sent(system, participant, other, Idempotency_Key=key)
    assert kind(refused) == (422, "key-reused")


async def test_a_refused_request_may_be_corrected_under_its_key(system: WholeSystem) -> None:
    participant = await system.registered()
    body, key = unscheduled(), f"visit-{participant}"
    body["assessments"][0]["answers"]["value"] = 101
    refused = await sent(system, participant, body, Idempotency_Key=key)
    body["assessments"][0]["answers"]["value"] = 41
    done = await sent(system, participant, body, Idempotency_Key=key)
    assert (refused.status_code, done.status_code) == (422, 201)


async def test_twenty_at_once_under_one_key_get_one_answer(system: WholeSystem) -> None:
    participant = await system.registered()
    body, key = unscheduled(), f"visit-{participant}"
    answers = await asyncio.gather(
        *(sent(system, participant, body, Idempotency_Key=key) for _ in range(20))
    )
    good = [one for one in answers if one.status_code == 201]
    assert {one.status_code for one in answers} <= {201, 409}
    assert len({one.content for one in good}) == 1
    assert len((await system.read(f"/participants/{participant}/adverse-events"))["items"]) == 1


async def test_another_sites_participant_is_not_known(system: WholeSystem) -> None:
    participant = await system.registered()
    answer = await sent(system, participant, unscheduled(), claims={"sites": ["OTHER"]})
    assert kind(answer) == (404, "not-found")
    assert (await system.read(f"/participants/{participant}/adverse-events"))["items"] == []


async def test_an_auditor_posts_no_visit(system: WholeSystem) -> None:
    answer = await sent(system, await system.registered(), unscheduled(), role="auditor")
    assert answer.status_code == 403


async def test_two_alike_parts_are_refused(system: WholeSystem) -> None:
    participant = await system.registered()
    one = vas()
    del one["visit"]
    answer = await sent(system, participant, {**unscheduled(), "assessments": [one, one]})
    assert faults(answer) == {("/assessments/1", "part_repeated")}
    both = {**unscheduled(), "adverse_events": [fever(), fever()]}
    listed = (await sent(system, participant, both)).json()["parts"]
    assert [part["write"] for part in listed if "adverse" in part["pointer"]] == ["created"] * 2
