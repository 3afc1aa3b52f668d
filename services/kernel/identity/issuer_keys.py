"""The keys of one OpenID Connect issuer: discovered, kept, and fetched anew when they rotate.

An issuer that cannot be reached stops nobody whose key is known. A forged token must not make
us fetch at will: between two attempts lie seconds, and all who wait share one attempt.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from services.kernel.problems import Unavailable
from services.kernel.settings import Issuer, is_safe_source

log = structlog.get_logger()

FRESH_SECONDS: Final = 300
PAUSE_SECONDS: Final = 5
DISCOVERY: Final = "/.well-known/openid-configuration"
_PATIENCE_SECONDS: Final = 5
_LARGEST_DOCUMENT: Final = 1024 * 1024
_SMALLEST_RSA_BITS: Final = 2048
_PUBLIC: Final = frozenset({"kty", "kid", "crv", "x", "y", "n", "e"})
_ALGORITHM_BY_KIND: Final = {("EC", "P-256"): "ES256", ("RSA", None): "RS256"}


class KeysUnavailable(Unavailable):
    """The keys of the token's issuer cannot be had now.

    Send the same request again; until then nobody knows whether the token is good.
    """


class NoSuchKey(LookupError):  # noqa: N818 - states a fact
    """The issuer has no such key, or more than one that would do."""


class WrongDocument(ValueError):  # noqa: N818 - states a fact
    """An issuer's document is not what OpenID Connect says of it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key, and the one algorithm for which it is used."""

    kid: str | None
    algorithm: str
    key: ECKey | RSAKey


class IssuerKeys:
    """The signing keys of one issuer; `on_change` is told when they are other ones."""

    def __init__(
        self,
        issuer: Issuer,
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._on_change = on_change
        self._clock = clock
        self._published: Sequence[dict[str, Any]] = ()
        self._keys: Sequence[SigningKey] = ()
        self._fetched_at = -float("inf")
        self._tried_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    async def key_for(self, kid: str | None, algorithm: str) -> ECKey | RSAKey:
        """Return the key that a token's header names.

        Raises NoSuchKey, and KeysUnavailable while no key was ever fetched.
        """
        found = self._find(kid, algorithm)
        if found is None and self._may_try():
            await self._fetch_once()
            found = self._find(kid, algorithm)
        elif found is not None and self._is_old() and self._may_try():
            self._begin_fetching()
        if found is None:
            raise NoSuchKey if self._keys else KeysUnavailable
        return found

    async def are_known(self) -> bool:
        """Tell whether there are keys to verify with; fetches them if there were none yet."""
        if not self._keys and self._may_try():
            await self._fetch_once()
        return bool(self._keys)

    def _find(self, kid: str | None, algorithm: str) -> ECKey | RSAKey | None:
        fitting = [one for one in self._keys if one.algorithm == algorithm]
        named = fitting if kid is None else [one for one in fitting if one.kid == kid]
        # Without a name there must be no choice.
        return named[0].key if len(named) == 1 else None

    def _is_old(self) -> bool:
        return self._clock() - self._fetched_at > FRESH_SECONDS

    def _may_try(self) -> bool:
        is_running = self._fetching is not None and not self._fetching.done()
        return is_running or self._clock() - self._tried_at > PAUSE_SECONDS

    def _begin_fetching(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch_once(self) -> None:
        await asyncio.shield(self._begin_fetching())

    async def _fetch(self) -> None:
        try:
            published = await fetch_key_set(self._issuer)
            keys = usable_keys(published)
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("issuer_keys", kind=type(error).__name__)
            return
        self._fetched_at = self._clock()
        if list(self._published) != list(published):
            self._published, self._keys = published, keys
            self._on_change()


async def fetch_key_set(issuer: Issuer) -> list[dict[str, Any]]:
    """Return the keys that the issuer publishes.

    Raises OSError, ValueError and httpx.HTTPError.
    """
    source = issuer.jwks
    if source is not None and not source.startswith(("http://", "https://")):
        document = json.loads(await asyncio.to_thread(Path(source).read_bytes))
    else:
        async with httpx.AsyncClient(timeout=_PATIENCE_SECONDS) as client:
            document = await _read(client, source or await _discover(client, issuer))
    keys = document.get("keys")
    if not isinstance(keys, list):
        raise WrongDocument
    return [key for key in keys if isinstance(key, dict)]


async def _discover(client: httpx.AsyncClient, issuer: Issuer) -> str:
    document = await _read(client, issuer.issuer.rstrip("/") + DISCOVERY)
    source = document.get("jwks_uri")
    if document.get("issuer") != issuer.issuer or not isinstance(source, str):
        raise WrongDocument
    if not is_safe_source(source, allow_http=issuer.allow_http):
        raise WrongDocument
    return source


async def _read(client: httpx.AsyncClient, address: str) -> dict[str, Any]:
    received = b""
    async with asyncio.timeout(_PATIENCE_SECONDS), client.stream("GET", address) as answer:
        # Not followed: an issuer's documents are where they are said to be.
        if answer.status_code != httpx.codes.OK:
            raise WrongDocument
        async for part in answer.aiter_bytes():
            received += part
            if len(received) > _LARGEST_DOCUMENT:
                raise WrongDocument
    document = json.loads(received)
    if not isinstance(document, dict):
        raise WrongDocument
    return document


def usable_keys(published: Sequence[dict[str, Any]]) -> list[SigningKey]:
    """Return the keys that may verify a token; others in the set do no harm."""
    return [key for one in published if (key := _usable(one)) is not None]


def _usable(published: dict[str, Any]) -> SigningKey | None:
    kind = (str(published.get("kty")), published.get("crv"))
    algorithm = _ALGORITHM_BY_KIND.get(kind)
    if algorithm is None or published.get("alg", algorithm) != algorithm:
        return None
    if published.get("use", "sig") != "sig" or "verify" not in published.get("key_ops", ["verify"]):
        return None
    # Of a private key published by mistake only the public part is read.
    public = {name: value for name, value in published.items() if name in _PUBLIC}
    try:
        if algorithm == "RS256" and _bits(public["n"]) < _SMALLEST_RSA_BITS:
            return None
        key: ECKey | RSAKey = (ECKey if algorithm == "ES256" else RSAKey).import_key(public)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    kid = published.get("kid")
    return SigningKey(kid if isinstance(kid, str) else None, algorithm, key)


def _bits(modulus: str) -> int:
    raw = base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))
    return int.from_bytes(raw, "big").bit_length()
