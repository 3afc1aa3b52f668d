"""Receipts of visits: put together from what the services said, kept by enrolment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from gateway.forwarding import Reply, headers_of, json_bytes
from gateway.visit_parts import Visit
from services.kernel.http import KeyReused
from services.kernel.refusals import Fault

_PART_ORDER: Final = (
    "assessments",
    "vital_signs",
    "laboratory_results",
    "infusion",
    "adverse_events",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer kept under a key, to be given again byte for byte."""

    status: int
    body: bytes


def receipt_of(replies: Sequence[Reply]) -> dict[str, Any]:
    """Return the receipt of what was written, or would be; without enrolment's there is no visit.

    Pointers, those of warnings included, lead into the request.
    """
    enrolment: Mapping[str, Any] = next(
        (reply.document for reply in replies if reply.service == "enrolment"), {}
    )
    parts = sorted((part for reply in replies for part in _parts(reply)), key=_part_order)
    write = enrolment.get("write", "unchanged")
    if write == "unchanged" and any(part["write"] != "unchanged" for part in parts):
        write = "updated"
    return {
        "write": write,
        "visit": enrolment.get("visit"),
        "parts": parts,
        "deviations": enrolment.get("deviations", []),
        "warnings": [warning for part in parts for warning in part["warnings"]],
        "queries": {
            what: [query for reply in replies for query in _queries(reply, what)]
            for what in ("raised", "closed")
        },
        "events": [
            {"service": reply.service, "seq": reply.position}
            for reply in replies
            if reply.position is not None
        ],
    }


def _parts(reply: Reply) -> list[dict[str, Any]]:
    parts: Any = reply.document["parts"]
    return [
        {
            **part,
            "warnings": [
                {**warning, "pointer": part["pointer"] + warning["pointer"]}
                for warning in part["warnings"]
            ],
        }
        for part in parts
    ]


def _queries(reply: Reply, what: str) -> list[dict[str, Any]]:
    settled: Any = reply.document["queries"] or {}
    return list(settled.get(what, ()))


def _part_order(part: Mapping[str, Any]) -> tuple[int, int]:
    kind, _, index = part["pointer"].removeprefix("/").partition("/")
    return _PART_ORDER.index(kind), int(index or 0)


async def kept_receipt(visit: Visit) -> Kept | None:
    """Return the answer that this key was given before; raises KeyReused and ServiceDown."""
    if visit.key is None:
        return None
    reply = await visit.forwarder.forward(
        visit.request, "enrolment", _path(visit), study=visit.study, method="GET"
    )
    if not reply.is_good:
        return None
    if reply.document["fingerprint"] != visit.fingerprint.hex():
        fault = Fault("#Idempotency-Key", "key_reused", "Send a new request with a new key.")
        raise KeyReused(faults=[fault])
    return _kept(reply)


async def keep_receipt(visit: Visit, status: int, body: bytes) -> Kept:
    """Keep an answer, and return the one that stands: the first under the key.

    Raises ServiceDown.
    """
    if visit.key is None:
        return Kept(status, body)
    kept = {"fingerprint": visit.fingerprint.hex(), "status": status, "body": body.decode()}
    headers = {**headers_of(visit.request), "Content-Type": "application/json"}
    headers.pop("idempotency-key", None)
    reply = await visit.forwarder.forward(
        visit.request,
        "enrolment",
        _path(visit),
        study=visit.study,
        method="PUT",
        body=json_bytes(kept),
        headers=headers,
    )
    return _kept(reply) if reply.is_good else Kept(status, body)


def _kept(reply: Reply) -> Kept:
    kept: Mapping[str, Any] = reply.document
    return Kept(kept["status"], kept["body"].encode())


def _path(visit: Visit) -> str:
    return f"/v1/studies/{visit.study}/receipts/{quote(visit.key or '', safe='')}"
