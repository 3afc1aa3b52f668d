"""The development issuer: it signs tokens with a key made at the first start.

A real installation names an OpenID Connect issuer of its own instead.
"""

import json
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey

from launcher.data_folder import write_once

ISSUER: Final = "https://issuer.trial-events.invalid"
AUDIENCE: Final = "trial-events"
WORKDAY_SECONDS: Final = 12 * 3600


def key_set(data: Path) -> Path:
    """Return the path of the public key set, made at the first call."""
    public = data / "issuer" / "jwks.json"
    key = _key(data)
    if not public.exists():
        keys = {"keys": [key.as_dict(private=False, use="sig", alg="ES256")]}
        write_once(public, json.dumps(keys), mode=0o644)
    return public


def mint_token(  # noqa: PLR0913 - one parameter a claim
    data: Path,
    *,
    roles: Sequence[str],
    studies: Sequence[str] = (),
    sites: Sequence[str] | None = None,
    participant: str | None = None,
    subject: str | None = None,
    expires_in: int = WORKDAY_SECONDS,
    audience: str = AUDIENCE,
    issuer: str = ISSUER,
) -> str:
    """Return a signed token; `sites` None covers all sites, `expires_in` is in seconds.

    Without a subject it is `demo-` and the first role.
    """
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": subject or f"demo-{roles[0]}",
        "iat": now,
        "exp": now + expires_in,
        "jti": str(uuid.uuid4()),
        "roles": list(roles),
        "studies": list(studies),
    }
    if sites is not None:
        claims["sites"] = list(sites)
    if participant is not None:
        claims["participant"] = participant
    key = _key(data)
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)


def _key(data: Path) -> ECKey:
    return ECKey.import_key(json.loads(private_key(data / "issuer").read_text()))


def private_key(folder: Path) -> Path:
    """Return the path of the P-256 key kept in a folder, made at the first call."""
    private = folder / "private.json"
    if not private.exists():
        private.parent.mkdir(parents=True, exist_ok=True)
        made = ECKey.generate_key("P-256", auto_kid=True)
        write_once(private, json.dumps(made.as_dict(private=True)))
    return private
