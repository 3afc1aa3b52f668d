"""What is refused is nowhere repeated: not in the answer, not in a log, not in a metric."""

import json
from typing import Any, Final

import pytest

from tests.attacks.bodies import (
    adverse_event,
    attestation,
    consent,
    decision,
    infusion,
    laboratory_result,
    pasi,
    registration,
    screening,
    vas,
    visit,
)
from tests.attacks.target import MARK, SITE, STUDY, Target, check_refusal

_BODIES: Final[dict[str, Any]] = {
    "/participants": registration(SITE),
    "P/consents": consent(),
    "P/screening": screening(),
    "P/enrolment": decision(),
    "P/eligibility/attestations": attestation(),
    "P/status": {"status": "withdrawn", "date": "2021-11-02", "reason": "moved"},
    "P/assessments": pasi(),
    "P/assessments ": vas(),
    "P/adverse-events": {
        **adverse_event(),
        "coding": {"dictionary": "d", "version": "1", "code": "c", "term": "t"},
        "seriousness": {"death": False},
        "investigator_causality": "probable",
        "action_taken": "dose_not_changed",
        "investigator_aware_at": "2021-10-04T09:00:00+08:00",
    },
    "P/laboratory-results": laboratory_result(),
    "P/infusions": infusion(),
    "P/visits": visit(infusion={**infusion(), "visit": None}, adverse_events=[adverse_event()]),
}


def _spoilt(value: Any, with_what: Any) -> Any:
    """Yield the body once for each place in it, that place spoilt."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield {**value, name: with_what}
            for spoilt in _spoilt(member, with_what):
                yield {**value, name: spoilt}
    elif isinstance(value, list):
        for at, item in enumerate(value[:2]):
            yield [*value[:at], with_what, *value[at + 1 :]]
            for spoilt in _spoilt(item, with_what):
                yield [*value[:at], spoilt, *value[at + 1 :]]


@pytest.mark.parametrize("path", _BODIES)
async def test_a_marked_value_is_nowhere_repeated(target: Target, person: str, path: str) -> None:
    found = (person + path[1:] if path[0] == "P" else path).strip()
    method = "PUT" if found.endswith("/screening") else "POST"
    for text in _spoilt_bodies(path):
        answer = await target.send(method, found, text.encode())
        assert answer.status_code in {403, 404, 409, 422}, (text[:2000], answer.text)
        check_refusal_without_pointers(answer)


def _spoilt_bodies(path: str) -> list[str]:
    wrongs = ([MARK], f"{MARK}{'x' * 30_000}")
    bodies = [json.dumps(one) for wrong in wrongs for one in _spoilt(_BODIES[path], wrong)]
    # A visit's parts are what the other paths take: some of them show that those are asked.
    return list(dict.fromkeys(bodies))[:: 4 if path == "P/visits" else 1]


def check_refusal_without_pointers(answer: Any) -> None:
    """Check a refusal; the name of an unknown member stands in a pointer, and nowhere else."""
    document = answer.json()
    for fault in document.get("errors", []):
        fault["pointer"] = fault.get("pointer", "").replace(f"/{MARK}", "/")
    assert MARK not in json.dumps(document)


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ("accept", "P"),
        ("if-none-match", "P"),
        ("if-match", "P/screening"),
        ("content-type", "P/adverse-events"),
        ("content-encoding", "P/adverse-events"),
        ("limit", "/participants"),
        ("after", "/participants"),
        ("after", "/audit"),
        ("after", "P/assessments"),
        ("as_of", "P"),
        ("as_of", "P/eligibility"),
        ("site", "/participants"),
        ("site", "/adverse-events"),
        ("status", "/participants"),
        ("status", "/safety/deadlines"),
        ("due_before", "/safety/deadlines"),
        ("changed_since", "/participants"),
        ("participant", "/audit"),
        ("recorded_from", "/audit"),
        ("validate_only", "P/visits"),
        ("atomic", "/assessments/bulk"),
        ("unheard", "/participants"),
    ],
)
async def test_a_mark_beside_the_body_is_nowhere_repeated(
    target: Target, person: str, where: str, path: str
) -> None:
    found = person + path[1:] if path[0] == "P" else path
    is_header = where[:2] in {"ac", "if", "co"}
    headers: Any = {where: MARK} if is_header else {}
    query = "" if is_header else f"?{where}={MARK}"
    method, body = "GET", None
    if where in {"if-match", "content-type", "content-encoding", "validate_only", "atomic"}:
        method = "PUT" if where == "if-match" else "POST"
        body = {"term": "x", "change_reason": "y"}
    role = "auditor" if method == "GET" else "investigator"
    async with target.writing_nothing():
        answer = await target.send(method, found + query, body, role=role, **headers)
    if answer.status_code >= 400:
        check_refusal(answer, *range(400, 432))
    else:
        assert MARK not in answer.text


async def test_metrics_know_templates_only(target: Target, person: str) -> None:
    await target.get(f"{person}/adverse-events/{MARK}")
    await target.get(f"/{MARK}")
    await target.send("MARKQZ", f"{person}")
    answer = await target.get("/metrics", role="admin")
    assert answer.status_code == 200
    assert MARK not in answer.text
    assert "MARKQZ" not in answer.text
    assert person.rpartition("/")[2] not in answer.text
    assert 'route="/v1/studies/{study}/participants/{participant}"' in answer.text


async def test_only_an_admin_reads_metrics(target: Target) -> None:
    for role in ("auditor", "investigator", "participant", "service"):
        await target.refuses(403, 404, method="GET", path="/metrics", role=role)


async def test_an_unknown_record_is_not_repeated(target: Target, person: str) -> None:
    for below in ("consents", "assessments", "adverse-events", "laboratory-results", "infusions"):
        for name in (MARK, f"{MARK}%20x", "0" * 36, "1e3", "%00"):
            await target.refuses(404, method="GET", path=f"{person}/{below}/{name}")
    await target.refuses(404, method="GET", path=f"/v1/studies/{MARK}")
    await target.refuses(404, method="GET", path=f"/v1/studies/{STUDY}/{MARK}")
