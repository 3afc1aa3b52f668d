from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.safety.safety_calls import Safety, adverse_event, faults, kind, seriousness, susar


async def taken(safety: Safety, **stated: Any) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of an adverse event that was reported by an investigator."""
    participant = await safety.participant()
    collection = f"/participants/{participant}/adverse-events"
    body = adverse_event(**stated)
    answer = await safety.post(collection, body, role="investigator")
    return f"{collection}/{answer.json()['id']}", body


def follow_up(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**body, **changes, "change_reason": "discharge letter"}


async def test_follow_up_information_is_a_new_version(safety: Safety) -> None:
    path, body = await taken(safety)
    changed = follow_up(body, seriousness=seriousness(hospitalization=True), ctcae_grade=3)
    answer = await safety.put(path, changed, role="investigator", If_Match='"1"')
    found = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert (found["write"], found["version"], found["classification"]) == ("updated", 2, "SUSAR")
    assert [(one["clock"], one["started_by_version"]) for one in found["clocks"]] == [
        ("SAE_TO_SPONSOR_24H", 2),
        ("SUSAR_INITIAL", 2),
    ]
    versions = (await safety.get(f"{path}/versions")).json()["items"]
    assert [(one["version"], one["ctcae_grade"]) for one in versions] == [(1, 1), (2, 3)]


async def test_the_same_content_again_is_unchanged(safety: Safety) -> None:
    path, body = await taken(safety)
    answer = await safety.put(path, follow_up(body), role="investigator", If_Match='"1"')
    assert (answer.status_code, answer.json()["write"]) == (200, "unchanged")
    assert answer.json()["version"] == 1


async def test_a_change_names_its_version_and_its_reason(safety: Safety) -> None:
    path, body = await taken(safety)
    changed = {**body, "ctcae_grade": 2}
    assert kind(await safety.put(path, changed)) == (428, "version-required")
    assert kind(await safety.put(path, follow_up(body), If_Match='"2"')) == (412, "stale")
    unexplained = await safety.put(path, changed, If_Match='"1"')
    assert kind(unexplained) == (422, "change-reason-required")
    assert faults(unexplained) == {("/change_reason", "change_reason_required")}


async def test_a_downgrade_stops_no_clock(safety: Safety) -> None:
    path, body = await taken(safety, **susar())
    changed = follow_up(body, seriousness=seriousness(), ctcae_grade=1)
    found = (await safety.put(path, changed, role="investigator", If_Match='"1"')).json()
    assert found["classification"] == "ADR"
    assert [(one["clock"], one["status"]) for one in found["clocks"]] == [
        ("SAE_TO_SPONSOR_24H", "open"),
        ("SUSAR_INITIAL", "open"),
    ]


async def test_a_report_entered_in_error_stays_readable(safety: Safety) -> None:
    path, body = await taken(safety, **susar())
    reason = {"reason": "another participant's"}
    assert kind(await safety.post(f"{path}/retraction", reason)) == (428, "version-required")
    answer = await safety.post(f"{path}/retraction", reason, If_Match='"1"')
    assert (answer.status_code, answer.json()["record_status"]) == (200, "retracted")
    again = await safety.post(f"{path}/retraction", reason, If_Match='"2"')
    assert again.json()["write"] == "unchanged"
    shown = (await safety.get(path)).json()
    assert (shown["record_status"], shown["version"]) == ("retracted", 2)
    assert {one["status"] for one in shown["clocks"]} == {"open"}
    late = await safety.put(path, follow_up(body), If_Match='"2"')
    assert kind(late) == (409, "record-retracted")


async def test_a_retracted_report_is_no_duplicate(safety: Safety) -> None:
    participant = await safety.participant()
    first = await safety.report(participant)
    path = f"/participants/{participant}/adverse-events/{first['id']}/retraction"
    await safety.post(path, {"reason": "in error"}, If_Match='"1"')
    assert (await safety.report(participant))["warnings"] == []


async def test_sponsor_and_investigator_state_apart(safety: Safety) -> None:
    path, body = await taken(safety, **susar(sponsor_causality=None))
    assert (await safety.get(path)).json()["transcribed"] == ["sponsor_aware_at"]
    opinion = {
        "term": body["term"],
        "sponsor_causality": "unrelated",
        "expected": True,
        "sponsor_aware_at": body["sponsor_aware_at"],
        "change_reason": "sponsor's assessment",
    }
    answer = await safety.put(path, opinion, role="safety_officer", If_Match='"1"')
    found = answer.json()
    assert answer.status_code == 200, answer.text
    assert (found["sponsor_causality"], found["expected"]) == ("unrelated", True)
    assert (found["investigator_causality"], found["onset"]) == ("probable", body["onset"])
    assert (found["suspected"], found["classification"]) == (True, "SAR")
    assert found["transcribed"] == ["sponsor_aware_at"]


@pytest.mark.parametrize(
    ("role", "changes", "pointers"),
    [
        ("safety_officer", {"investigator_causality": "unrelated"}, {"/investigator_causality"}),
        ("safety_officer", {"term": "chills", "ctcae_grade": 2}, {"/term", "/ctcae_grade"}),
        ("investigator", {"sponsor_causality": "unrelated"}, {"/sponsor_causality"}),
        ("coordinator", {"expected": True}, {"/expected"}),
        ("edc", {"sponsor_aware_at": "2021-10-05T15:00:00+08:00"}, {"/sponsor_aware_at"}),
    ],
)
async def test_nobody_changes_what_another_role_states(
    safety: Safety, role: str, changes: dict[str, Any], pointers: set[str]
) -> None:
    path, body = await taken(safety)
    answer = await safety.put(path, follow_up(body, **changes), role=role, If_Match='"1"')
    assert kind(answer) == (403, "not-allowed")
    assert faults(answer) == {(pointer, "not_yours") for pointer in pointers}


async def test_a_site_leaves_the_sponsors_members_as_they_stand(safety: Safety) -> None:
    path, body = await taken(safety, sponsor_causality="possible")
    less = {name: at for name, at in body.items() if not name.startswith("sponsor")}
    found = (await safety.put(path, follow_up(less, ctcae_grade=2), If_Match='"1"')).json()
    assert (found["ctcae_grade"], found["sponsor_causality"]) == (2, "possible")
    assert found["sponsor_aware_at"] == body["sponsor_aware_at"]


async def test_an_attested_judgement_stays_so_until_another_changes_it(safety: Safety) -> None:
    path, body = await taken(safety)
    kept = await safety.put(path, follow_up(body, ctcae_grade=2), role="edc", If_Match='"1"')
    assert kept.json()["unattested"] == []
    changes = {"investigator_causality": "unlikely", "seriousness": None}
    other = await safety.put(
        path, follow_up(body, ctcae_grade=2, **changes), role="coordinator", If_Match='"2"'
    )
    assert other.json()["unattested"] == ["investigator_causality"]
    attested = await safety.put(
        path, follow_up(body, ctcae_grade=3, **changes), role="investigator", If_Match='"3"'
    )
    assert attested.json()["unattested"] == []


async def test_an_unknown_participants_report_is_followed_up_at_its_site(safety: Safety) -> None:
    participant = uuid4()
    collection = f"/participants/{participant}/adverse-events"
    first = (await safety.post(collection, adverse_event(), sites=["GDTCM"])).json()
    path = f"{collection}/{first['id']}"
    changed = follow_up(adverse_event(), ctcae_grade=2)
    found = await safety.put(path, changed, sites=["GDTCM"], If_Match='"1"')
    assert (found.status_code, found.json()["version"]) == (200, 2)
    other = await safety.put(path, changed, sites=["OTHER"], If_Match='"2"')
    assert kind(other) == (404, "not-found")


async def test_a_report_of_another_participant_is_not_found(safety: Safety) -> None:
    path, body = await taken(safety)
    elsewhere = f"/participants/{await safety.participant()}/adverse-events/{path[-36:]}"
    assert kind(await safety.get(elsewhere)) == (404, "not-found")
    answer = await safety.put(elsewhere, follow_up(body), If_Match='"1"')
    assert kind(answer) == (404, "not-found")
    nothing = f"/participants/{await safety.participant()}/adverse-events/{UUID(int=1)}"
    assert kind(await safety.get(f"{nothing}/versions")) == (404, "not-found")


async def test_each_statement_has_its_person_and_time(safety: Safety) -> None:
    participant = await safety.participant()
    first = await safety.report(participant, expected=True)
    path = f"/participants/{participant}/adverse-events/{first['id']}"
    body = adverse_event(expected=True)
    attested = await safety.put(
        path, follow_up(body, ctcae_grade=2), role="investigator", If_Match='"1"'
    )
    opinion = follow_up({"term": "fever"}, sponsor_causality="unlikely", expected=True)
    opinion["sponsor_aware_at"] = body["sponsor_aware_at"]
    judged = await safety.put(path, opinion, role="safety_officer", If_Match='"2"')
    assert judged.status_code == 200, judged.text
    shown = (await safety.get(path)).json()
    assert shown["statements"] == judged.json()["statements"]
    said = {one["member"]: one for one in shown["statements"]}
    assert {
        name: (one["party"], one["stated_by"], one["version"], one["is_attested"])
        for name, one in said.items()
    } == {
        "investigator_causality": ("investigator", "investigator-1", 2, True),
        "seriousness": ("investigator", "investigator-1", 2, True),
        "expected": ("sponsor", "edc-1", 1, False),
        "sponsor_aware_at": ("sponsor", "edc-1", 1, False),
        "sponsor_causality": ("sponsor", "safety_officer-1", 3, True),
    }
    assert said["sponsor_causality"]["stated_at"] == shown["recorded_at"]
    assert said["seriousness"]["stated_at"] == attested.json()["recorded_at"]
    assert said["expected"]["stated_at"] == first["recorded_at"]
