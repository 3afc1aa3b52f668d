"""Safety goes on while everything else is down, and catches up afterwards: real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from tests.safety.safety_calls import adverse_event, susar
from tests.whole_system import SITE, WholeSystem, vas

SITES = {"sites": [SITE]}


@asynccontextmanager
async def safety_alone(system: WholeSystem) -> AsyncIterator[str]:
    """Lend a participant of whom safety never heard, while enrolment and scoring are down."""
    safety = system.processes["safety"]
    await safety.stop()
    participant = await system.registered()
    others = [system.processes[name] for name in ("enrolment", "scoring")]
    await asyncio.gather(*(one.stop() for one in others))
    await safety.start()
    try:
        yield participant
    finally:
        await asyncio.gather(*(one.start() for one in others))


async def test_safety_takes_reports_alone_and_catches_up(system: WholeSystem) -> None:
    known = await system.enrolled()
    infused = "2021-10-13T10:00:00+08:00"
    before = await system.reported(known, term="headache", onset="2021-10-13T12:00:00+08:00")
    async with safety_alone(system) as unknown:
        path = f"/participants/{known}/adverse-events"
        taken = await system.made(path, adverse_event(), role="edc", claims=SITES)
        assert taken["warnings"] == []
        body = {**adverse_event(ctcae_grade=2), "change_reason": "worse"}
        changed = await system.call(
            "PUT", f"{path}/{taken['id']}", body, role="edc", claims=SITES, If_Match='"1"'
        )
        assert (changed.status_code, changed.json()["version"]) == (200, 2)
        stranger = f"/participants/{unknown}/adverse-events"
        unverified = await system.made(stranger, susar(), role="edc", claims=SITES)
        assert [one["code"] for one in unverified["warnings"]] == ["participant_unverified"]
        assert (unverified["site"], unverified["classification"]) == (SITE, "SUSAR")
        due = await system.read(f"/safety/deadlines?participant={unknown}", role="safety_officer")
        assert len(due["items"]) == 2
        assessed = await system.call("POST", f"/participants/{known}/assessments", vas())
        assert assessed.status_code == 503
        nobody = await system.call(
            "POST", "/participants/external:nobody/adverse-events", adverse_event(), role="edc"
        )
        assert (nobody.status_code, nobody.headers["retry-after"]) == (503, "1")
    shown = await told(system, stranger, unverified["id"])
    assert (shown["warnings"], shown["site"]) == ([], SITE)
    infusion = {"visit": "W0", "started_at": infused, "cells_given": 137_000_000, "batch": "UC-1"}
    await system.made(f"/participants/{known}/infusions", infusion)
    soon = await emergent(system, f"{path}/{before['id']}")
    assert (soon["treatment_emergent"], soon["within_24h_of_infusion"]) == (True, True)


async def told(system: WholeSystem, path: str, record: str) -> dict[str, Any]:
    """Return a record once its site sees it, because the feed has told of its participant."""
    async with asyncio.timeout(30):
        while True:
            answer = await system.get(path, role="investigator", claims=SITES)
            if answer.status_code == 200 and answer.json()["items"]:
                return next(one for one in answer.json()["items"] if one["id"] == record)
            await asyncio.sleep(0.1)


async def emergent(system: WholeSystem, path: str) -> dict[str, Any]:
    """Return an adverse event once the feed has told of the infusion before it."""
    async with asyncio.timeout(30):
        while True:
            shown = await system.read(path, role="investigator")
            if shown["treatment_emergent"]:
                return shown
            await asyncio.sleep(0.1)


async def test_a_visits_adverse_events_are_taken_while_enrolment_is_down(
    system: WholeSystem,
) -> None:
    known = await system.enrolled()
    body = {
        "source_system": "edc",
        "source_ref": uuid4().hex,
        "site": SITE,
        "visit": {"code": "unscheduled", "date": "2021-10-14"},
        "adverse_events": [adverse_event(onset="2021-10-13")],
    }
    path = f"/participants/{known}"
    async with system.without("enrolment"):
        answer = await system.call("POST", f"{path}/visits", body, role="edc", claims=SITES)
        assert answer.status_code == 503
        taken = await system.read(f"{path}/adverse-events", role="investigator")
        assert [one["term"] for one in taken["items"]] == ["fever"]
    again = await system.call("POST", f"{path}/visits", body, role="edc", claims=SITES)
    assert again.status_code == 201, again.text
    events = await system.read(f"{path}/adverse-events", role="investigator")
    assert len(events["items"]) == 1
