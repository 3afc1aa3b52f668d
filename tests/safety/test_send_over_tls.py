import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from services.safety.settings import WebhookSettings
from services.safety.webhooks.sending import Attempt, Sender
from tests.safety.receivers import Receiver

NAME: Final = "desk.test"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate for one name, in files."""

    chain: Path
    key: Path


def certificate(folder: Path, name: str) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    made.chain.write_bytes(signed.public_bytes(Encoding.PEM))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


@asynccontextmanager
async def serving(receiver: Receiver, of: Certificate, asked: list[Any]) -> AsyncIterator[str]:
    """Serve over TLS; `asked` gets the names that clients ask for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(of.chain, of.key)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://{NAME}:{server.sockets[0].getsockname()[1]}/desk"
    finally:
        server.close()


async def sent(url: str, ca_file: Path | None) -> Attempt:
    networks = (ip_network("127.0.0.0/8"),)
    sender = Sender(WebhookSettings(allowed_networks=networks, ca_file=ca_file))
    try:
        return await sender.send(url, {"webhook-id": "1"}, b"{}")
    finally:
        await sender.close()


@pytest.fixture(autouse=True)
async def _resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the receiver's name lead to this machine, once: it is not resolved again."""
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo
    answers = ["127.0.0.1"]

    async def resolve(host: Any, port: Any, **options: Any) -> Any:
        if host == NAME:
            return [(2, 1, 6, "", (answers.pop(), port))]
        return await real(host, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", resolve)


async def test_the_checked_address_is_used_under_the_receivers_own_name(tmp_path: Path) -> None:
    receiver, asked = Receiver(), list[Any]()
    own = certificate(tmp_path, NAME)
    async with serving(receiver, own, asked) as url:
        assert await sent(url, own.chain) == Attempt(status=204)
    assert asked == [NAME]
    assert receiver.received[0].headers["host"].partition(":")[0] == NAME


async def test_a_certificate_of_another_name_is_not_believed(tmp_path: Path) -> None:
    receiver = Receiver()
    other = certificate(tmp_path, "other.test")
    async with serving(receiver, other, []) as url:
        assert await sent(url, other.chain) == Attempt(fault="connection")
    assert receiver.received == []


async def test_an_unknown_authority_is_not_believed(tmp_path: Path) -> None:
    receiver = Receiver()
    async with serving(receiver, certificate(tmp_path, NAME), []) as url:
        assert await sent(url, None) == Attempt(fault="connection")
    assert receiver.received == []
