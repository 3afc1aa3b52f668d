"""What an auditor holds outside of the system: exports, checkpoints, proofs, and the script."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tree import inclusion_path, tree_hash
from tests.whole_system import SERVICES, WholeSystem, pasi
from verify_audit_export import Broken, main, root_by_path, tree_root

SCRIPT = Path(__file__).parents[2] / "verify_audit_export.py"


async def _participant(system: WholeSystem) -> str:
    """Return a participant with several events in each service."""
    participant = await system.registered()
    path = f"/participants/{participant}"
    odd = await system.made(f"{path}/assessments", pasi())
    correction = {**pasi(odd=False), "change_reason": "misread"}
    await system.call("PUT", f"{path}/assessments/{odd['id']}", correction, If_Match='"1"')
    await system.reported(participant)
    await system.reported(participant, term="cough")
    return participant


async def _exported(system: WholeSystem, folder: Path, *, state: bool = True) -> Path:
    answer = await system.get(f"/audit?state={state}", Accept="application/x-ndjson")
    path = folder / "export.ndjson"
    path.write_bytes(answer.content)
    return path


async def _kept(system: WholeSystem, folder: Path) -> Path:
    path = folder / "checkpoint.json"
    path.write_bytes((await system.get("/audit/checkpoint")).content)
    return path


def _outcome(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Any]:
    code = main([str(one) for one in arguments])
    return code, json.loads(capsys.readouterr().out)


@asynccontextmanager
async def _without_rows(
    system: WholeSystem, service: str, table: str, condition: str, *arguments: Any
) -> AsyncIterator[None]:
    await system.run(
        service, f"CREATE TABLE kept AS SELECT * FROM {table} WHERE {condition}", *arguments
    )
    await system.run(service, f"DELETE FROM {table} WHERE {condition}", *arguments)
    try:
        yield
    finally:
        await system.run(service, f"INSERT INTO {table} SELECT * FROM kept")
        await system.run(service, "DROP TABLE kept")


async def test_an_export_holds_without_the_system(system: WholeSystem, tmp_path: Path) -> None:
    await _participant(system)
    kept = await _kept(system, tmp_path)
    await _participant(system)
    export = await _exported(system, tmp_path)
    # Isolated: no path, no environment, no packages of this project.
    command = ("-I", "-S", SCRIPT, export, "--checkpoint", kept)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *map(str, command), stdout=PIPE, cwd=tmp_path
    )
    found = json.loads((await process.communicate())[0])
    verification = await system.read("/audit/verification")
    assert (process.returncode, found["verified"]) == (0, True)
    assert (found["events"], found["root"]) == (verification["events"], verification["root"])


@pytest.mark.parametrize("service", SERVICES)
async def test_one_byte_changed_in_the_database_is_found_and_placed(
    system: WholeSystem, service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    participant = await _participant(system)
    event = (await system.events(service, participant))[-1]
    one = "WHERE participant = $1 AND stream_version = $2"
    at = event["body"].index('"version"') + 1
    flip = f"UPDATE event SET body = overlay(body PLACING $3 FROM {at + 1} FOR 1) {one}"
    key = (participant, event["stream_version"])
    await system.run(service, flip, *key, "V")
    try:
        verification = await system.read("/audit/verification")
        export = await _exported(system, tmp_path)
    finally:
        await system.run(service, flip, *key, "v")
    where = {"service": service, "participant": participant, "seq": event["position"]}
    fault = "the content does not match its hash"
    assert verification["first_broken"] == {**where, "fault": fault}
    assert _outcome(capsys, export) == (1, {"verified": False, **where, "fault": fault})
    assert (await system.read("/audit/verification"))["verified"]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_removed_event_is_found_and_placed(
    system: WholeSystem, service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    participant = await _participant(system)
    event = (await system.events(service, participant))[0]
    async with _without_rows(system, service, "event", "position = $1", event["position"]):
        export = await _exported(system, tmp_path)
    code, found = _outcome(capsys, export)
    assert (code, found["fault"]) == (1, "an event is missing here")
    assert (found["service"], found["seq"]) == (service, event["position"])


async def test_a_cut_off_end_is_found_by_a_kept_checkpoint(
    system: WholeSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    participant = await _participant(system)
    kept = await _kept(system, tmp_path)
    last = (await system.events("scoring", participant))[-1]
    # Whoever cuts well also moves the head and the counter back: the chain alone looks whole.
    head = "UPDATE stream SET version = version {0} 1, hash = $2 WHERE participant = $1"
    count = "UPDATE feed_counter SET position = position {0} 1"
    rows = _without_rows(system, "scoring", "event", "position = $1", last["position"])
    versions = _without_rows_of_versions(system, last)
    async with versions, rows:
        await system.run("scoring", head.format("-"), participant, last["prev_hash"])
        await system.run("scoring", count.format("-"))
        try:
            assert (await system.read("/audit/verification"))["verified"]
            export = await _exported(system, tmp_path)
            proof = await system.get(_proof_path(kept, "scoring", 1))
        finally:
            await system.run("scoring", head.format("+"), participant, last["hash"])
            await system.run("scoring", count.format("+"))
    assert _outcome(capsys, export)[0] == 0
    fault = "the trail ends before the checkpoint"
    where = {"service": "scoring", "seq": last["position"]}
    assert _outcome(capsys, export, "--checkpoint", kept) == (
        1,
        {"verified": False, "fault": fault, **where},
    )
    assert proof.status_code == 409
    assert proof.json()["type"] == "/problems/checkpoint-broken"


@asynccontextmanager
async def _without_rows_of_versions(system: WholeSystem, event: Any) -> AsyncIterator[None]:
    at = (event["participant"], event["stream_version"])
    condition = "participant = $1 AND stream_version = $2"
    make = f"CREATE TABLE kept_versions AS SELECT * FROM assessment_version WHERE {condition}"
    await system.run("scoring", make, *at)
    await system.run("scoring", f"DELETE FROM assessment_version WHERE {condition}", *at)
    yield
    await system.run("scoring", "INSERT INTO assessment_version SELECT * FROM kept_versions")
    await system.run("scoring", "DROP TABLE kept_versions")


def _edited(export: Path, edit: Any) -> Path:
    rows = [json.loads(line) for line in export.read_bytes().splitlines()]
    edit(rows)
    export.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return export


def _swap(rows: list[Any]) -> None:
    own = [at for at, row in enumerate(rows) if row["service"] == "scoring"]
    rows[own[0]], rows[own[1]] = rows[own[1]], rows[own[0]]


def _change_told(rows: list[Any]) -> None:
    rows[0]["changes"][0]["new"] = "another value"


def _change_state(rows: list[Any]) -> None:
    rows[0]["state"] = rows[0]["state"].replace(":", ": ", 1)


def _change_actor(rows: list[Any]) -> None:
    rows[0]["actor"] = "somebody"


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (_swap, "an event is missing here"),
        (_change_told, "the changes told are not those of the record"),
        (_change_state, "the state does not match its digest"),
        (_change_actor, "the content does not match its hash"),
    ],
)
async def test_an_edited_export_does_not_hold(
    system: WholeSystem,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    edit: Any,
    fault: str,
) -> None:
    await _participant(system)
    code, found = _outcome(capsys, _edited(await _exported(system, tmp_path), edit))
    assert (code, found["fault"]) == (1, fault)


async def test_a_checkpoint_is_signed_with_the_published_key(system: WholeSystem) -> None:
    participant = await _participant(system)
    kept = await system.read("/audit/checkpoint")
    key = jwt.PyJWK(kept["jwks"]["keys"][0])
    claims = jwt.decode(kept["jws"], key, algorithms=["ES256"], options={"verify_signature": True})
    assert "d" not in kept["jwks"]["keys"][0]
    assert claims == kept["checkpoint"]
    verification = await system.read("/audit/verification")
    assert claims["root"] == verification["root"]
    assert sum(claims["events"].values()) == verification["events"]
    assert participant


def _proof_path(kept: Path | None, service: str, seq: int) -> str:
    held = "" if kept is None else f"&checkpoint={json.loads(kept.read_bytes())['jws']}"
    return f"/audit/proof?service={service}&seq={seq}{held}"


@pytest.mark.parametrize("service", SERVICES)
async def test_an_event_is_proved_under_a_kept_checkpoint(
    system: WholeSystem, service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    participant = await _participant(system)
    kept = await _kept(system, tmp_path)
    await _participant(system)
    first = (await system.events(service, participant))[0]
    proof = await system.read(_proof_path(kept, service, first["position"]))
    held = tmp_path / "proof.json"
    held.write_text(json.dumps(proof))
    code, found = _outcome(capsys, "--proof", held, "--checkpoint", kept)
    assert (code, found["event"]) == (0, first["hash"].hex())
    proof["headers"][0]["actor"] = "somebody"
    held.write_text(json.dumps(proof))
    assert _outcome(capsys, "--proof", held, "--checkpoint", kept)[0] == 1


async def test_a_proof_brings_a_new_checkpoint_where_none_is_named(
    system: WholeSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    participant = await _participant(system)
    event = (await system.events("safety", participant))[-1]
    proof = tmp_path / "proof.json"
    proof.write_bytes((await system.get(_proof_path(None, "safety", event["position"]))).content)
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps((await system.read("/audit/checkpoint"))["jwks"]))
    assert _outcome(capsys, "--proof", proof, "--keys", keys)[0] == 0


async def test_what_no_checkpoint_covers_is_not_proved(system: WholeSystem, tmp_path: Path) -> None:
    kept = await _kept(system, tmp_path)
    participant = await _participant(system)
    event = (await system.events("scoring", participant))[-1]
    later = await system.get(_proof_path(kept, "scoring", event["position"]))
    forged = await system.get("/audit/proof?service=scoring&seq=1&checkpoint=a.b.c")
    unknown = await system.get(_proof_path(None, "scoring", 10**9))
    assert (later.status_code, unknown.status_code) == (404, 404)
    assert forged.status_code == 422
    other = await system.get(
        _proof_path(None, "scoring", event["position"]), claims={"sites": ["OTHER"]}
    )
    assert other.status_code == 404


async def test_a_forged_checkpoint_does_not_hold(
    system: WholeSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await _participant(system)
    export, kept = await _exported(system, tmp_path), await _kept(system, tmp_path)
    held = json.loads(kept.read_bytes())
    head, payload, signature = held["jws"].split(".")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    kept.write_text(json.dumps({**held, "jws": f"{head}.{payload}.{flipped}"}))
    code, found = _outcome(capsys, export, "--checkpoint", kept)
    assert (code, found["fault"]) == (1, "the checkpoint is not signed by a known key")


def test_what_cannot_be_read_is_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("no JSON\n")
    assert _outcome(capsys, wrong)[0] == 2
    assert _outcome(capsys, tmp_path / "absent")[0] == 2


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40), st.data())
def test_every_leaf_has_a_path_to_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path = tree_hash(leaves), inclusion_path(leaves, index)
    assert tree_root(leaves) == root
    assert root_by_path(leaves[index], index, len(leaves), path) == root
    if path:
        with pytest.raises(Broken):
            root_by_path(leaves[index], index, len(leaves), path[:-1])


def test_the_tree_is_that_of_the_rfc() -> None:
    # Vectors of the transparency project's reference tree (RFC 6962, section 2.1).
    leaves = [bytes.fromhex(leaf) for leaf in ("", "00", "10", "2021", "3031", "40414243")]
    assert tree_hash([]).hex() == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert tree_hash(leaves[:1]).hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert tree_hash(leaves).hex() == (
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"
    )
