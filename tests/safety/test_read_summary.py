from typing import Any

from tests.safety.safety_calls import Safety, adverse_event, seriousness


async def summary(safety: Safety, query: str = "", **caller: Any) -> dict[str, Any]:
    caller = {"role": "safety_officer", **caller}
    answer = await safety.get(f"/safety/summary{query}", **caller)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_subjects_count_once_and_events_every_time(safety: Safety) -> None:
    site = "SUMMARY"
    first, second, third = [await safety.participant(site) for _ in range(3)]
    for participant in (first, second):
        await safety.infuse(participant, "2021-10-01T10:00:00+08:00", site)
    coding = {"dictionary": "own", "term": "pyrexia"}
    await safety.report(first, soc="General", coding=coding)
    await safety.report(first, soc="General", term="pyrexia", onset="2021-10-05")
    await safety.report(
        second,
        soc="Infections",
        term="pneumonia",
        seriousness=seriousness(death=True),
        ctcae_grade=5,
    )
    await safety.report(third, term="before any infusion")
    retracted = await safety.report(second, term="in error")
    path = f"/participants/{second}/adverse-events/{retracted['id']}/retraction"
    await safety.post(path, {"reason": "in error"}, If_Match='"1"')
    found = await summary(safety, sites=[site])
    assert found["n_at_risk"] == 2
    assert (found["any_event_subjects"], found["any_event_events"]) == (2, 3)
    assert found["by_pt"] == [
        {"soc": "General", "pt": "pyrexia", "subjects": 1, "events": 2},
        {"soc": "Infections", "pt": "pneumonia", "subjects": 1, "events": 1},
    ]
    assert found["deaths"] == found["serious"] == {"subjects": 1, "events": 1}
    assert found["not_at_risk"] == {"subjects": 1, "events": 1}
    assert found["ctgov"]["otherEvents"] == [found["by_pt"][0]]
    assert found["ctgov"]["seriousEvents"] == [found["by_pt"][1]]


async def test_a_summary_is_answered_as_it_was_known(safety: Safety) -> None:
    site = "PAST"
    participant = await safety.participant(site)
    await safety.infuse(participant, "2021-10-01T10:00:00+08:00", site)
    taken = await safety.report(participant)
    moment = taken["recorded_at"]
    path = f"/participants/{participant}/adverse-events/{taken['id']}"
    changed = {**adverse_event(seriousness=seriousness(disability=True)), "change_reason": "x"}
    await safety.put(path, changed, If_Match='"1"')
    past = await summary(safety, f"?as_of={moment}", sites=[site])
    now = await summary(safety, sites=[site])
    assert (past["serious"]["events"], now["serious"]["events"]) == (0, 1)
    before = await summary(safety, "?as_of=2020-01-01T00:00:00Z", sites=[site])
    assert (before["n_at_risk"], before["any_event_events"]) == (0, 0)


async def test_deaths_from_any_cause_and_events_that_led_to_a_stop(safety: Safety) -> None:
    site = "STOPS"
    first, second, third = [await safety.participant(site) for _ in range(3)]
    for participant in (first, second, third):
        await safety.infuse(participant, "2021-10-01T10:00:00+08:00", site)
    fatal = seriousness(death=True)
    await safety.report(first, action_taken="withdrawn", seriousness=fatal, ctcae_grade=5)
    await safety.report(first, term="rash", action_taken="interrupted")
    await safety.end(second, "died", "2021-12-01", site)
    await safety.end(third, "completed", "2021-12-01", site)
    found = await summary(safety, sites=[site])
    assert found["leading_to_stop"] == found["deaths"] == {"subjects": 1, "events": 1}
    assert (found["ctgov"]["deathsNumAffected"], found["ctgov"]["deathsNumAtRisk"]) == (2, 3)
    assert found["by_grade"] == {
        "1": {"subjects": 1, "events": 1},
        "5": {"subjects": 1, "events": 1},
    }
    assert found["by_relationship"] == {"suspected": {"subjects": 1, "events": 2}}


async def test_only_treatment_emergent_events_are_counted_when_asked(safety: Safety) -> None:
    site = "EMERGENT"
    participant = await safety.participant(site)
    await safety.infuse(participant, "2021-10-01T10:00:00+08:00", site)
    await safety.report(participant, onset="2021-09-30", term="before")
    await safety.report(participant, onset="2022-03-25", term="last day")
    await safety.report(participant, onset="2022-03-26", term="a day late")
    await safety.report(participant, onset="2021", term="some day")
    found = await summary(safety, "?treatment_emergent=true", sites=[site])
    assert [row["pt"] for row in found["by_pt"]] == ["last day", "some day"]
    assert found["any_event_events"] == found["treatment_emergent"]["events"] == 2
    assert (await summary(safety, sites=[site]))["any_event_events"] == 4
