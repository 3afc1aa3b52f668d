"""Forged, spoilt and misplaced tokens: none is believed, and none is written down."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from launcher.issuer import AUDIENCE, ISSUER, key_set
from tests.attacks.target import STUDY, Target, check_refusal, statuses_in


def _part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _claims(**stated: Any) -> dict[str, Any]:
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "mallory", "exp": int(time.time()) + 600}
    return {**usual, "roles": ["investigator"], "studies": [STUDY], **stated}


def _public_key(target: Target) -> dict[str, Any]:
    [key] = json.loads(key_set(target.data).read_text())["keys"]
    return dict(key)


def _with_hmac(secret: bytes, header: dict[str, Any]) -> str:
    signed = f"{_part(header)}.{_part(_claims())}"
    return f"{signed}.{_part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


async def _is_refused(target: Target, token: str, *more: int) -> None:
    answer = await target.refuses(
        401, *more, method="GET", path="/participants", Authorization=f"Bearer {token}"
    )
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "none ", "", "null"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
async def test_no_algorithm_is_none(target: Target, name: str, signature: str) -> None:
    token = f"{_part({'alg': name, 'typ': 'JWT'})}.{_part(_claims())}.{signature}"
    await _is_refused(target, token)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "ES256", "RS256"])
@pytest.mark.parametrize("secret", [b"", b"secret", b"trial-events", b"changeme"])
async def test_a_guessed_secret_signs_nothing(
    target: Target, algorithm: str, secret: bytes
) -> None:
    kid = _public_key(target)["kid"]
    await _is_refused(target, _with_hmac(secret, {"alg": algorithm, "kid": kid}))


@pytest.mark.parametrize("spelling", ["pem", "der", "jwk", "x"])
@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
async def test_the_public_key_is_no_secret(target: Target, spelling: str, algorithm: str) -> None:
    key = _public_key(target)
    public = jwt.PyJWK(key).key
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(key).encode(),
        "x": base64.urlsafe_b64decode(key["x"] + "=="),
    }[spelling]
    await _is_refused(target, _with_hmac(secret, {"alg": algorithm, "kid": key["kid"]}))


@pytest.mark.parametrize(
    "edited",
    [
        {"roles": ["admin", "investigator", "auditor"]},
        {"sub": "someone-else"},
        {"exp": 4_000_000_000},
        {"studies": [STUDY, "NCT00000002"]},
    ],
    ids=lambda edited: next(iter(edited)),
)
async def test_edited_claims_lose_their_signature(target: Target, edited: dict[str, Any]) -> None:
    header, claims, signature = target.token("edc").split(".")
    held = json.loads(base64.urlsafe_b64decode(claims + "=="))
    await _is_refused(target, f"{header}.{_part({**held, **edited})}.{signature}")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda signature: signature[:-10],
        lambda signature: signature[:1],
        lambda _: _part(bytes(64)),
        lambda _: _part(b"\xff" * 64),
        lambda signature: signature * 2,
        lambda signature: signature + "." + signature,
    ],
    ids=["absent", "cut", "one letter", "zeros", "ones", "doubled", "two"],
)
async def test_a_spoilt_signature_is_none(target: Target, spoil: Any) -> None:
    header, claims, signature = target.token("investigator").split(".")
    await _is_refused(target, f"{header}.{claims}.{spoil(signature)}")


async def test_a_token_of_two_parts_is_none(target: Target) -> None:
    await _is_refused(target, target.token("investigator").rpartition(".")[0])


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'["ES256"]',
        b"{}",
        b'{"typ":"JWT"}',
        b'{"alg":"ES256","crit":["unheard-of"],"unheard-of":1}',
        b'{"alg":"ES256","crit":[]}',
        b'{"alg":["ES256"]}',
        b'{"alg":"ES256","b64":false,"crit":["b64"]}',
        b"[" * 3000 + b"]" * 3000,
        b"nothing",
        b"\xff\xfe",
    ],
    ids=lambda header: header[:30].decode(errors="replace"),
)
async def test_an_odd_header_is_refused(target: Target, header: bytes) -> None:
    _, claims, signature = target.token("investigator").split(".")
    await _is_refused(target, f"{_part(header)}.{claims}.{signature}", 400)


@pytest.mark.parametrize("claims", [b"[]", b"[" * 3000 + b"]" * 3000, b"null", b"", b"\xff"])
async def test_odd_claims_are_refused(target: Target, claims: bytes) -> None:
    header, _, signature = target.token("investigator").split(".")
    await _is_refused(target, f"{header}.{_part(claims)}.{signature}", 400)


@pytest.mark.parametrize("token", ["abc", "a.b.c", "...", "..", "eyJhbGciOiJub25lIn0", "%00"])
async def test_what_is_no_token_is_refused(target: Target, token: str) -> None:
    await _is_refused(target, token, 400)


@pytest.mark.parametrize(
    "stated",
    [
        {"expires_in": -60},
        {"expires_in": -(10**6)},
        {"audience": "another"},
        {"audience": ""},
        {"issuer": "https://another.invalid"},
        {"issuer": ""},
    ],
    ids=str,
)
async def test_a_well_signed_token_may_still_not_be_for_us(
    target: Target, stated: dict[str, Any]
) -> None:
    await _is_refused(target, target.token("investigator", **stated))


@pytest.mark.parametrize("length", [20_000, 70_000, 1_000_000])
async def test_an_endless_token_is_cut_short(target: Target, length: int) -> None:
    sent = b"GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
    async with target.writing_nothing():
        received = await target.raw(sent + b"A" * length + b"\r\n\r\n")
    assert not received or statuses_in(received)[0] in {400, 401, 413, 431}


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0)])
async def test_two_authorizations_are_one_too_many(target: Target, order: tuple[int, int]) -> None:
    given = [f"Bearer {target.token('investigator')}", "Bearer wrong"]
    headers = [("Authorization", given[at]) for at in order]
    answer = await target.client.get(f"/v1/studies/{STUDY}/participants", headers=headers)
    check_refusal(answer, 400, 401)


@pytest.mark.parametrize("parameter", ["access_token", "token", "authorization", "bearer"])
async def test_a_token_in_the_query_is_not_read(target: Target, parameter: str) -> None:
    path = f"/participants?{parameter}={target.token('investigator')}"
    await target.refuses(401, method="GET", path=path, role=None)


@pytest.mark.parametrize(
    "header", ["Cookie", "X-Access-Token", "Proxy-Authorization", "X-Authorization"]
)
async def test_a_token_elsewhere_is_not_read(target: Target, header: str) -> None:
    token = target.token("investigator")
    for value in (f"Bearer {token}", token, f"access_token={token}"):
        await target.refuses(401, method="GET", path="/participants", role=None, **{header: value})


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Basic dXNlcjpwYXNz", "Bearer a b", "Token abc", "bearer", "ES256 x"],
)
async def test_another_scheme_is_refused(target: Target, value: str) -> None:
    await target.refuses(
        400, 401, method="GET", path="/participants", role=None, Authorization=value
    )


async def test_nobody_is_told_how_to_prove_who_they_are(target: Target, person: str) -> None:
    for path in (person, "/participants", "/audit", "/v1/me", "/metrics", "/v1/studies"):
        await target.refuses(401, method="GET", path=path, role=None)
    for path in (f"{person}/adverse-events", f"{person}/visits", "/assessments/bulk"):
        await target.refuses(401, method="POST", path=path, body=b"not json", role=None)


async def test_a_stranger_learns_nothing_from_a_later_check(target: Target, person: str) -> None:
    etag = (await target.get(person)).headers["etag"]
    for headers in ({"If-None-Match": etag}, {"If-Match": "*"}, {"Idempotency-Key": "x" * 300}):
        for role, status in ((None, 401), ("participant", 404)):
            answer: httpx.Response = await target.refuses(
                status,
                403,
                method="POST",
                path=f"{person}/adverse-events",
                body={"term": 1},
                role=role,
                **headers,
            )
            assert "errors" not in answer.json()
