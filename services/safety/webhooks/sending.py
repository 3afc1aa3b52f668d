"""One attempt to deliver a notice: one POST, no redirects, an answer within the time."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx

from services.safety.settings import WebhookSettings
from services.safety.webhooks.addresses import AddressRefused, NameUnknown, resolve

MEDIA_TYPE: Final = "application/cloudevents+json"
SendFault = Literal[
    "address_refused", "name_unknown", "timeout", "connection", "redirect", "status"
]


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended: with the receiver's status, or without; no fault is success."""

    status: int | None = None
    fault: SendFault | None = None


class Sender:
    """Sends to receivers; keeps no connection, since two names may share an address."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(
            verify=_trusted(settings.ca_file),
            follow_redirects=False,
            trust_env=False,
            timeout=None,  # noqa: S113 - one limit holds for all of an attempt, below
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=0),
            headers={"Content-Type": MEDIA_TYPE, "User-Agent": "trial-events"},
        )

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()

    async def send(self, url_text: str, headers: Mapping[str, str], body: bytes) -> Attempt:
        """Return how the attempt ended; whatever the receiver does, it ends in time."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                status = await self._post(httpx.URL(url_text), headers, body)
        except AddressRefused:
            return Attempt(fault="address_refused")
        except NameUnknown:
            return Attempt(fault="name_unknown")
        except TimeoutError:
            return Attempt(fault="timeout")
        except (httpx.HTTPError, OSError, ValueError):
            return Attempt(fault="connection")
        return Attempt(status, _fault_of(status))

    async def _post(self, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> int:
        address = await resolve(url, self._settings.allowed_networks)
        # To the address that was checked, under the receiver's own name; the answer's body is
        # left unread: nothing that a receiver says is kept.
        async with self._client.stream(
            "POST",
            url.copy_with(host=str(address)),
            content=body,
            headers={**headers, "Host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        ) as answer:
            return answer.status_code


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Return which certificates are believed: the public ones, and those of a file."""
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def _fault_of(status: int) -> SendFault | None:
    if httpx.codes.is_success(status):
        return None
    return "redirect" if httpx.codes.is_redirect(status) else "status"
