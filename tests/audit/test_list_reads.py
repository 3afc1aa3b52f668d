"""Which people were shown personal data is recorded, and told to the auditor."""

import asyncio
from typing import Any

from services.kernel.audit import ReadLog
from tests.whole_system import WholeSystem


async def _reads(system: WholeSystem, participant: str, query: str = "") -> list[dict[str, Any]]:
    """Return the reads about a participant, once what was noted is written."""
    services = ("enrolment", "scoring", "safety")
    held = [system.processes[name].app.state.holdings for name in services]
    await asyncio.gather(*(holdings[ReadLog].write() for holdings in held))
    page = await system.read(f"/audit/reads?participant={participant}{query}")
    found: list[dict[str, Any]] = page["items"]
    return found


async def test_reads_by_people_are_recorded(system: WholeSystem) -> None:
    participant = await system.registered()
    made = await system.assessed(participant)
    path = f"/participants/{participant}"
    await system.get(path, role="coordinator", X_Request_Id="read-of-coordinator")
    await system.get(f"{path}/assessments/{made['id']}", role="statistician")
    await system.get(f"{path}/adverse-events", role="safety_officer")
    await system.get(f"{path}/schedule", role="investigator")
    reads = await _reads(system, participant)
    assert [(one["service"], one["role"], one["operation"]) for one in reads] == [
        ("enrolment", "coordinator", "read_participant"),
        ("scoring", "statistician", "read_assessment"),
        ("safety", "safety_officer", "list_adverse_events"),
        ("enrolment", "investigator", "read_schedule"),
    ]
    assert reads[0]["actor"] == "coordinator-1"
    assert reads[0]["request_id"] == "read-of-coordinator"
    assert {one["site"] for one in reads} == {"GDTCM"}
    verified = await system.read("/audit/verification")
    assert verified["verified"]


async def test_a_read_by_the_senders_own_id_is_recorded(system: WholeSystem) -> None:
    participant = await system.registered()
    external = (await system.read(f"/participants/{participant}", role="edc"))["external_id"]
    await system.get(f"/participants/external:{external}", role="investigator")
    assert len(await _reads(system, participant)) == 1


async def test_machines_and_refused_reads_are_not(system: WholeSystem) -> None:
    participant = await system.registered()
    path = f"/participants/{participant}"
    own = {"participant": participant}
    await system.get(path, role="edc")
    await system.get(f"{path}/schedule", role="participant", claims=own)
    await system.get(path, role="coordinator", claims={"sites": ["OTHER"]})
    await system.get(f"{path}/consents", role="statistician")
    assert await _reads(system, participant) == []


async def test_lists_and_the_trail_itself_are_reads_too(system: WholeSystem) -> None:
    participant = await system.registered()
    for name in ("participants", "adverse-events", "audit"):
        await system.get(f"/{name}?limit=1", X_Request_Id="reads-of-lists")
    await _reads(system, participant)
    page = await system.read("/audit/reads?limit=500")
    operations = {
        one["operation"] for one in page["items"] if one["request_id"] == "reads-of-lists"
    }
    assert operations >= {"list_participants", "list_study_adverse_events", "read_audit"}


async def test_reads_are_filtered_and_paged(system: WholeSystem) -> None:
    participant = await system.registered()
    for role in ("coordinator", "investigator", "auditor"):
        await system.get(f"/participants/{participant}", role=role)
    every = await _reads(system, participant)
    assert [one["role"] for one in every] == ["coordinator", "investigator", "auditor"]
    first = await system.read(f"/audit/reads?participant={participant}&limit=2")
    rest = await system.read(
        f"/audit/reads?participant={participant}&limit=2&after={first['next']}"
    )
    assert [*first["items"], *rest["items"]] == every
    assert rest["next"] is None
    one = await _reads(system, participant, "&actor=investigator-1&operation=read_participant")
    assert one == [every[1]]
    assert await _reads(system, participant, f"&read_from={every[2]['read_at']}") == [every[2]]
    assert await _reads(system, participant, f"&read_to={every[1]['read_at']}") == [every[0]]


async def test_only_the_auditor_of_the_site_sees_them(system: WholeSystem) -> None:
    participant = await system.registered()
    await system.get(f"/participants/{participant}", role="coordinator")
    await _reads(system, participant)
    path = f"/audit/reads?participant={participant}"
    assert (await system.get(path, role="admin")).status_code == 403
    assert (await system.get(path, claims={"sites": ["OTHER"]})).json()["items"] == []
    assert len((await system.get(path, claims={"sites": ["GDTCM"]})).json()["items"]) == 1


async def test_what_was_noted_is_written_before_the_end(system: WholeSystem) -> None:
    participant = await system.registered()
    await system.get(f"/participants/{participant}", role="coordinator")
    await system.processes["enrolment"].stop()
    rows = await system.run(
        "enrolment", "SELECT actor FROM read_access WHERE participant = $1", participant
    )
    await system.processes["enrolment"].start()
    assert [row["actor"] for row in rows] == ["coordinator-1"]
