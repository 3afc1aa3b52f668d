"""What a benchmark runs on: an embedded Postgres, the facts, and the scoring service."""

import asyncio
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
from joserfc import jwt
from joserfc.jwk import ECKey

from launcher.embedded_postgres import EmbeddedPostgres
from launcher.plan import ROOT, SERVICE_OPTIONS
from launcher.ports import free_port
from launcher.prepare_databases import make_place
from launcher.processes import web_command
from services.kernel.exact_json import canonical_json
from services.kernel.migrating import migrate

STUDY: Final = "NCT03745417"
SITE: Final = "GDTCM"
PARTICIPANTS: Final = 2000
PASSWORD: Final = "benchmark"  # noqa: S105 - of a server that ends with the run
_ISSUER: Final = "https://issuer.test"
_AUDIENCE: Final = "trial-events"
_START_SECONDS: Final = 60


def participant(number: int) -> UUID:
    """Return the id of the participant with this number, from 1 on."""
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


@dataclass(frozen=True, slots=True)
class Stage:
    """The addresses of a run: the database as service and as owner, the service, its token."""

    dsn: str
    owner: str
    port: int
    token: str


@contextmanager
def stage(processes: int, role: str = "edc") -> Iterator[Stage]:
    """Start everything, yield the addresses with a token of the role, stop everything."""
    with tempfile.TemporaryDirectory(prefix="trial-events-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres may run as another user
        server = EmbeddedPostgres(folder / "postgres")
        server.start()
        try:
            asyncio.run(_prepare(server.dsn("postgres"), server.dsn("trial")))
            migrate("scoring", server.dsn("trial"))
            dsn = server.dsn("trial", "scoring", PASSWORD)
            asyncio.run(_seed(server.dsn("trial")))
            with _service(folder, dsn, processes, role) as (port, token):
                yield Stage(dsn, server.dsn("trial"), port, token)
        finally:
            server.stop()


async def _prepare(admin: str, owner: str) -> None:
    connection = await asyncpg.connect(admin)
    await connection.execute("CREATE DATABASE trial")
    await connection.close()
    await make_place(owner, "scoring", PASSWORD)


async def _seed(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "scoring"})
    at = datetime.now(UTC)
    rows = [
        (STUDY, each, "enrolment", kind, identity, 1, SITE, at, document.decode())
        for each in map(participant, range(1, PARTICIPANTS + 1))
        for kind, identity, document in _facts(each)
    ]
    await connection.executemany(
        "INSERT INTO fact (study, participant, source, resource, resource_id, version, site, "
        "recorded_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        rows,
    )
    # Before the first plan is made: the server would look by itself only after a minute.
    await connection.execute("VACUUM ANALYZE fact")
    await connection.close()


def _facts(owner: UUID) -> Iterator[tuple[str, UUID, bytes]]:
    common = {"participant": str(owner), "site": SITE, "record_status": "entered"}
    yield "participant", owner, canonical_json({**common, "external_id": f"EDC-{owner.hex}"})
    scope: dict[str, Any] = {
        "scope": ["treatment", "data"],
        "signed_at": "2021-09-01T09:00:00+08:00",
    }
    yield "consent", uuid4(), canonical_json({**common, **scope})


@contextmanager
def _service(folder: Path, dsn: str, processes: int, role: str) -> Iterator[tuple[int, str]]:
    key = ECKey.generate_key("P-256", {"kid": "benchmark", "use": "sig", "alg": "ES256"})
    keys = folder / "jwks.json"
    keys.write_bytes(canonical_json({"keys": [key.as_dict(private=False)]}))
    issuer = {"issuer": _ISSUER, "audience": _AUDIENCE, "jwks": str(keys)}
    port = free_port()
    environment = {
        **os.environ,
        "TRIAL_DATABASE_URL": dsn,
        "TRIAL_ISSUERS": canonical_json([issuer]).decode(),
        "TRIAL_ENROLMENT_URL": f"http://127.0.0.1:{free_port()}",
        "PYTHONPATH": str(ROOT),
    }
    # As `./run` starts it, its log included.
    command = web_command("services.scoring.app:create_app", port, SERVICE_OPTIONS)
    command += ["--workers", str(processes)]
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log)  # noqa: S603 - our own
    try:
        _wait(process, port)
        yield port, _token(key, role)
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("The service did not start.")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=3)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return


def _token(key: ECKey, role: str) -> str:
    claims = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "sub": f"{role}-1",
        "exp": int(time.time()) + 86_400,
        "roles": [role],
        "studies": [STUDY],
    }
    return jwt.encode({"alg": "ES256"}, claims, key)
