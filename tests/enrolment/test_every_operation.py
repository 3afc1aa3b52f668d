"""What holds for every operation that is not internal: who may call it, and what it refuses."""

import json
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.enrolment.enrolment_calls import STUDY, Enrolment, faults, kind

DOCUMENT: Final = Path(__file__).parents[2] / "openapi" / "enrolment.json"
BELOW: Final = "/v1/studies/{study}"
ROLES: Final = (
    "edc",
    "coordinator",
    "investigator",
    "safety_officer",
    "statistician",
    "auditor",
    "participant",
    "admin",
)


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path below the study, and what the document says, of each operation."""
    paths = json.loads(DOCUMENT.read_text("utf-8"))["paths"]
    return [
        (method.upper(), path.removeprefix(BELOW), operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if path.startswith(BELOW) and not operation.get("x-internal")
    ]


OPERATIONS: Final = operations()
WRITES: Final = [one for one in OPERATIONS if "requestBody" in one[2]]
VERSIONED: Final = [one for one in WRITES if one[2].get("x-version") == "required"]


def named(found: list[tuple[str, str, dict[str, Any]]]) -> pytest.MarkDecorator:
    ids = [f"{method} {path}" for method, path, _ in found]
    return pytest.mark.parametrize(("method", "path", "operation"), found, ids=ids)


def filled(path: str) -> str:
    """Return a path whose ids are well-formed and lead to nothing."""
    for name in ("participant", "consent", "infusion", "enrolment", "attestation", "status"):
        path = path.replace(f"{{{name}}}", str(uuid4()))
    for name in ("deviation", "deviation_answer"):
        path = path.replace(f"{{{name}}}", str(uuid4()))
    return path.replace("{visit}", "W0").replace("{site}", "GDTCM")


@named(OPERATIONS)
async def test_only_the_documented_roles_may(
    enrolment: Enrolment, method: str, path: str, operation: dict[str, Any]
) -> None:
    body: dict[str, Any] | None = {} if "requestBody" in operation else None
    for role in set(ROLES) - set(operation["x-roles"]):
        answer = await enrolment.call(method, filled(path), body, role=role)
        assert kind(answer) == (403, "not-permitted"), role


@named(OPERATIONS)
async def test_nobody_comes_without_a_token(
    enrolment: Enrolment, method: str, path: str, operation: dict[str, Any]
) -> None:
    del operation
    answer = await enrolment.client.request(method, f"/v1/studies/{STUDY}{filled(path)}")
    assert kind(answer) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@named([one for one in OPERATIONS if "{participant}" in one[1] and "requestBody" not in one[2]])
async def test_an_unknown_participant_is_not_found(
    enrolment: Enrolment, method: str, path: str, operation: dict[str, Any]
) -> None:
    role = next(role for role in operation["x-roles"] if role != "participant")
    answer = await enrolment.call(method, filled(path), role=role)
    assert kind(answer) == (404, "not-found")
    assert "errors" not in answer.json()


@named(WRITES)
async def test_a_body_is_read_strictly(
    enrolment: Enrolment, method: str, path: str, operation: dict[str, Any]
) -> None:
    role, url = operation["x-roles"][-1], f"/v1/studies/{STUDY}{filled(path)}"
    token = {"Authorization": f"Bearer {enrolment.tokens.sign(role, None, None)}"}
    headers = {**token, "If-Match": '"1"', "Content-Type": "application/json"}
    for content, status, problem in (
        (b'{"nobody": 1}', 422, "invalid-request"),
        (b"[]", 422, "invalid-request"),
        (b'{"nobody": ', 400, "not-json"),
        (b'{"nobody": NaN}', 400, "not-json"),
        (b'{"nobody": 1, "nobody": 1}', 400, "not-json"),
    ):
        answer = await enrolment.client.request(method, url, content=content, headers=headers)
        assert kind(answer) == (status, problem), content
        if content == b'{"nobody": 1}':
            assert ("/nobody", "unknown_member") in faults(answer)
    text = {**headers, "Content-Type": "text/plain"}
    answer = await enrolment.client.request(method, url, content=b"{}", headers=text)
    assert kind(answer) == (415, "unsupported-media-type")


@named(VERSIONED)
async def test_a_change_names_its_version(
    enrolment: Enrolment, method: str, path: str, operation: dict[str, Any]
) -> None:
    role = operation["x-roles"][-1]
    for tag, problem in (
        (None, (428, "version-required")),
        ("*", (428, "version-required")),
        ("", (412, "stale")),
        ('W/"1"', (412, "stale")),
        ('"1", "2"', (412, "stale")),
    ):
        headers: dict[str, Any] = {} if tag is None else {"If_Match": tag}
        answer = await enrolment.call(method, filled(path), {}, role=role, **headers)
        assert kind(answer) == problem, tag


LISTS: Final = [
    one
    for one in OPERATIONS
    if {"limit", "after"} <= {parameter["name"] for parameter in one[2].get("parameters", ())}
]
PAST: Final = [
    one
    for one in OPERATIONS
    if "as_of" in {parameter["name"] for parameter in one[2].get("parameters", ())}
]


@named(LISTS)
async def test_a_page_is_asked_for_properly(
    enrolment: Enrolment, method: str, path: str, operation: dict[str, Any]
) -> None:
    role = operation["x-roles"][0]
    participant = (await enrolment.registered())["id"] if "{participant}" in path else ""
    url = filled(path.replace("{participant}", participant))
    for value in ("0", "501", "-1", "1.5", "", "many"):
        answer = await enrolment.call(method, f"{url}?limit={value}", role=role)
        assert answer.status_code == 422, value
        assert {pointer for pointer, _ in faults(answer)} == {"limit"}
    answer = await enrolment.call(method, f"{url}?after=p1", role=role)
    assert (answer.status_code, faults(answer)) == (422, {("after", "cursor")})


@named(PAST)
async def test_the_past_is_asked_for_properly(
    enrolment: Enrolment, method: str, path: str, operation: dict[str, Any]
) -> None:
    role = operation["x-roles"][0]
    participant = (await enrolment.registered())["id"] if "{participant}" in path else ""
    url = filled(path.replace("{participant}", participant))
    for value in ("2021-09-01", "2021-09-01T09:00:00", "yesterday", "1630000000", ""):
        answer = await enrolment.call(method, f"{url}?as_of={value}", role=role)
        assert answer.status_code == 422, value
        assert {pointer for pointer, _ in faults(answer)} == {"as_of"}
    answer = await enrolment.call(method, f"{url}?as_of=2199-01-01T00:00:00Z", role=role)
    assert (answer.status_code, faults(answer)) == (422, {("as_of", "in_the_future")})
