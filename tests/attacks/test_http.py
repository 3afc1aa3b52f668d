"""The protocol itself: tricks of paths, methods and lengths; slow, broken and vanished clients."""

import asyncio
import json
import time
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.attacks.bodies import adverse_event, registration, vas
from tests.attacks.target import MARK, SITE, STUDY, Target, check_refusal, statuses_in

_LONGEST_WAIT: Final = 3
NOWHERE: Final = "01a20000-0000-7000-8000-000000000000"
REFUSED: Final = {400, 401, 403, 404, 405, 408, 413, 431, 501}


def _request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: x", *headers, "", ""]).encode() + body


async def _is_alive(target: Target, person: str) -> None:
    begun = time.monotonic()
    assert (await target.get(person)).status_code == 200
    assert time.monotonic() - begun < _LONGEST_WAIT


@pytest.mark.parametrize(
    "path",
    [
        "/docs/..%2f..%2fetc%2fpasswd",
        "/docs/%252e%252e%252fetc%252fpasswd",
        "/docs/..%5c..%5cwindows%5cwin.ini",
        "/docs/../../../../etc/passwd",
        "/docs/....//....//etc/passwd",
        "/docs/%2e%2e/%2e%2e/etc/passwd",
        "/problems/..%2f..%2fetc%2fpasswd",
        "/problems/%3Cscript%3E",
        "/.env",
        "/.git/config",
        "/.data/issuer/private.json",
        "/v1/../.env",
        "/static/../gateway/app.py",
        "/favicon.ico%00.png",
        "/v1/studies/NCT03745417%00",
        "/v1/studies/%ff",
        "/*",
        "/v1/calendars/..%2f..%2fx.ics",
    ],
)
async def test_no_path_leads_out(target: Target, path: str) -> None:
    received = await target.raw(_request(f"GET {path} HTTP/1.1", "Connection: close"))
    assert statuses_in(received)[0] in {400, 401, 403, 404}
    assert b"root:" not in received
    assert b"[core]" not in received


@pytest.mark.parametrize("turn", ["..", "%2e%2e", "%2E%2e", ".%2e"])
@pytest.mark.parametrize("slash", ["/", "%2f", "%5c"])
async def test_no_turn_leads_to_another_participant(
    target: Target, person: str, turn: str, slash: str
) -> None:
    own, another = (await target.registered(), person)
    token = target.token("participant", participant=own.rpartition("/")[2])
    path = f"/v1/studies/{STUDY}{own}/{turn}{slash}{another.rpartition('/')[2]}/schedule"
    received = await target.raw(
        _request(f"GET {path} HTTP/1.1", f"Authorization: Bearer {token}", "Connection: close")
    )
    assert statuses_in(received)[0] in {400, 403, 404}


@pytest.mark.parametrize(
    "path",
    [
        f"//v1/studies/{STUDY}",
        f"/v1//studies/{STUDY}",
        f"/v1/studies/{STUDY}/",
        f"/v1/studies/{STUDY}/participants/",
        "//evil.example",
        "//evil.example/v1/me",
        "/\\evil.example",
        "/%09/evil.example",
        "http://evil.example/v1/me",
    ],
)
async def test_no_path_leads_to_another_host(target: Target, path: str) -> None:
    token = f"Authorization: Bearer {target.token('auditor')}"
    received = await target.raw(_request(f"GET {path} HTTP/1.1", token, "Connection: close"))
    status = statuses_in(received)[0]
    assert status in {307, 308, 400, 403, 404} or (status == 200 and path.startswith("http:"))
    assert b"evil.example" not in received


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "P"),
        ("DELETE", f"P/assessments/{NOWHERE}"),
        ("DELETE", f"P/adverse-events/{NOWHERE}"),
        ("DELETE", "P/consents"),
        ("DELETE", "P/visits"),
        ("DELETE", "/audit"),
        ("PATCH", "P"),
        ("PUT", "/participants"),
        ("POST", "P/outcomes"),
        ("POST", "/audit"),
        ("POST", "/outcomes"),
        ("PUT", "P/consents"),
        ("PATCH", "P/screening"),
        ("DELETE", "/v1/me"),
        ("POST", "/v1/me/schedule"),
        ("DELETE", "/v1/studies"),
    ],
)
async def test_there_is_no_such_method(target: Target, person: str, method: str, path: str) -> None:
    found = person + path[1:] if path[0] == "P" else path
    answer = await target.refuses(405, method=method, path=found, body={"a": MARK})
    assert method not in answer.headers["allow"].split(", ")


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "FOO", "get", "CONNECT", "PROPFIND", "G\0T"])
async def test_odd_methods_echo_nothing(target: Target, person: str, method: str) -> None:
    token = f"Authorization: Bearer {target.token('auditor')}"
    path = f"/v1/studies/{STUDY}{person}"
    received = await target.raw(
        _request(f"{method} {path} HTTP/1.1", token, f"X-Said: {MARK}", "Connection: close")
    )
    assert not received or statuses_in(received)[0] in REFUSED
    assert MARK.encode() not in received
    assert person.rpartition("/")[2].encode() not in received


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH"])
async def test_a_method_cannot_be_disguised(target: Target, person: str, method: str) -> None:
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        async with target.writing_nothing():
            answer = await target.get(person, role="auditor", **{header: method})
            assert answer.status_code in {200, 400, 404, 405}
    async with target.writing_nothing():
        answer = await target.get(f"{person}?_method={method}", role="auditor")
        assert answer.status_code in {200, 400, 404, 405, 422}
    body = adverse_event()
    await target.refuses(
        403,
        method="POST",
        path=f"{person}/adverse-events",
        body=body,
        role="auditor",
        X_HTTP_Method_Override="GET",
    )


async def test_a_promised_body_that_never_comes_holds_nobody_up(
    target: Target, person: str
) -> None:
    head = _request(
        f"POST /v1/studies/{STUDY}{person}/adverse-events HTTP/1.1",
        f"Authorization: Bearer {target.token('edc')}",
        "Content-Type: application/json",
        "Content-Length: 5000",
        body=b'{"term": "fe',
    )
    async with target.writing_nothing():
        waiting = [asyncio.create_task(target.raw(head, patience=2)) for _ in range(20)]
        await asyncio.sleep(0.3)
        await _is_alive(target, person)
        for received in await asyncio.gather(*waiting):
            assert set(statuses_in(received)) <= {400, 408}


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 6", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 6"),
        ("Content-Length: 6", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: identity, chunked, x",),
        ("Transfer-Encoding : chunked", "Content-Length: 6"),
        ("Transfer-Encoding: xchunked", "Content-Length: 6"),
        ("Content-Length: 6", "Content-Length: 5"),
        ("Content-Length: +6",),
        ("Content-Length: 6, 6",),
        ("Content-Length: -1",),
        ("Content-Length: 0x6",),
    ],
    ids=", ".join,
)
async def test_a_request_behind_another_never_runs(
    target: Target, person: str, headers: tuple[str, ...]
) -> None:
    token = f"Authorization: Bearer {target.token('edc')}"
    hidden_body = json.dumps(adverse_event(term="smuggled")).encode()
    hidden = _request(
        f"POST /v1/studies/{STUDY}{person}/adverse-events HTTP/1.1",
        token,
        "Content-Type: application/json",
        f"Content-Length: {len(hidden_body)}",
        body=hidden_body,
    )
    outer = _request(
        f"POST /v1/studies/{STUDY}{person}/assessments HTTP/1.1",
        token,
        "Content-Type: application/json",
        *headers,
        body=b"0\r\n\r\n" + hidden,
    )
    async with target.writing_nothing():
        received = await target.raw(outer, patience=1.5)
    statuses = statuses_in(received)
    assert len(statuses) <= 1
    assert not statuses or 400 <= statuses[0] < 500 or statuses[0] == 501


async def test_endless_headers_are_refused(target: Target, person: str) -> None:
    token = f"Authorization: Bearer {target.token('auditor')}"
    line = f"GET /v1/studies/{STUDY}{person} HTTP/1.1"
    many = [f"X-{number}: {MARK}" for number in range(10_000)]
    for headers in ([f"X-Long: {'a' * 200_000}"], many, ["A" * 100_000 + ": x"]):
        received = await target.raw(_request(line, token, *headers, "Connection: close"))
        assert not received or statuses_in(received)[0] in {400, 413, 431}
        assert MARK.encode() not in received
    just_too_much = ["X-Long: " + "a" * (16 * 1024)]
    received = await target.raw(_request(line, token, *just_too_much, "Connection: close"))
    assert statuses_in(received) == [431]
    endless = await target.raw(_request(f"GET /{'a' * 100_000} HTTP/1.1", token))
    assert not endless or statuses_in(endless)[0] in {400, 404, 413, 414, 431}


async def test_sixty_dripping_connections_hold_nobody_up(target: Target, person: str) -> None:
    place = urlsplit(target.url)
    head = _request(f"GET /v1/studies/{STUDY}{person} HTTP/1.1")[:-2]
    pairs = [await asyncio.open_connection(place.hostname, place.port) for _ in range(60)]
    try:
        for at in range(8):
            for _, writer in pairs:
                writer.write(head[at : at + 1])
            await asyncio.sleep(0.05)
            await _is_alive(target, person)
    finally:
        for _, writer in pairs:
            writer.transport.abort()


async def test_a_vanished_client_does_no_harm(target: Target) -> None:
    person = await target.consented()
    path = f"{person}/assessments"
    keys: list[tuple[str, bytes]] = []
    for pause in (0.005, 0.06):
        round_ = []
        for _ in range(64):
            body = json.dumps(vas(source_system="edc", source_ref=uuid4().hex)).encode()
            round_.append((uuid4().hex, body))
        sent = [
            _request(
                f"POST /v1/studies/{STUDY}{path} HTTP/1.1",
                f"Authorization: Bearer {target.token('edc')}",
                "Content-Type: application/json",
                f"Idempotency-Key: {key}",
                f"Content-Length: {len(body)}",
                body=body,
            )
            for key, body in round_
        ]
        await asyncio.gather(*(target.raw(one, pause=pause, patience=0.001) for one in sent))
        await asyncio.gather(*(target.raw(one[:-20], patience=0.001) for one in sent[:10]))
        await _is_alive(target, person)
        keys += round_
    for at in range(0, len(keys), 32):
        answers = await asyncio.gather(
            *(
                target.post(path, body, role="edc", Idempotency_Key=key)
                for key, body in keys[at : at + 32]
            )
        )
        assert {answer.status_code for answer in answers} <= {200, 201, 409}, answers[0].text
    events = await target.connections["scoring"].fetchval(
        "SELECT count(*) FROM scoring.event WHERE resource = 'assessment' AND participant = $1",
        _uuid(person),
    )
    assert events == len(keys)


def _uuid(person: str) -> str:
    return person.rpartition("/")[2]


async def test_what_a_proxy_says_is_not_repeated(target: Target, person: str) -> None:
    headers = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Prefix": "/evil.example",
        "X-Original-URL": "/evil.example",
        "X-Rewrite-URL": "/v1/me",
        "Forwarded": "host=evil.example",
    }
    for path in (f"/v1/studies/{STUDY}{person}", f"/v1/studies/{STUDY}/participants?limit=1"):
        answer = await target.client.get(
            path, headers={**headers, "Authorization": f"Bearer {target.token('auditor')}"}
        )
        assert answer.status_code == 200
        assert "evil.example" not in answer.text + str(answer.headers)
    made = await target.client.post(
        f"/v1/studies/{STUDY}/participants",
        json=registration(SITE),
        headers={**headers, "Authorization": f"Bearer {target.token('investigator')}"},
    )
    assert made.status_code == 201
    assert "evil.example" not in made.text + str(made.headers)
    assert made.headers["location"].startswith("/v1/")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/openapi.json", "/metrics"])
async def test_what_is_open_tells_nothing(target: Target, person: str, path: str) -> None:
    answer = await target.client.get(path)
    assert answer.status_code == (401 if path == "/metrics" else 200)
    for secret in (_uuid(person), "postgres", "127.0.0.1", "password", str(target.data)):
        assert secret not in answer.text


@pytest.mark.parametrize(
    "given",
    [
        "abc%0d%0aSet-Cookie:x",
        f"<b>{MARK}</b>",
        f'"{MARK}"',
        f"{MARK} {MARK}",
        f"{MARK}\x1b[31m",
        MARK * 700,
        "short",
        "",
        f"{MARK}/../x",
        f"{MARK};{MARK}",
    ],
    ids=lambda given: repr(given[:20]),
)
async def test_an_odd_request_id_is_replaced(target: Target, given: str) -> None:
    token = f"Authorization: Bearer {target.token('auditor')}"
    received = await target.raw(
        _request("GET /v1/me HTTP/1.1", token, f"X-Request-Id: {given}", "Connection: close")
    )
    assert statuses_in(received)[0] in {200, 400, 431}
    assert MARK.encode() not in received
    assert b"Set-Cookie" not in received


async def test_a_good_request_id_is_taken_over(target: Target) -> None:
    given = uuid4().hex
    for path in ("/v1/me", "/v1/nothing"):
        answer = await target.get(path, role="auditor", X_Request_Id=given)
        assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/", "/v1", "/docs/nothing"])
async def test_an_unknown_path_is_a_problem(target: Target, path: str) -> None:
    answer: Any = await target.client.get(f"{path}?secret={MARK}")
    check_refusal(answer, 404)
