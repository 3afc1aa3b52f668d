"""The export of a study's audit trail, beside `psql` copying the same rows.

`python -m benchmarks.audit_export --rows 1000000` fills scoring's event table, starts scoring,
two empty neighbours and the gateway, and reads everything in alternating rounds: by `psql COPY`
of the table's columns, by `psql COPY` of the lines put together in SQL, from the service, and
through the gateway as NDJSON and as CSV. Only ratios within one run mean anything.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import httpx
import psutil
from joserfc import jwt
from joserfc.jwk import ECKey

from launcher.embedded_postgres import EmbeddedPostgres
from launcher.ports import free_port
from services.kernel.exact_json import canonical_json
from services.kernel.migrating import migrate

STUDY: Final = "NCT03745417"
SERVICES: Final = ("enrolment", "scoring", "safety")
_ISSUER: Final = "https://issuer.test"
_AUDIENCE: Final = "trial-events"
_START_SECONDS: Final = 60
_PSQL: Final = Path(asyncpg.__file__).parents[1] / "embedded_postgres/pginstall/bin/psql"

_REGION: Final = {"erythema": 2, "induration": 1, "desquamation": 1, "area_score": 2}
_RECORD: Final = {
    "instrument": "pasi",
    "visit": "W4",
    "assessed_at": "2021-10-13T08:30:00+08:00",
    "assessor": "dr-li",
    "answers": {"regions": dict.fromkeys(("head", "upper_limbs", "trunk", "lower_limbs"), _REGION)},
    "derived": {"pasi": 8},
    "rule": "pasi/1",
    "warnings": [],
    "id": "00000000-0000-4000-9000-000000000001",
    "participant": "00000000-0000-4000-8000-000000000001",
    "site": "GDTCM",
    "version": 1,
    "recorded_at": "2021-10-13T00:31:00.000000Z",
    "recorded_by": "edc-1",
    "record_status": "entered",
}
# Every tenth event corrects the one before it.
_FILL: Final = """
INSERT INTO event (study, participant, stream_version, position, resource, resource_id,
  resource_version, action, site, visit, actor, role, reason, request_id, release, recorded_at,
  body, prev_hash, hash)
SELECT $1, ('00000000-0000-4000-8000-' || lpad(to_hex(n / 100), 12, '0'))::uuid, n % 100 + 1,
  n + 1, 'assessment',
  ('00000000-0000-4000-9000-' || lpad(to_hex(n - (n % 10 = 9)::int), 12, '0'))::uuid,
  1 + (n % 10 = 9)::int, CASE WHEN n % 10 = 9 THEN 'corrected' ELSE 'created' END, 'GDTCM', 'W4',
  'edc-1', 'edc', CASE WHEN n % 10 = 9 THEN 'misread' END, 'request-' || n, 'development',
  now() - interval '1 day' + n * interval '1 ms', CASE WHEN n % 10 = 9 THEN $3 ELSE $2 END,
  sha256(n::text::bytea), sha256((n + 1)::text::bytea)
FROM generate_series(0, $4::int - 1) AS n
"""
_COLUMNS: Final = f"COPY (SELECT * FROM event WHERE study = '{STUDY}' ORDER BY position) TO STDOUT"
_LINES: Final = f"""
COPY (SELECT row_to_json(r) FROM (SELECT position AS seq, 'scoring' AS service, study,
  participant, stream_version, resource, resource_id, resource_version AS version, action, site,
  visit, actor, role, reason, source_system, source_ref, request_id, release, recorded_at,
  encode(sha256(convert_to(body, 'UTF8')), 'hex') AS state_sha256,
  encode(prev_hash, 'hex') AS prev_hash, encode(hash, 'hex') AS hash
  FROM event WHERE study = '{STUDY}' ORDER BY position) AS r) TO STDOUT
"""


@dataclass(frozen=True, slots=True)
class Running:
    """What a round reads from."""

    dsn: str
    headers: dict[str, str]
    scoring: str
    gateway: str
    processes: dict[str, psutil.Process]


@dataclass(slots=True)
class Round:
    """One reading: seconds, bytes, and the most memory that a process had, in MB."""

    seconds: float
    size: int
    memory: dict[str, int]


@contextmanager
def stage(rows: int) -> Iterator[Running]:
    """Fill the database, start everything, lend it, stop everything."""
    with tempfile.TemporaryDirectory(prefix="trial-events-benchmark-") as name, ExitStack() as on:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres may run as another user
        server = EmbeddedPostgres(folder / "postgres")
        server.start()
        on.callback(server.stop)
        asyncio.run(_prepare(server, rows))
        key = ECKey.generate_key("P-256", {"kid": "benchmark", "use": "sig", "alg": "ES256"})
        keys = folder / "jwks.json"
        keys.write_bytes(canonical_json({"keys": [key.as_dict(private=False)]}))
        ports = {name: free_port() for name in (*SERVICES, "gateway")}
        issuer = {"issuer": _ISSUER, "audience": _AUDIENCE, "jwks": str(keys)}
        shared = {
            **os.environ,
            "TRIAL_ISSUERS": canonical_json([issuer]).decode(),
            "TRIAL_LOG_LEVEL": "CRITICAL",
            "TRIAL_SERVICE_TOKEN": _token(key, "service"),
            **{f"TRIAL_{name.upper()}_URL": f"http://127.0.0.1:{ports[name]}" for name in SERVICES},
        }
        processes = {}
        for service, port in ports.items():
            module = f"services.{service}" if service in SERVICES else service
            own = {"TRIAL_DATABASE_URL": server.dsn("trial")}
            processes[service] = on.enter_context(
                _process(f"{module}.app:create_app", port, shared | own)
            )
        yield Running(
            server.dsn("trial"),
            {"Authorization": f"Bearer {_token(key, 'auditor')}"},
            f"http://127.0.0.1:{ports['scoring']}",
            f"http://127.0.0.1:{ports['gateway']}",
            {name: processes[name] for name in ("scoring", "gateway")},
        )


async def _prepare(server: EmbeddedPostgres, rows: int) -> None:
    admin = await asyncpg.connect(server.dsn("postgres"))
    await admin.execute("CREATE DATABASE trial")
    await admin.close()
    owner = await asyncpg.connect(server.dsn("trial"))
    for service in SERVICES:
        await owner.execute(f"CREATE SCHEMA {service}")
        await asyncio.to_thread(migrate, service, server.dsn("trial"))
    await owner.execute("SET search_path TO scoring")
    first = canonical_json(_RECORD).decode()
    second = canonical_json({**_RECORD, "version": 2, "assessor": "dr-wu"}).decode()
    await owner.execute(_FILL, STUDY, first, second, rows, timeout=3600)
    await owner.execute("INSERT INTO feed_counter VALUES ($1, $2)", STUDY, rows)
    await owner.execute("VACUUM ANALYZE event", timeout=3600)
    await owner.close()


@contextmanager
def _process(application: str, port: int, environment: dict[str, str]) -> Iterator[psutil.Process]:
    command = [sys.executable, "-P", "-m", "uvicorn", application, "--factory"]
    command += ["--port", str(port), "--no-access-log", "--log-level", "error"]
    process = subprocess.Popen(command, env=environment)  # noqa: S603 - our own
    try:
        _wait_for(port)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=1).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("A process did not start.")


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


def _psql(on: Running, statement: str) -> Round:
    environment = {**os.environ, "PGOPTIONS": "-c search_path=scoring -c jit=off"}
    began = time.perf_counter()
    command = [str(_PSQL), "--no-psqlrc", "--quiet", "--command", statement, on.dsn]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as psql:  # noqa: S603
        size = 0
        while psql.stdout is not None and (chunk := psql.stdout.read(1 << 16)):
            size += len(chunk)
    return Round(time.perf_counter() - began, size, {})


def _http(on: Running, url: str, accept: str) -> Round:
    most: dict[str, int] = {}
    size, seen = 0, 0.0
    began = time.perf_counter()
    headers = {**on.headers, "Accept": accept}
    with httpx.stream("GET", url, headers=headers, timeout=600) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_raw():
            size += len(chunk)
            if time.perf_counter() - seen > 1:
                seen = time.perf_counter()
                for name, process in on.processes.items():
                    most[name] = max(most.get(name, 0), process.memory_info().rss >> 20)
    return Round(time.perf_counter() - began, size, most)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with stage(chosen.rows) as on:
        audit = f"/v1/studies/{STUDY}/audit"
        ways: dict[str, Callable[[], Round]] = {
            "psql COPY, columns as stored": lambda: _psql(on, _COLUMNS),
            "psql COPY, lines put together in SQL": lambda: _psql(on, _LINES),
            "service": lambda: _http(on, f"{on.scoring}{audit}/export", "*/*"),
            "gateway, NDJSON": lambda: _http(on, f"{on.gateway}{audit}", "application/x-ndjson"),
            "gateway, CSV": lambda: _http(on, f"{on.gateway}{audit}", "text/csv"),
        }
        rounds = [{name: way() for name, way in ways.items()} for _ in range(chosen.rounds)]
    print("| way | rows a second | ratio to columns | ratio to lines | MB | most memory, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    first, second, *_ = ways
    for name in ways:
        seconds = statistics.median(one[name].seconds for one in rounds)
        ratios = [
            statistics.median(one[limit].seconds / one[name].seconds for one in rounds)
            for limit in (first, second)
        ]
        memory = ", ".join(f"{who} {most}" for who, most in rounds[-1][name].memory.items())
        rate, size = chosen.rows / seconds, rounds[-1][name].size >> 20
        print(f"| {name} | {rate:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {size} | {memory} |")


if __name__ == "__main__":
    main()
