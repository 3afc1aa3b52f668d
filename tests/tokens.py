"""Tokens as the issuer of the tests signs them."""

import time
from collections.abc import Sequence
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER: Final = "https://issuer.test"
AUDIENCE: Final = "trial-events"


def signed(key: ECKey, role: str, known: Sequence[str], **claims: Any) -> str:
    """Return a token of a role in the known studies, for an hour; a claim of None is left out."""
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": f"{role}-1",
        "exp": int(time.time()) + 3600,
        "roles": [role],
        "studies": list(known),
    }
    stated = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode({"alg": "ES256"}, stated, key)
