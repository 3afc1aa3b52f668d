"""Where a webhook may lead: public addresses, and the networks that the settings allow.

A name is resolved when something is sent, and the connection goes to the address that was
checked: a name that resolves otherwise a moment later (DNS rebinding) changes nothing.
"""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpx

from services.safety.settings import Network

Address = IPv4Address | IPv6Address
RESOLVE_SECONDS: Final = 5
LONGEST_URL: Final = 2000
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind NAT64 (RFC 6052); the last 32 bits are the address."""
_IPV4_BITS: Final = 0xFFFF_FFFF


class AddressRefused(Exception):  # noqa: N818 - states a fact
    """The name leads to an address to which nothing is sent."""


class NameUnknown(Exception):  # noqa: N818 - states a fact
    """The name does not resolve now."""


def read_url(text: str) -> httpx.URL | None:
    """Return an absolute http or https address without user or fragment, else None."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return None
    has_scheme = url.scheme in {"http", "https"} and bool(url.host)
    is_plain = not url.userinfo and not url.fragment and len(text) <= LONGEST_URL
    return url if has_scheme and is_plain else None


async def resolve(url: httpx.URL, allowed: Iterable[Network]) -> Address:
    """Return the address to connect to.

    Every address of the name must be allowed: one that is not means that the name is not the
    receiver's alone. Plain http is for allowed networks only.
    Raises AddressRefused and NameUnknown.
    """
    networks = tuple(allowed)
    found = await _addresses(url)
    for address in found:
        is_ours = any(address in network for network in networks)
        if not is_ours and (url.scheme != "https" or not _is_public(address)):
            raise AddressRefused
    return found[0]


async def _addresses(url: httpx.URL) -> list[Address]:
    loop = asyncio.get_running_loop()
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            rows = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise NameUnknown from None
    return [ip_address(str(row[4][0]).partition("%")[0]) for row in rows]


def _is_public(address: Address) -> bool:
    return all(one.is_global and not one.is_multicast for one in _meant(address))


def _meant(address: Address) -> Iterator[Address]:
    """Yield the address and the IPv4 addresses that it may stand for."""
    yield address
    if isinstance(address, IPv4Address):
        return
    embedded = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    yield from (one for one in embedded if one is not None)
    if address in _TRANSLATED:
        yield IPv4Address(int(address) & _IPV4_BITS)
