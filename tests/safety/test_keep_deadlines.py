from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from tests.safety.safety_calls import (
    Safety,
    adverse_event,
    earlier,
    faults,
    kind,
    seriousness,
    susar,
)

CLOSURE = {
    "submitted_at": "2021-10-12T10:00:00+08:00",
    "reference": "CDE-2021-4711",
    "reason": "report sent",
}


async def clocks_of(safety: Safety, participant: UUID, **stated: Any) -> tuple[str, list[Any]]:
    """Return the path of a new SUSAR's clocks, and the clocks."""
    taken = await safety.report(participant, **susar(**stated))
    path = f"/participants/{participant}/adverse-events/{taken['id']}/clocks"
    return path, (await safety.get(path)).json()["items"]


async def test_a_clock_says_when_it_is_due_and_by_which_rule(safety: Safety) -> None:
    path, (reported, initial) = await clocks_of(safety, await safety.participant())
    assert (reported["clock"], reported["due"]) == (
        "SAE_TO_SPONSOR_24H",
        "2021-10-05T09:00:00+08:00",
    )
    assert (initial["day0"], initial["due_date"], initial["basis_days"]) == (
        "2021-10-04",
        "2021-10-19",
        15,
    )
    for clock in (reported, initial):
        assert (clock["status"], clock["is_overdue"], clock["started_by_version"]) == (
            "open",
            True,
            1,
        )
        assert clock["rule"]
        assert clock["source"]
        assert (await safety.get(f"{path}/{clock['id']}")).json() == clock
    assert kind(await safety.get(f"{path}/{uuid4()}")) == (404, "not-found")


async def test_only_a_safety_officer_closes_a_clock(safety: Safety) -> None:
    path, (reported, initial) = await clocks_of(safety, await safety.participant())
    closure = f"{path}/{initial['id']}/closure"
    assert kind(await safety.post(closure, CLOSURE, role="investigator")) == (
        403,
        "not-permitted",
    )
    answer = await safety.post(closure, CLOSURE, role="safety_officer")
    closed = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"].endswith(f"{path}/{initial['id']}")
    assert (closed["write"], closed["id"], closed["clock"]) == (
        "created",
        initial["id"],
        "SUSAR_INITIAL",
    )
    again = await safety.post(closure, CLOSURE, role="safety_officer")
    assert (again.status_code, again.json()["write"]) == (200, "unchanged")
    other = await safety.post(closure, {"reason": "not needed"}, role="safety_officer")
    assert kind(other) == (409, "clock-closed")
    still_open, shown = (await safety.get(path)).json()["items"]
    assert (still_open["id"], still_open["status"]) == (reported["id"], "open")
    assert (shown["status"], shown["is_overdue"]) == ("closed", False)
    assert shown["closure"] | {"recorded_at": None} == CLOSURE | {
        "recorded_at": None,
        "recorded_by": "safety_officer-1",
        "is_late": False,
    }


async def test_a_closure_is_about_a_clock_that_runs_here(safety: Safety) -> None:
    path, (reported, _) = await clocks_of(safety, await safety.participant())
    unknown = await safety.post(f"{path}/{uuid4()}/closure", CLOSURE, role="safety_officer")
    assert kind(unknown) == (404, "not-found")
    late = {**CLOSURE, "submitted_at": "2199-01-01T00:00:00Z"}
    closure = f"{path}/{reported['id']}/closure"
    answer = await safety.post(closure, late, role="safety_officer")
    assert faults(answer) == {("/submitted_at", "in_the_future")}
    elsewhere = await safety.post(closure, CLOSURE, role="safety_officer", sites=["OTHER"])
    assert kind(elsewhere) == (404, "not-found")
    missing = await safety.post(closure, {}, role="safety_officer")
    assert faults(missing) == {("/reason", "required")}


async def test_a_late_submission_is_called_late(safety: Safety) -> None:
    path, (reported, initial) = await clocks_of(safety, await safety.participant())
    late = {**CLOSURE, "submitted_at": "2021-10-20T00:00:01+08:00"}
    await safety.post(f"{path}/{initial['id']}/closure", late, role="safety_officer")
    unsent = {"reason": "the sponsor was in the room"}
    await safety.post(f"{path}/{reported['id']}/closure", unsent, role="safety_officer")
    shown = (await safety.get(path)).json()["items"]
    assert [one["closure"]["is_late"] for one in shown] == [None, True]


async def test_a_clock_is_explained_fact_by_fact(safety: Safety) -> None:
    participant = await safety.participant()
    first = await safety.report(participant, expected=False)
    path = f"/participants/{participant}/adverse-events/{first['id']}"
    worse = seriousness(hospitalization=True)
    body = {
        **adverse_event(expected=False, seriousness=worse),
        "investigator_aware_at": "2021-10-06T08:00:00+08:00",
        "change_reason": "admitted",
    }
    changed = await safety.put(path, body, If_Match='"1"')
    assert changed.status_code == 200, changed.text
    reported, initial = (await safety.get(f"{path}/clocks")).json()["items"]
    hospital = {"pointer": "/seriousness/hospitalization", "value": True, "version": 2}
    assert reported["facts"] == [hospital]
    assert reported["counted_from"] == {
        "member": "investigator_aware_at",
        "at": "2021-10-06T08:00:00+08:00",
        "version": 2,
    }
    assert initial["facts"] == [
        hospital,
        {"pointer": "/investigator_causality", "value": "probable", "version": 1},
        {"pointer": "/expected", "value": False, "version": 1},
    ]
    assert (initial["counted_from"]["member"], initial["counted_from"]["version"]) == (
        "sponsor_aware_at",
        1,
    )


async def test_awareness_onset_and_entry_are_three_times(safety: Safety) -> None:
    participant = await safety.participant()
    silent = susar(investigator_aware_at=None, sponsor_aware_at=None)
    taken = await safety.report(participant, **silent)
    assert taken["onset"] < taken["recorded_at"]
    for clock in taken["clocks"]:
        assert clock["counted_from"]["member"] == "recorded_at"
        at = datetime.fromisoformat(clock["counted_from"]["at"])
        assert at == datetime.fromisoformat(taken["recorded_at"])


async def deadlines(safety: Safety, query: str, **caller: Any) -> list[dict[str, Any]]:
    answer = await safety.get(f"/safety/deadlines?{query}", role="safety_officer", **caller)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_deadlines_are_listed_by_urgency(safety: Safety) -> None:
    participant = await safety.participant()
    await safety.report(participant, **susar())
    soon = earlier(hours=2)
    await safety.report(
        participant,
        **susar(term="rash", investigator_aware_at=soon, sponsor_aware_at=soon),
    )
    found = await deadlines(safety, f"participant={participant}")
    assert [(one["clock"], one["is_overdue"]) for one in found] == [
        ("SAE_TO_SPONSOR_24H", True),
        ("SUSAR_INITIAL", True),
        ("SAE_TO_SPONSOR_24H", False),
        ("SUSAR_INITIAL", False),
    ]
    assert {(one["participant"], one["site"]) for one in found} == {(str(participant), "GDTCM")}
    in_a_day = (datetime.now(UTC) + timedelta(hours=24)).isoformat().replace("+", "%2B")
    due = await deadlines(safety, f"participant={participant}&due_before={in_a_day}")
    assert due == found[:3]
    overdue = await deadlines(safety, f"participant={participant}&status=overdue")
    assert overdue == found[:2]


async def test_deadlines_are_filtered_by_status_site_and_participant(safety: Safety) -> None:
    participant = await safety.participant("THIRD")
    path, (reported, initial) = await clocks_of(safety, participant)
    await safety.post(f"{path}/{reported['id']}/closure", CLOSURE, role="safety_officer")
    still_open = await deadlines(safety, f"participant={participant}&status=open")
    assert [one["id"] for one in still_open] == [initial["id"]]
    closed = await deadlines(safety, "site=THIRD&status=closed&limit=500")
    assert reported["id"] in {one["id"] for one in closed}
    own = await deadlines(safety, "limit=500", sites=["THIRD"])
    assert {one["site"] for one in own} == {"THIRD"}
    assert await deadlines(safety, f"participant={participant}&site=OTHER") == []
    assert await deadlines(safety, f"participant={uuid4()}") == []
    other = await safety.get("/safety/deadlines?site=OTHER", role="edc", sites=["THIRD"])
    assert kind(other) == (403, "not-permitted")


async def test_deadlines_come_in_pages_without_a_gap(safety: Safety) -> None:
    participant = await safety.participant()
    for day in range(4, 8):
        aware = f"2021-10-0{day}T09:00:00+08:00"
        await safety.report(participant, **susar(investigator_aware_at=aware))
    whole = await deadlines(safety, f"participant={participant}")
    page = (await safety.get(f"/safety/deadlines?participant={participant}&limit=3")).json()
    items = page["items"]
    while page["next"]:
        query = f"participant={participant}&limit=3&after={page['next']}"
        page = (await safety.get(f"/safety/deadlines?{query}")).json()
        items += page["items"]
    assert len(whole) == 8
    assert items == whole


async def test_deadlines_of_the_unverified_are_for_safety_roles(safety: Safety) -> None:
    participant = uuid4()
    path = f"/participants/{participant}/adverse-events"
    taken = (await safety.post(path, susar(), sites=["GDTCM"])).json()
    query = f"participant={participant}"
    assert {one["adverse_event"] for one in await deadlines(safety, query)} == {taken["id"]}
    site = await safety.get(f"/safety/deadlines?{query}", role="investigator", sites=["GDTCM"])
    assert site.json()["items"] == []
    everyone = await safety.get("/safety/deadlines?limit=500", role="investigator")
    assert taken["id"] not in {one["adverse_event"] for one in everyone.json()["items"]}


async def test_triage_ends_when_seriousness_is_decided(safety: Safety) -> None:
    participant = await safety.participant()
    taken = await safety.report(participant, seriousness=None)
    path = f"/participants/{participant}/adverse-events/{taken['id']}"
    body = {**adverse_event(), "change_reason": "judged"}
    await safety.put(path, body, If_Match='"1"')
    (triage,) = (await safety.get(f"{path}/clocks")).json()["items"]
    assert (triage["clock"], triage["status"], triage["ended_by_version"]) == (
        "TRIAGE_SERIOUSNESS_24H",
        "closed",
        2,
    )


async def test_a_24_hour_clock_runs_over_midnight_in_any_zone(safety: Safety) -> None:
    participant = await safety.participant()
    found = []
    for term, aware in (
        ("fever", "2021-10-31T23:30:00+08:00"),
        ("rash", "2021-10-31T15:30:00Z"),
        ("cough", "2021-10-31T10:30:00-05:00"),
    ):
        taken = await safety.report(
            participant, **susar(term=term, investigator_aware_at=aware, sponsor_aware_at=aware)
        )
        found.append(taken["clocks"])
    dues = {datetime.fromisoformat(reported["due"]) for reported, _ in found}
    assert dues == {datetime(2021, 11, 1, 15, 30, tzinfo=UTC)}
    assert {(initial["day0"], initial["due_date"]) for _, initial in found} == {
        ("2021-10-31", "2021-11-15")
    }
