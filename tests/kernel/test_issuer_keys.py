"""Tokens of OpenID Connect issuers: discovery, rotation, outage, and keys that do not fit."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import ValidationError

from services.kernel.identity import Caller, TokenVerifier, Unauthenticated, issuer_keys
from services.kernel.identity.issuer_keys import IssuerKeys, KeysUnavailable, NoSuchKey
from services.kernel.settings import Issuer

AUDIENCE: Final = "trial-events"
LONG_AGO: Final = 1_600_000_000
FAR_AHEAD: Final = 4_000_000_000
RSA_KEY: Final = rsa.generate_private_key(65537, 2048)
SMALL_RSA_KEY: Final = rsa.generate_private_key(65537, 1024)  # noqa: S505 - refused for it
EC_KEYS: Final = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
EC_384: Final = ec.generate_private_key(ec.SECP384R1())


def public(key: Any, kid: str | None = None, **stated: Any) -> dict[str, Any]:
    """Return a public key as an issuer publishes it."""
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    published: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    published.pop("key_ops", None)
    return {**published, **({} if kid is None else {"kid": kid}), **stated}


@dataclass
class LocalIssuer:
    """An issuer on this machine: what it publishes, and how often it was asked."""

    url: str = ""
    keys: list[Any] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_down: bool = False

    def settings(self, **stated: Any) -> Issuer:
        return Issuer(**{"issuer": self.url, "audience": AUDIENCE, **stated})

    def answer(self, path: str) -> Any:
        usual = {
            issuer_keys.DISCOVERY: {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": self.keys},
        }
        return {**usual, **self.documents}.get(path)

    def token(self, key: Any = EC_KEYS[0], kid: str | None = "a", **stated: Any) -> str:
        """Return a token signed by another library than the one that verifies it."""
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "dr-li", "exp": time.time() + 60}
        claims |= {"roles": ["investigator"], "studies": ["STUDY-1"]}
        header = {} if kid is None else {"kid": kid}
        stated = {name: value for name, value in (claims | stated).items() if value is not None}
        return jwt.encode(stated, key, algorithm=algorithm, headers=header)


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    local = LocalIssuer(keys=[public(EC_KEYS[0], "a")])

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            local.asked.append(self.path)
            found = None if local.is_down else local.answer(self.path)
            if isinstance(found, str):
                self.send_response(302)
                self.send_header("Location", found)
                self.end_headers()
                return
            self.send_response(503 if found is None else 200)
            self.end_headers()
            self.wfile.write(found if isinstance(found, bytes) else json.dumps(found).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    local.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield local
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Watch:
    """A clock that is set by hand."""

    now: float = 0

    def __call__(self) -> float:
        return self.now


async def verified(verifier: TokenVerifier, token: str) -> Caller:
    return await verifier.verify([f"Bearer {token}"])


async def test_keys_are_found_by_the_discovery_document(issuer: LocalIssuer) -> None:
    verifier = TokenVerifier([issuer.settings()])
    caller = await verified(verifier, issuer.token())
    assert (caller.issuer, caller.subject) == (issuer.url, "dr-li")
    assert issuer.asked == [issuer_keys.DISCOVERY, "/keys"]
    await verified(verifier, issuer.token(sub="another"))
    assert len(issuer.asked) == 2


async def test_an_issuer_may_end_with_a_slash(issuer: LocalIssuer) -> None:
    issuer.documents[issuer_keys.DISCOVERY] = {
        "issuer": f"{issuer.url}/",
        "jwks_uri": f"{issuer.url}/keys",
    }
    verifier = TokenVerifier([issuer.settings(issuer=f"{issuer.url}/")])
    assert (await verified(verifier, issuer.token(iss=f"{issuer.url}/"))).subject == "dr-li"


async def test_both_algorithms_are_believed(issuer: LocalIssuer) -> None:
    issuer.keys = [public(EC_KEYS[0], "a"), public(RSA_KEY, "r", use="sig", alg="RS256")]
    verifier = TokenVerifier([issuer.settings(jwks=f"{issuer.url}/keys")])
    assert await verified(verifier, issuer.token())
    assert await verified(verifier, issuer.token(RSA_KEY, "r"))
    assert issuer.asked == ["/keys"]


async def test_several_issuers_stand_side_by_side(issuer: LocalIssuer) -> None:
    other = Issuer(issuer="https://other.test", audience="theirs", jwks=f"{issuer.url}/theirs")
    issuer.documents["/theirs"] = {"keys": [public(EC_KEYS[1], "a")]}
    verifier = TokenVerifier([issuer.settings(), other])
    ours = await verified(verifier, issuer.token())
    theirs: Any = {"iss": "https://other.test", "aud": ["x", "theirs"]}
    caller = await verified(verifier, issuer.token(EC_KEYS[1], **theirs))
    assert caller.subject == ours.subject
    assert caller.identity != ours.identity
    for key, claims in ((EC_KEYS[0], theirs), (EC_KEYS[1], {}), (EC_KEYS[1], {"aud": "theirs"})):
        with pytest.raises(Unauthenticated):
            await verified(verifier, issuer.token(key, **claims))


async def test_a_rotated_key_is_picked_up_and_a_withdrawn_one_forgotten(
    issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "PAUSE_SECONDS", 0)
    verifier = TokenVerifier([issuer.settings()])
    before = issuer.token()
    await verified(verifier, before)
    issuer.keys = [public(EC_KEYS[1], "b")]
    assert await verified(verifier, before)
    assert await verified(verifier, issuer.token(EC_KEYS[1], "b"))
    with pytest.raises(Unauthenticated):
        await verified(verifier, before)


async def test_old_keys_are_fetched_anew_beside_the_requests(issuer: LocalIssuer) -> None:
    watch, changes = Watch(), []
    keys = IssuerKeys(issuer.settings(), lambda: changes.append(watch.now), watch)
    await keys.key_for("a", "ES256")
    issuer.keys = [*issuer.keys, public(EC_KEYS[1], "b")]
    watch.now = issuer_keys.FRESH_SECONDS + 1
    await keys.key_for("a", "ES256")
    async with asyncio.timeout(20):
        while changes[-1] != watch.now:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    assert issuer.asked.count("/keys") == 2
    assert await keys.key_for("b", "ES256")


async def test_an_issuer_that_is_away_stops_no_known_key(issuer: LocalIssuer) -> None:
    watch = Watch()
    keys = IssuerKeys(issuer.settings(), lambda: None, watch)
    known = await keys.key_for("a", "ES256")
    issuer.is_down = True
    for _ in range(3):
        watch.now += issuer_keys.FRESH_SECONDS + 1
        assert await keys.key_for("a", "ES256") is known
        with pytest.raises(NoSuchKey):
            await keys.key_for("b", "ES256")


async def test_without_any_key_the_answer_is_that_it_is_unknown_who_calls(
    issuer: LocalIssuer,
) -> None:
    issuer.is_down = True
    watch = Watch()
    keys = IssuerKeys(issuer.settings(), lambda: None, watch)
    for _ in range(50):
        with pytest.raises(KeysUnavailable):
            await keys.key_for("a", "ES256")
    assert not await keys.are_known()
    assert len(issuer.asked) == 1
    issuer.is_down = False
    watch.now += issuer_keys.PAUSE_SECONDS + 1
    assert await keys.are_known()
    assert await keys.key_for("a", "ES256")


async def test_forged_tokens_do_not_make_us_fetch_at_will(issuer: LocalIssuer) -> None:
    verifier = TokenVerifier([issuer.settings()])
    forged = [issuer.token(EC_KEYS[2], f"forged-{at}") for at in range(30)]
    forged += [issuer.token(EC_KEYS[2], "a", sub=f"m-{at}") for at in range(30)]
    refused = await asyncio.gather(
        *(verified(verifier, token) for token in forged), return_exceptions=True
    )
    assert {type(one) for one in refused} == {Unauthenticated}
    assert issuer.asked.count("/keys") == 1


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.test", "jwks_uri": "http://127.0.0.1:9/keys"},
        {"jwks_uri": "http://127.0.0.1:9/keys"},
        {"issuer": "ours"},
        {"issuer": "ours", "jwks_uri": "http://keys.example/keys"},
        {"issuer": "ours", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "ours", "jwks_uri": ["x"]},
        ["issuer"],
        b"<html>",
        b" " * (1024 * 1024 + 1),
        "https://elsewhere.example/",
    ],
    ids=lambda document: str(document)[:60],
)
async def test_a_wrong_discovery_document_is_not_followed(
    issuer: LocalIssuer, document: Any
) -> None:
    if isinstance(document, dict) and document.get("issuer") == "ours":
        document = {**document, "issuer": issuer.url}
    issuer.documents[issuer_keys.DISCOVERY] = document
    with pytest.raises(KeysUnavailable):
        await verified(TokenVerifier([issuer.settings()]), issuer.token())
    assert issuer.asked == [issuer_keys.DISCOVERY]


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    ("published", "key"),
    [
        (public(EC_KEYS[0], "a", use="enc"), EC_KEYS[0]),
        (public(EC_KEYS[0], "a", alg="ES384"), EC_KEYS[0]),
        (public(EC_KEYS[0], "a", alg="RS256"), EC_KEYS[0]),
        (public(EC_KEYS[0], "a", key_ops=["sign"]), EC_KEYS[0]),
        (public(RSA_KEY, "a", alg="PS256"), RSA_KEY),
        (public(SMALL_RSA_KEY, "a"), SMALL_RSA_KEY),
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}, EC_KEYS[0]),
        ({**public(EC_KEYS[0], "a"), "x": "!"}, EC_KEYS[0]),
        ({"kty": "EC", "crv": "P-256", "kid": "a"}, EC_KEYS[0]),
        (public(EC_KEYS[0], "A"), EC_KEYS[0]),
        ({"kty": ["EC"]}, EC_KEYS[0]),
    ],
    ids=[
        *("for encryption", "ES384", "RS256", "to sign", "PS256", "small", "a secret"),
        *("no point", "half a key", "another name", "an odd kind"),
    ],
)
async def test_a_key_for_something_else_verifies_nothing(
    issuer: LocalIssuer, published: dict[str, Any], key: Any
) -> None:
    issuer.keys = [published, "no key", public(EC_384, "c"), public(EC_KEYS[1], "b")]
    verifier = TokenVerifier([issuer.settings()])
    assert await verified(verifier, issuer.token(EC_KEYS[1], "b"))
    with pytest.raises(Unauthenticated):
        await verified(verifier, issuer.token(key, "a"))


async def test_a_token_that_names_no_key_needs_that_there_is_one_only(issuer: LocalIssuer) -> None:
    issuer.keys = [public(EC_KEYS[0]), public(RSA_KEY, "r")]
    verifier = TokenVerifier([issuer.settings()])
    assert await verified(verifier, issuer.token(kid=None))
    issuer.keys = [public(EC_KEYS[0], "a"), public(EC_KEYS[1], "b")]
    with pytest.raises(Unauthenticated):
        await verified(TokenVerifier([issuer.settings()]), issuer.token(kid=None))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 0},
        {"exp": LONG_AGO},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": FAR_AHEAD},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["another", "trial"]},
        {"iss": "https://evil.test"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"roles": "investigator"},
        {"roles": [1]},
        {"sites": "GDTCM"},
        {"studies": {"STUDY-1": True}},
        {"participant": "everybody"},
    ],
    ids=str,
)
async def test_a_well_signed_token_may_still_be_refused(
    issuer: LocalIssuer, claims: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated):
        await verified(TokenVerifier([issuer.settings()]), issuer.token(**claims))


@pytest.mark.parametrize("claims", [{"exp": -10}, {"nbf": 10}])
async def test_clocks_may_differ_a_little(issuer: LocalIssuer, claims: dict[str, float]) -> None:
    near: Any = {name: time.time() + seconds for name, seconds in claims.items()}
    assert await verified(TokenVerifier([issuer.settings()]), issuer.token(**near))


async def test_unknown_roles_are_none(issuer: LocalIssuer) -> None:
    token = issuer.token(roles=["root", "edc"])
    caller = await verified(TokenVerifier([issuer.settings()]), token)
    assert caller.roles == {"edc"}


@pytest.mark.parametrize(
    "stated",
    [
        {"issuer": "http://issuer.example"},
        {"issuer": "https://issuer.example", "jwks": "http://issuer.example/keys"},
        {"issuer": "http://127.0.0.1.example"},
        {"issuer": "http://localhost.example/x"},
        {"issuer": "http://user@issuer.example"},
        {"issuer": "just a name"},
    ],
    ids=str,
)
def test_keys_come_protected_or_not_at_all(stated: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Issuer(**{"audience": AUDIENCE, **stated})


@pytest.mark.parametrize(
    "stated",
    [
        {"issuer": "https://issuer.example"},
        {"issuer": "http://localhost:8080/realms/trial"},
        {"issuer": "http://[::1]:8080"},
        {"issuer": "http://issuer.example", "allow_http": True},
        {"issuer": "just a name", "jwks": "/etc/keys.json"},
        {"issuer": "https://issuer.example", "jwks": "http://keycloak/keys", "allow_http": True},
    ],
    ids=str,
)
def test_unprotected_keys_are_for_this_machine_or_by_choice(stated: dict[str, Any]) -> None:
    assert Issuer(**{"audience": AUDIENCE, **stated})
