"""The chain of events that changes become.

Each participant's events form a SHA-256 chain. What is hashed is the RFC 8785 encoding of
the event's header, which holds the digest of the state afterwards and the hash before; so
anyone can recompute the chain from an export.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.kernel.exact_json import canonical_json, stamp
from services.kernel.records.changes import Change

GENESIS: Final = b"\0" * 32
"""The hash before the first event of a chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Who asks for a change, as the audit trail tells it."""

    actor: str
    role: str
    request_id: str


def record_document(change: Change, by: Attribution, at: datetime) -> dict[str, Any]:
    """Return the stored record: its own members and those that every record has."""
    document = dict(change.members)
    document.update(
        id=str(change.id),
        participant=str(change.participant),
        site=change.site,
        version=change.version,
        recorded_at=stamp(at),
        recorded_by=by.actor,
        record_status="retracted" if change.is_retracted else "entered",
    )
    if change.source_ref is not None:
        document.update(source_system=change.source_system, source_ref=change.source_ref)
    return document


def event_header(row: Mapping[str, Any], service: str) -> dict[str, Any]:
    """Return what is hashed of an event row; `body` and `prev_hash` by their digests."""
    return {
        "study": row["study"],
        "participant": str(row["participant"]),
        "stream_version": row["stream_version"],
        "service": service,
        "resource": row["resource"],
        "resource_id": str(row["resource_id"]),
        "version": row["resource_version"],
        "action": row["action"],
        "site": row["site"],
        "visit": row["visit"],
        "actor": row["actor"],
        "role": row["role"],
        "reason": row["reason"],
        "source_system": row["source_system"],
        "source_ref": row["source_ref"],
        "request_id": row["request_id"],
        "release": row["release"],
        "recorded_at": stamp(row["recorded_at"]),
        "state_sha256": hashlib.sha256(row["body"].encode()).hexdigest(),
        "prev_hash": bytes(row["prev_hash"]).hex(),
    }


def event_hash(header: Mapping[str, Any]) -> bytes:
    """Return the SHA-256 digest of an event's header."""
    return hashlib.sha256(canonical_json(header)).digest()
