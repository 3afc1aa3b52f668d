#!/usr/bin/env python3
"""Verifies an audit export without the system that wrote it: Python alone, nothing of this project.

    verify_audit_export.py EXPORT                       every chain of an NDJSON export
    verify_audit_export.py EXPORT --checkpoint FILE     and that a kept checkpoint still holds
    verify_audit_export.py --proof FILE                 that one event is under its checkpoint

`--keys FILE` names the public key set as it was when the checkpoint was kept; without it, the
key that came with the checkpoint is believed. EXPORT is the whole trail as NDJSON, `-` for the
standard input; an export with `?state=true` has its content checked too. The answer is one
line of JSON. Exit codes: 0 holds, 1 does not hold, 2 cannot be read.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
HASHED = (
    "study",
    "participant",
    "stream_version",
    "service",
    "resource",
    "resource_id",
    "version",
    "action",
    "site",
    "visit",
    "actor",
    "role",
    "reason",
    "source_system",
    "source_ref",
    "request_id",
    "release",
    "recorded_at",
    "state_sha256",
    "prev_hash",
)
SIGNATURE_BYTES = 64

Head = dict[str, Any]
Heads = dict[tuple[str, str], Head]


class Broken(Exception):
    """Something does not hold: where, and what."""

    def __init__(self, fault: str, **where: Any) -> None:
        super().__init__(fault)
        self.found = {"fault": fault, **where}


def canonical(value: Any) -> bytes:
    """Return RFC 8785 JSON; what is hashed holds text, whole numbers and null only."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def event_hash(event: Mapping[str, Any]) -> str:
    """Return the hash that an event must state."""
    return hashlib.sha256(canonical({name: event[name] for name in HASHED})).hexdigest()


class Trail:
    """The chains of an export, walked event by event in the order of the export."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.events = 0
        self.heads: Heads = {}
        self.heads_then: Heads = {}
        self.seq_by_service: dict[str, int] = {}
        self._sizes = sizes
        self._records: dict[tuple[str, ...], Any] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Check the next event; raises Broken."""
        service, participant = event["service"], event["participant"]
        where = {"service": service, "participant": participant, "seq": event["seq"]}
        chain = (service, participant)
        head = self.heads.get(chain, {"version": 0, "hash": GENESIS})
        expected = self.seq_by_service.get(service, 0) + 1
        if event["seq"] > expected:
            raise Broken("an event is missing here", **{**where, "seq": expected})
        is_next = event["stream_version"] == head["version"] + 1
        if event["seq"] != expected or not is_next or event["prev_hash"] != head["hash"]:
            raise Broken("the link to the event before does not hold", **where)
        if event_hash(event) != event["hash"]:
            raise Broken("the content does not match its hash", **where)
        if "state" in event:
            self._check_state(event, where)
        self.events += 1
        self.seq_by_service[service] = expected
        self.heads[chain] = {"version": event["stream_version"], "hash": event["hash"]}
        if event["seq"] <= self._sizes.get(service, 0):
            self.heads_then[chain] = self.heads[chain]

    def _check_state(self, event: Mapping[str, Any], where: Mapping[str, Any]) -> None:
        """Check the record's bytes, and that the changes told are those from the state before."""
        if hashlib.sha256(event["state"].encode()).hexdigest() != event["state_sha256"]:
            raise Broken("the state does not match its digest", **where)
        record = tuple(
            event[name] for name in ("service", "participant", "resource", "resource_id")
        )
        before, after = self._records.get(record, {}), json.loads(event["state"])
        told = {one["pointer"]: (one["old"], one["new"]) for one in event["changes"]}
        if told != dict(differences("", before, after)):
            raise Broken("the changes told are not those of the record", **where)
        self._records[record] = after


def differences(at: str, before: Any, after: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield what differs between two states, by pointer (RFC 6901)."""
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        pointer = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(pointer, old, new)
        elif old != new or type(old) is not type(new):
            yield pointer, (old, new)


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the RFC 6962 tree over the leaves."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [*(hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs), *odd]
    return level[0]


def root_of(heads: Heads) -> str:
    """Return the root over the heads of all chains."""
    leaves = [
        canonical({"service": service, "participant": participant, **head})
        for (service, participant), head in sorted(heads.items())
    ]
    return tree_root(leaves).hex()


def root_by_path(leaf: bytes, index: int, size: int, path: Iterable[bytes]) -> bytes:
    """Return the root to which an inclusion path leads (RFC 9162, section 2.1.3.2)."""
    node, last = hashlib.sha256(b"\x00" + leaf).digest(), size - 1
    for beside in path:
        if last == 0:
            raise Broken("the path is longer than the tree is high")
        if index % 2 or index == last:
            node = hashlib.sha256(b"\x01" + beside + node).digest()
            while not index % 2 and index:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + beside).digest()
        index, last = index >> 1, last >> 1
    if last:
        raise Broken("the path is shorter than the tree is high")
    return node


# ES256 (RFC 7518): ECDSA on the curve P-256 (FIPS 186-4, D.1.2.3) with SHA-256.
FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CURVE_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
BASE = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int] | None


def add(one: Point, other: Point) -> Point:
    """Return the sum of two points of the curve; None is the point at infinity."""
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % FIELD == 0:
        return None
    if one == other:
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], -1, FIELD)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, FIELD)
    x = (slope * slope - one[0] - other[0]) % FIELD
    return x, (slope * (one[0] - x) - one[1]) % FIELD


def times(number: int, point: Point) -> Point:
    """Return a multiple of a point."""
    total: Point = None
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def is_signed(message: bytes, signature: bytes, key: tuple[int, int]) -> bool:
    """Tell whether the signature of the message was made with the key's private part."""
    x, y = key
    on_curve = (y * y - (x * x * x - 3 * x + CURVE_B)) % FIELD == 0
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not on_curve or len(signature) != SIGNATURE_BYTES or not (0 < r < ORDER and 0 < s < ORDER):
        return False
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    inverse = pow(s, -1, ORDER)
    point = add(times(digest * inverse % ORDER, BASE), times(r * inverse % ORDER, key))
    return point is not None and point[0] % ORDER == r


def decoded(text: str) -> bytes:
    """Return the bytes of base64url text."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read_checkpoint(kept: Mapping[str, Any], keys: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the checkpoint that was signed; raises Broken for a signature that does not hold."""
    head, payload, signature = kept["jws"].split(".")
    header = json.loads(decoded(head))
    known = (keys or kept.get("jwks") or {"keys": []})["keys"]
    for key in known:
        if header.get("alg") == "ES256" and key.get("kid") == header.get("kid"):
            public = (
                int.from_bytes(decoded(key["x"]), "big"),
                int.from_bytes(decoded(key["y"]), "big"),
            )
            if is_signed(f"{head}.{payload}".encode(), decoded(signature), public):
                checkpoint: dict[str, Any] = json.loads(decoded(payload))
                return checkpoint
    raise Broken("the checkpoint is not signed by a known key")


def verify_export(lines: Iterable[bytes], checkpoint: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check every chain of an export, and that the checkpoint still holds; raises Broken."""
    sizes = {} if checkpoint is None else checkpoint["events"]
    trail = Trail(sizes)
    for line in lines:
        if line.strip():
            trail.take(json.loads(line))
    for service, size in sizes.items():
        told = trail.seq_by_service.get(service, 0)
        if told < size:
            raise Broken("the trail ends before the checkpoint", service=service, seq=told + 1)
    if checkpoint is not None and root_of(trail.heads_then) != checkpoint["root"]:
        raise Broken("the chains are not those of the checkpoint")
    return {"events": trail.events, "chains": len(trail.heads), "root": root_of(trail.heads)}


def verify_proof(proof: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Check that the proof leads from its event to the checkpoint's root; raises Broken."""
    headers, leaf = proof["headers"], proof["leaf"]
    where = {"service": proof["service"], "participant": leaf["participant"], "seq": proof["seq"]}
    digest = headers[0]["prev_hash"]
    for header in headers:
        is_own = (header["service"], header["participant"]) == (
            leaf["service"],
            leaf["participant"],
        )
        if not is_own or header["prev_hash"] != digest:
            raise Broken("the link to the event before does not hold", **where)
        digest = event_hash(header)
    if (digest, headers[-1]["stream_version"]) != (leaf["hash"], leaf["version"]):
        raise Broken("the chain does not lead to its head", **where)
    path = [bytes.fromhex(node) for node in proof["path"]]
    root = root_by_path(canonical(leaf), proof["leaf_index"], proof["tree_size"], path)
    if root.hex() != checkpoint["root"] or proof["tree_size"] != checkpoint["chains"]:
        raise Broken("the path does not lead to the checkpoint's root", **where)
    return {"event": event_hash(headers[0]), "checkpoint": dict(checkpoint)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify what the command line names, print the outcome, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", nargs="?", help="the whole trail as NDJSON; - reads stdin")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint that was kept")
    parser.add_argument("--proof", type=Path, help="a proof for one event")
    parser.add_argument("--keys", type=Path, help="the key set as it was when that was kept")
    chosen = parser.parse_args(arguments)
    if (chosen.export is None) == (chosen.proof is None):
        parser.error("name an export, or a proof")
    try:
        found = _verify(chosen)
    except Broken as broken:
        print(json.dumps({"verified": False, **broken.found}))
        return 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        print(json.dumps({"verified": None, "fault": f"cannot be read: {fault!r}"}))
        return 2
    print(json.dumps({"verified": True, **found}))
    return 0


def _verify(chosen: argparse.Namespace) -> dict[str, Any]:
    keys = json.loads(chosen.keys.read_bytes()) if chosen.keys else None
    kept = json.loads(chosen.checkpoint.read_bytes()) if chosen.checkpoint else None
    checkpoint = None if kept is None else read_checkpoint(kept, keys)
    if chosen.proof:
        proof = json.loads(chosen.proof.read_bytes())
        own_keys = keys or (kept and kept["jwks"])
        if own_keys is None:
            raise ValueError("a proof needs --keys, or --checkpoint with its key")
        return verify_proof(proof, checkpoint or read_checkpoint(proof, own_keys))
    if chosen.export == "-":
        return verify_export(sys.stdin.buffer, checkpoint)
    with Path(chosen.export).open("rb") as lines:
        return verify_export(lines, checkpoint)


if __name__ == "__main__":
    sys.exit(main())
