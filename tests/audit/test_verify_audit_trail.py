"""Whoever changes the past in the database is found out, and the place is named."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from services.kernel.audit import chains
from tests.whole_system import WholeSystem, pasi


async def _changed(system: WholeSystem) -> str:
    """Return a participant with three events in scoring."""
    participant = await system.registered()
    await system.assessed(participant)
    path = f"/participants/{participant}/assessments"
    odd = await system.made(path, pasi())
    correction = {**pasi(odd=False), "change_reason": "misread"}
    answer = await system.call("PUT", f"{path}/{odd['id']}", correction, If_Match='"1"')
    assert answer.status_code == 200, answer.text
    return participant


@asynccontextmanager
async def _tampered(
    system: WholeSystem, statement: str, undo: str, *arguments: Any
) -> AsyncIterator[None]:
    await system.run("scoring", statement, *arguments)
    try:
        yield
    finally:
        await system.run("scoring", undo, *arguments)


async def _verification(system: WholeSystem) -> dict[str, Any]:
    return await system.read("/audit/verification")


async def test_an_untouched_trail_is_verified(system: WholeSystem) -> None:
    await _changed(system)
    found = await _verification(system)
    assert found["verified"]
    assert found["first_broken"] is None
    assert found["events"] > 0
    assert len(bytes.fromhex(found["root"])) == 32


_FLIPS = {
    "body": ("body = replace(body, '\"mm\"', '\"nm\"')", chains.WRONG_CONTENT),
    "header": ("actor = 'x' || substr(actor, 2)", chains.WRONG_CONTENT),
    "recorded_at": (
        "recorded_at = recorded_at + interval '1 microsecond'",
        chains.WRONG_CONTENT,
    ),
    "hash": ("hash = set_byte(hash, 7, 255 - get_byte(hash, 7))", chains.WRONG_CONTENT),
    "link": ("prev_hash = set_byte(prev_hash, 0, 255 - get_byte(prev_hash, 0))", chains.WRONG_LINK),
}


@pytest.mark.parametrize("what", _FLIPS)
async def test_one_flipped_byte_of_an_event_is_named(system: WholeSystem, what: str) -> None:
    participant = await _changed(system)
    first = (await system.events("scoring", participant))[0]
    change, fault = _FLIPS[what]
    here = "WHERE participant = $1 AND stream_version = 1"
    kept = "body = '{}', actor = '{}', recorded_at = '{}', hash = '\\x{}', prev_hash = '\\x{}'"
    before = kept.format(
        first["body"].replace("'", "''"),
        first["actor"],
        first["recorded_at"].isoformat(),
        first["hash"].hex(),
        first["prev_hash"].hex(),
    )
    await system.run("scoring", f"UPDATE event SET {change} {here}", participant)
    try:
        found = await _verification(system)
    finally:
        await system.run("scoring", f"UPDATE event SET {before} {here}", participant)
    assert not found["verified"]
    assert found["first_broken"] == {
        "service": "scoring",
        "participant": participant,
        "seq": first["position"],
        "fault": fault,
    }
    assert (await _verification(system))["verified"]


async def test_a_flipped_byte_of_a_stream_head_is_named(system: WholeSystem) -> None:
    participant = await _changed(system)
    last = (await system.events("scoring", participant))[-1]
    flip = (
        "UPDATE stream SET hash = set_byte(hash, 0, 255 - get_byte(hash, 0)) WHERE participant = $1"
    )
    async with _tampered(system, flip, flip, participant):
        found = await _verification(system)
    assert found["first_broken"] == {
        "service": "scoring",
        "participant": participant,
        "seq": last["position"],
        "fault": chains.WRONG_HEAD,
    }


async def test_a_changed_state_in_a_version_table_is_named(system: WholeSystem) -> None:
    participant = await _changed(system)
    first = (await system.events("scoring", participant))[0]
    flip = (
        "UPDATE assessment_version SET is_retracted = NOT is_retracted "
        "WHERE participant = $1 AND stream_version = 1"
    )
    async with _tampered(system, flip, flip, participant):
        found = await _verification(system)
    assert found["first_broken"] == {
        "service": "scoring",
        "participant": participant,
        "seq": first["position"],
        "fault": chains.WRONG_VERSION,
    }


_TYPED = {
    "scoring": ("assessment_version", "score = score {0} 1"),
    "safety": ("adverse_event_version", "is_suspected = NOT is_suspected"),
    "enrolment": ("consent_version", "signed_at = signed_at {0} interval '1 day'"),
}


@pytest.mark.parametrize("service", _TYPED)
async def test_a_changed_column_that_rules_read_is_named(system: WholeSystem, service: str) -> None:
    participant = await _changed(system)
    await system.reported(participant)
    table, change = _TYPED[service]
    version = f"SELECT min(stream_version) AS at FROM {table} WHERE participant = $1"
    at = (await system.run(service, version, participant))[0]["at"]
    event = (await system.events(service, participant))[at - 1]
    flip = f"UPDATE {table} SET {change} WHERE participant = $1 AND stream_version = $2"
    await system.run(service, flip.format("+"), participant, at)
    try:
        found = await _verification(system)
    finally:
        await system.run(service, flip.format("-"), participant, at)
    assert found["first_broken"] == {
        "service": service,
        "participant": participant,
        "seq": event["position"],
        "fault": chains.WRONG_VERSION,
    }
    assert (await _verification(system))["verified"]


@pytest.mark.parametrize(
    "which", [pytest.param(1, id="in the middle"), pytest.param(2, id="at the end of the chain")]
)
async def test_a_deleted_event_is_named(system: WholeSystem, which: int) -> None:
    participant = await _changed(system)
    await _changed(system)
    lost = (await system.events("scoring", participant))[which]
    there = "participant = $1 AND stream_version = $2"
    await system.run(
        "scoring", f"CREATE TABLE kept AS SELECT * FROM event WHERE {there}", participant, which + 1
    )
    await system.run("scoring", f"DELETE FROM event WHERE {there}", participant, which + 1)
    try:
        found = await _verification(system)
    finally:
        await system.run("scoring", "INSERT INTO event SELECT * FROM kept")
        await system.run("scoring", "DROP TABLE kept")
    assert found["first_broken"] == {
        "service": "scoring",
        "participant": participant,
        "seq": lost["position"],
        "fault": chains.MISSING,
    }


async def test_the_last_event_of_all_is_missed(system: WholeSystem) -> None:
    participant = await _changed(system)
    lost = (await system.events("scoring", participant))[-1]
    await system.run(
        "scoring", "CREATE TABLE kept AS SELECT * FROM event WHERE position = $1", lost["position"]
    )
    await system.run("scoring", "DELETE FROM event WHERE position = $1", lost["position"])
    try:
        found = await _verification(system)
    finally:
        await system.run("scoring", "INSERT INTO event SELECT * FROM kept")
        await system.run("scoring", "DROP TABLE kept")
    assert found["first_broken"] == {
        "service": "scoring",
        "participant": participant,
        "seq": lost["position"],
        "fault": chains.MISSING,
    }


async def test_a_chain_deleted_with_its_head_leaves_a_gap(system: WholeSystem) -> None:
    participant = await _changed(system)
    lost = await system.events("scoring", participant)
    for table in ("event", "stream"):
        await system.run(
            "scoring",
            f"CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE participant = $1",
            participant,
        )
        await system.run("scoring", f"DELETE FROM {table} WHERE participant = $1", participant)
    try:
        found = await _verification(system)
    finally:
        for table in ("event", "stream"):
            await system.run("scoring", f"INSERT INTO {table} SELECT * FROM kept_{table}")
            await system.run("scoring", f"DROP TABLE kept_{table}")
    assert found["first_broken"] == {
        "service": "scoring",
        "participant": None,
        "seq": lost[0]["position"],
        "fault": chains.MISSING,
    }


_SWAP = (
    "UPDATE event SET {0} = CASE {0} WHEN $2 THEN -1 ELSE -2 END "
    "WHERE participant = $1 AND {0} IN ($2, $3)"
)
_UNSWAP = (
    "UPDATE event SET {0} = CASE {0} WHEN -1 THEN $3::bigint ELSE $2::bigint END "
    "WHERE participant = $1 AND {0} < 0"
)


@pytest.mark.parametrize("order", ["position", "stream_version"])
async def test_a_reordered_event_is_named(system: WholeSystem, order: str) -> None:
    participant = await _changed(system)
    first, second, _ = await system.events("scoring", participant)
    both = (UUID(participant), first[order], second[order])

    async def swap() -> None:
        await system.run("scoring", _SWAP.format(order), *both)
        await system.run("scoring", _UNSWAP.format(order), *both)

    await swap()
    try:
        found = await _verification(system)
    finally:
        await swap()
    assert found["first_broken"] == {
        "service": "scoring",
        "participant": participant,
        "seq": first["position"],
        "fault": chains.WRONG_LINK,
    }
    assert (await _verification(system))["verified"]


async def test_only_an_auditor_verifies(system: WholeSystem) -> None:
    answer = await system.get("/audit/verification", role="coordinator")
    assert answer.status_code == 403
