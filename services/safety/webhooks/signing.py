"""Signatures by the Standard Webhooks specification 1.0.0: HMAC-SHA256 over id, time, body.

A receiver computes `v1,` and the base64 of the digest of `{id}.{time}.{body}` with the
secret, compares in constant time, and refuses times that are minutes off.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret is recognised


def secret_text(secret: bytes) -> str:
    """Return a secret as the receiver is given it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature_headers(
    notice: UUID, at: datetime, body: bytes, secrets: Iterable[bytes]
) -> dict[str, str]:
    """Return the headers of a delivery; one signature for each secret that is in force."""
    seconds = str(int(at.timestamp()))
    signed = b".".join([str(notice).encode(), seconds.encode(), body])
    digests = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": str(notice),
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in digests),
    }
