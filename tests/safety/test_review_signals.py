from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.safety.safety_calls import Safety, faults, kind, seriousness, susar

PATH = "/safety/signals"


async def signals(safety: Safety, **caller: Any) -> list[dict[str, Any]]:
    caller = {"role": "safety_officer", **caller}
    answer = await safety.get(f"{PATH}?limit=500", **caller)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def of_participant(safety: Safety, participant: UUID, rule: str) -> list[dict[str, Any]]:
    return [
        one
        for one in await signals(safety)
        if one["participant"] == str(participant) and one["rule"] == rule
    ]


async def test_a_susar_asks_for_a_pause_of_its_participant(safety: Safety) -> None:
    participant = await safety.participant()
    taken = await safety.report(participant, **susar())
    (signal,) = await of_participant(safety, participant, "PARTICIPANT_SUSAR")
    assert (signal["scope"], signal["status"], signal["proposal"]) == (
        "participant",
        "raised",
        "pause_for_review",
    )
    (fact,) = signal["facts"]
    assert (fact["adverse_event"], fact["site"], fact["is_new"]) == (taken["id"], "GDTCM", True)
    assert signal["raised_at"] == taken["recorded_at"]
    assert signal["acknowledgements"] == []
    one = await safety.get(f"{PATH}/{signal['id']}", role="investigator", sites=["GDTCM"])
    assert one.json() == signal


async def test_a_person_acknowledges_with_a_reason(safety: Safety) -> None:
    participant = await safety.participant()
    await safety.report(participant, **susar())
    (signal,) = await of_participant(safety, participant, "PARTICIPANT_SUSAR")
    path = f"{PATH}/{signal['id']}/acknowledgement"
    answer = await safety.post(path, {"reason": "reviewed by the board"}, role="safety_officer")
    seen = answer.json()
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"].endswith(f"{PATH}/{signal['id']}")
    assert (seen["write"], seen["signal"], seen["recorded_by"]) == (
        "created",
        signal["id"],
        "safety_officer-1",
    )
    assert [one["id"] for one in seen["facts"]] == [signal["facts"][0]["id"]]
    again = await safety.post(path, {"reason": "reviewed by the board"}, role="investigator")
    assert (again.status_code, again.json()["write"]) == (200, "unchanged")
    other = await safety.post(path, {"reason": "other words"}, role="investigator")
    assert kind(other) == (409, "signal-acknowledged")
    (shown,) = await of_participant(safety, participant, "PARTICIPANT_SUSAR")
    assert (shown["status"], shown["facts"][0]["is_new"]) == ("acknowledged", False)
    assert [one["reason"] for one in shown["acknowledgements"]] == ["reviewed by the board"]
    past = await safety.get(
        f"{PATH}/{signal['id']}?as_of={signal['raised_at']}", role="safety_officer"
    )
    assert past.json()["status"] == "raised"


async def test_new_facts_raise_a_signal_again(safety: Safety) -> None:
    participant = await safety.participant()
    first = await safety.report(participant, **susar())
    (signal,) = await of_participant(safety, participant, "PARTICIPANT_SUSAR")
    path = f"{PATH}/{signal['id']}/acknowledgement"
    await safety.post(path, {"reason": "reviewed"}, role="safety_officer")
    second = await safety.report(participant, **susar(term="rash"))
    (raised,) = await of_participant(safety, participant, "PARTICIPANT_SUSAR")
    assert (raised["id"], raised["status"]) == (signal["id"], "raised")
    assert {one["adverse_event"]: one["is_new"] for one in raised["facts"]} == {
        first["id"]: False,
        second["id"]: True,
    }
    await safety.post(path, {"reason": "reviewed"}, role="safety_officer")
    body = {**susar(ctcae_grade=4), "change_reason": "worse"}
    event = f"/participants/{participant}/adverse-events/{first['id']}"
    await safety.put(event, body, If_Match='"1"')
    (worse,) = await of_participant(safety, participant, "PARTICIPANT_SUSAR")
    assert worse["status"] == "raised"


async def test_only_the_facts_that_were_seen_are_acknowledged(safety: Safety) -> None:
    participant = await safety.participant()
    await safety.report(participant, **susar())
    (signal,) = await of_participant(safety, participant, "PARTICIPANT_SUSAR")
    seen = [one["id"] for one in signal["facts"]]
    await safety.report(participant, **susar(term="rash"))
    path = f"{PATH}/{signal['id']}/acknowledgement"
    body = {"reason": "reviewed", "facts": seen}
    assert (await safety.post(path, body, role="safety_officer")).status_code == 201
    (shown,) = await of_participant(safety, participant, "PARTICIPANT_SUSAR")
    assert (shown["status"], sum(one["is_new"] for one in shown["facts"])) == ("raised", 1)
    unknown = await safety.post(
        path, {"reason": "x", "facts": [*seen, str(uuid4())]}, role="safety_officer"
    )
    assert faults(unknown) == {("/facts/1", "unknown_fact")}


async def test_a_report_entered_in_error_raises_nothing(safety: Safety) -> None:
    participant = await safety.participant()
    taken = await safety.report(participant, term="pregnancy", coding=None)
    (_,) = await of_participant(safety, participant, "PARTICIPANT_PREGNANCY")
    path = f"/participants/{participant}/adverse-events/{taken['id']}/retraction"
    await safety.post(path, {"reason": "in error"}, If_Match='"1"')
    assert await of_participant(safety, participant, "PARTICIPANT_PREGNANCY") == []


async def test_a_coded_term_counts_as_well(safety: Safety) -> None:
    participant = await safety.participant()
    coding = {"dictionary": "own", "term": "Pregnancy"}
    await safety.report(participant, term="positive test", coding=coding)
    assert await of_participant(safety, participant, "PARTICIPANT_PREGNANCY")


async def test_a_signal_of_the_study_shows_a_site_its_own_facts(safety: Safety) -> None:
    here, there = await safety.participant("SIGNAL"), await safety.participant("OTHER")
    severe = seriousness(death=True)
    await safety.report(here, term="collapse", ctcae_grade=5, seriousness=severe)
    await safety.report(there, term="collapse", ctcae_grade=5, seriousness=severe)
    shown = await signals(safety, role="investigator", sites=["SIGNAL"])
    assert {one["rule"] for one in shown} >= {"STUDY_DEATH_OR_GRADE_4", "PARTICIPANT_SUSAR"}
    for signal in shown:
        assert {fact["site"] for fact in signal["facts"]} == {"SIGNAL"}
    study = next(one for one in shown if one["rule"] == "STUDY_DEATH_OR_GRADE_4")
    assert (study["participant"], study["facts_at_other_sites"] > 0) == (None, True)
    path = f"{PATH}/{study['id']}/acknowledgement"
    answer = await safety.post(path, {"reason": "seen"}, role="investigator", sites=["SIGNAL"])
    assert {one["adverse_event"] for one in answer.json()["facts"]} == {
        one["adverse_event"] for one in study["facts"]
    }
    everywhere = next(one for one in await signals(safety) if one["id"] == study["id"])
    assert everywhere["status"] == "raised"
    elsewhere = await safety.get(f"{PATH}/{study['id']}", role="edc", sites=["PAST"])
    assert kind(elsewhere) == (404, "not-found")


async def test_facts_of_the_unverified_are_for_safety_roles(safety: Safety) -> None:
    participant = uuid4()
    path = f"/participants/{participant}/adverse-events"
    await safety.post(path, susar(), sites=["GDTCM"])
    assert await of_participant(safety, participant, "PARTICIPANT_SUSAR")
    shown = await signals(safety, role="investigator", sites=["GDTCM"])
    assert str(participant) not in {one["participant"] for one in shown}


async def test_signals_come_in_pages(safety: Safety) -> None:
    for _ in range(3):
        await safety.report(await safety.participant(), **susar())
    whole = await signals(safety)
    page = (await safety.get(f"{PATH}?limit=2", role="safety_officer")).json()
    items = page["items"]
    while page["next"]:
        answer = await safety.get(f"{PATH}?limit=2&after={page['next']}", role="safety_officer")
        page = answer.json()
        items += page["items"]
    assert items == whole
    quiet = await safety.get(f"{PATH}?status=acknowledged&limit=500", role="safety_officer")
    assert {one["status"] for one in quiet.json()["items"]} <= {"acknowledged"}


@pytest.mark.parametrize("role", ["edc", "coordinator", "auditor", "admin", "statistician"])
async def test_others_acknowledge_nothing(safety: Safety, role: str) -> None:
    answer = await safety.post(f"{PATH}/{uuid4()}/acknowledgement", {"reason": "x"}, role=role)
    assert kind(answer) == (403, "not-permitted")


async def test_an_unknown_signal_is_not_found(safety: Safety) -> None:
    path = f"{PATH}/{uuid4()}/acknowledgement"
    answer = await safety.post(path, {"reason": "x"}, role="safety_officer")
    assert kind(answer) == (404, "not-found")
