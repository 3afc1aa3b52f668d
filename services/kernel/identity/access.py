"""Who calls: the verified token's claims, and which roles may call what.

Identity comes from the token alone. Algorithms are pinned, so that neither `none` nor a
public key used as an HMAC secret is ever believed.
"""

import asyncio
import base64
import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from uuid import UUID

from joserfc import jwt
from joserfc.jws import JWSRegistry

from services.kernel.identity.issuer_keys import IssuerKeys
from services.kernel.refusals import NotFound, Refusal
from services.kernel.settings import Issuer

Role = Literal[
    "edc",
    "coordinator",
    "investigator",
    "safety_officer",
    "statistician",
    "auditor",
    "participant",
    "admin",
    "service",
]
ROLES: Final = frozenset(get_args(Role))
ALGORITHMS: Final = ("ES256", "RS256")
LEEWAY_SECONDS: Final = 30
LONGEST_TOKEN: Final = 8192
_CACHED_TOKENS: Final = 4096


class Unauthenticated(Refusal):
    """A valid bearer token is needed.

    Get a new token from the issuer, and send it as `Authorization: Bearer`.
    """

    status = 401


class AmbiguousCredentials(Refusal):
    """Credentials were given more than once.

    Send exactly one `Authorization` header.
    """

    status = 400


class NotPermitted(Refusal):
    """Your role may not do this.

    Ask somebody with one of the roles that the contract names for the operation.
    """

    status = 403


@dataclass(frozen=True, slots=True)
class Caller:
    """The person or system behind a verified token.

    `sites` None covers all sites of its studies.
    """

    issuer: str
    subject: str
    roles: frozenset[str]
    studies: frozenset[str]
    sites: frozenset[str] | None
    participant: UUID | None
    token: str
    expires_at: float

    @property
    def identity(self) -> str:
        """Who it is, apart from everybody of any other issuer."""
        return f"{self.issuer} {self.subject}"

    @property
    def key_space(self) -> str:
        """Whose idempotency keys these are.

        The same subject acting for other sites is another caller: an answer given for one
        site is never repeated to a token that does not cover it.
        """
        sites = "" if self.sites is None else f" {','.join(sorted(self.sites))}"
        return f"{self.identity}{sites}"

    def has_role(self, *roles: str) -> bool:
        """Tell whether the caller holds one of the roles."""
        return not self.roles.isdisjoint(roles)

    def covers_site(self, site: str) -> bool:
        """Tell whether the caller may know of records of the site."""
        return self.sites is None or site in self.sites

    def acting_role(self, allowed: frozenset[str]) -> str:
        """Return the role under which the caller acts: the first allowed one it holds."""
        return min(self.roles & allowed, key=_RANK.__getitem__, default="")


_RANK: Final = {
    role: rank
    for rank, role in enumerate(
        (
            "investigator",
            "safety_officer",
            "coordinator",
            "edc",
            "admin",
            "statistician",
            "auditor",
            "participant",
            "service",
        )
    )
}


class TokenVerifier:
    """Verifies bearer tokens against the key sets of the configured issuers."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._verified: OrderedDict[str, Caller] = OrderedDict()
        # A key that is withdrawn takes the tokens with it that it had verified.
        self._keys = {
            name: IssuerKeys(issuer, self._verified.clear) for name, issuer in self._issuers.items()
        }

    async def verify(self, authorization: Sequence[str]) -> Caller:
        """Return the caller behind the `Authorization` headers of a request.

        Raises Unauthenticated for none, a wrong, an expired or a foreign token, and
        AmbiguousCredentials for more than one header.
        """
        token = _bearer(authorization)
        known = self._verified.get(token)
        if known is not None and known.expires_at > time.time():
            return known
        caller = await self._check(token)
        self._verified[token] = caller
        if len(self._verified) > _CACHED_TOKENS:
            self._verified.popitem(last=False)
        return caller

    async def are_keys_known(self) -> bool:
        """Tell whether tokens of every issuer can be verified."""
        return all(await asyncio.gather(*(keys.are_known() for keys in self._keys.values())))

    async def _check(self, token: str) -> Caller:
        try:
            header, claims = _unverified(token)
            issuer = self._issuers[claims["iss"]]
            algorithm = _algorithm(header)
            key = await self._keys[issuer.issuer].key_for(header.get("kid"), algorithm)
            return _caller(token, jwt.decode(token, key, registry=_REGISTRY).claims, issuer)
        except Refusal:
            raise
        except Exception:  # noqa: BLE001 - whatever is odd about a token, it is not believed
            raise _not_valid() from None


def _not_valid() -> Unauthenticated:
    return Unauthenticated("The token is not valid here.")


_REGISTRY: Final = JWSRegistry(algorithms=list(ALGORITHMS))


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims without believing them: only to choose whose key to ask."""
    header, claims, _ = token.split(".")
    return _object(header), _object(claims)


def _object(part: str) -> dict[str, Any]:
    value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(value, dict):
        raise _not_valid()
    return value


def _algorithm(header: Mapping[str, Any]) -> str:
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise _not_valid()
    return str(algorithm)


def _bearer(authorization: Sequence[str]) -> str:
    if len(authorization) > 1:
        raise AmbiguousCredentials("Exactly one Authorization header is needed.")
    words = authorization[0].split(" ") if authorization else []
    if len(words) != 2 or words[0].lower() != "bearer" or not words[1]:  # noqa: PLR2004 - scheme and token
        raise Unauthenticated("Send one header: Authorization: Bearer <token>.")
    if len(words[1]) > LONGEST_TOKEN or not words[1].isascii():
        raise _not_valid()
    return words[1]


def _caller(token: str, claims: Mapping[str, Any], issuer: Issuer) -> Caller:
    now = time.time()
    expires_at = float(claims["exp"])
    audience = claims["aud"]
    audiences = [audience] if isinstance(audience, str) else list(audience)
    in_time = (
        now < expires_at + LEEWAY_SECONDS and now > float(claims.get("nbf", 0)) - LEEWAY_SECONDS
    )
    if not in_time or issuer.audience not in audiences:
        raise Unauthenticated("The token has expired or is meant for another audience.")
    sites = claims.get("sites")
    participant = claims.get("participant")
    return Caller(
        issuer=issuer.issuer,
        subject=_text(claims["sub"]),
        roles=frozenset(_texts(claims.get("roles", []))) & ROLES,
        studies=frozenset(_texts(claims.get("studies", []))),
        sites=None if sites is None else frozenset(_texts(sites)),
        participant=None if participant is None else UUID(_text(participant)),
        token=token,
        expires_at=expires_at + LEEWAY_SECONDS,
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Unauthenticated("The token lacks a claim.")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise Unauthenticated("A claim of the token is no list.")
    return [_text(item) for item in value]


def require_study(caller: Caller, study: str) -> None:
    """Raise NotFound where the caller's token does not cover the study."""
    if study not in caller.studies:
        raise NotFound
