"""Outcomes of a large study, beside one COPY of the assessments that they follow from.

`python -m benchmarks.outcomes --help` names the options. The rounds alternate, on the same
server in the same run: only their ratios mean anything.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import httpx
import psutil

from benchmarks.stage import PARTICIPANTS, SITE, STUDY, Stage, participant, stage

_OWNER: Final = "('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
_START: Final = "('2021-01-01T02:00:00Z'::timestamptz + (n % 400) * interval '1 day')"
_FACT: Final = (
    "INSERT INTO fact (study, participant, source, resource, resource_id, version, site, "
    "recorded_at, body)"
)
_KNOWN: Final = f"""
{_FACT} SELECT $1, {_OWNER}, 'enrolment', 'participant', {_OWNER}, 1, '{SITE}', now(),
  jsonb_build_object('id', {_OWNER}, 'site', '{SITE}', 'record_status', 'entered')
FROM generate_series($2::int, $3::int) AS n
"""
_TREATED: Final = f"""
{_FACT} SELECT $1, {_OWNER}, 'enrolment', 'infusion', gen_random_uuid(), 1, '{SITE}', now(),
  jsonb_build_object('id', gen_random_uuid(), 'version', 1, 'site', '{SITE}',
    'record_status', 'entered', 'visit', 'W' || week,
    'started_at', to_char({_START} + week * interval '7 days', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'batch', 'UC-2021-07', 'cells_given', 137000000)
FROM generate_series($2::int, $3::int) AS n, unnest(ARRAY[0, 2, 4, 6, 8]) AS week
"""
_ASSESSED: Final = f"""
WITH planned (place, instrument, week, member, least, most, parts) AS (VALUES
    (0, 'pasi', 0, 'pasi', 150, 400, 10), (1, 'vas', 0, 'vas_mm', 300, 1000, 10),
    (2, 'dlqi', 0, 'total', 5, 30, 1), (3, 'pasi', 4, 'pasi', 60, 300, 10),
    (4, 'pasi', 8, 'pasi', 30, 250, 10), (5, 'pasi', 12, 'pasi', 0, 250, 10),
    (6, 'vas', 12, 'vas_mm', 0, 700, 10), (7, 'dlqi', 12, 'total', 0, 20, 1),
    (8, 'pasi', 16, 'pasi', 0, 300, 10), (9, 'pasi', 20, 'pasi', 0, 300, 10)
), made AS MATERIALIZED (
    SELECT {_OWNER} AS owner, gen_random_uuid() AS id, place, instrument, member, parts,
      'W' || week AS visit,
      {_START} + week * interval '7 days' - interval '1 hour'
        + (random() * 4)::int * interval '1 day' * (week > 0)::int AS at,
      (least + random() * (most - least))::int AS score,
      (n - {PARTICIPANTS} - 1) * 10 + place + 1 AS number
    FROM generate_series($2::int, $3::int) AS n, planned
), rows AS (
    INSERT INTO assessment_version (study, participant, id, version, stream_version,
      is_retracted, recorded_at, instrument, visit, assessed_at, score)
    SELECT $1, owner, id, 1, place + 1, false, now(), instrument, visit, at, score FROM made
)
INSERT INTO event (study, participant, stream_version, position, resource, resource_id,
  resource_version, action, site, visit, actor, role, request_id, release, recorded_at, body,
  prev_hash, hash)
SELECT $1, owner, place + 1, number, 'assessment', id, 1, 'created', '{SITE}', visit, 'edc-1',
  'edc', 'benchmark', 'development', now(),
  jsonb_build_object('id', id, 'version', 1, 'instrument', instrument, 'visit', visit,
    'record_status', 'entered', 'rule', instrument || '/1',
    'assessed_at', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'derived', jsonb_build_object(member, score::numeric / parts))::text,
  '', ''
FROM made
"""


async def fill(dsn: str, study: str, first: int, last: int) -> None:
    """Add participants of these numbers, with five infusions and ten assessments each."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "scoring"})
    for statement in (_KNOWN, _TREATED, _ASSESSED):
        await connection.execute(statement, study, PARTICIPANTS + first, PARTICIPANTS + last)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def copy_once(dsn: str) -> float:
    """Return the seconds that one COPY of the study's assessments takes."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "scoring"})
    started = time.perf_counter()

    async def forget(_chunk: bytes) -> None:
        pass

    await connection.copy_from_query(
        "SELECT * FROM assessment_version WHERE study = $1", STUDY, output=forget
    )
    seconds = time.perf_counter() - started
    await connection.close()
    return seconds


async def ask(on: Stage, paths: Sequence[str]) -> tuple[list[float], Any]:
    """Return the seconds until the service had answered each path, and the last answer."""
    address = f"http://127.0.0.1:{on.port}/v1/studies/{STUDY}"
    headers = {"Authorization": f"Bearer {on.token}"}
    seconds, answer = [], None
    async with httpx.AsyncClient(timeout=120, headers=headers) as client:
        for path in paths:
            started = time.perf_counter()
            answer = (await client.get(f"{address}{path}")).raise_for_status()
            seconds.append(time.perf_counter() - started)
    return seconds, answer and answer.json()


def service_megabytes() -> float:
    """Return the memory of the largest process that this one has started."""
    children = psutil.Process().children(recursive=True)
    python = [one for one in children if "uvicorn" in " ".join(one.cmdline())]
    return max((one.memory_info().rss for one in python), default=0) / 1e6


def measure_one(on: Stage) -> float:
    """Return the milliseconds of one participant's outcomes: the median of 200 reads."""
    owners = (participant(PARTICIPANTS + number) for number in range(1, 201))
    seconds, _ = asyncio.run(ask(on, [f"/participants/{one}/outcomes" for one in owners]))
    return statistics.median(seconds) * 1000


def measure(on: Stage, options: argparse.Namespace) -> str:
    """Return what was found, as a Markdown table."""
    asyncio.run(fill(on.owner, STUDY, 1, 200))
    alone = measure_one(on)
    asyncio.run(fill(on.owner, STUDY, 201, options.participants))
    among_all = measure_one(on)
    before = service_megabytes()
    rounds = []
    for _ in range(options.rounds):
        copied = asyncio.run(copy_once(on.dsn))
        seconds, found = asyncio.run(ask(on, ["/outcomes"]))
        rounds.append((copied, seconds[0]))
    ratios = [answered / copied for copied, answered in rounds]
    copied, answered = (statistics.median(column) for column in zip(*rounds, strict=True))
    n = found["analysis_sets"]["treated"]["n"]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"""\
| work | seconds | ratio to the COPY (rounds) |
| --- | --- | --- |
| one COPY of {10 * n} assessments | {copied:.2f} | 1.00 |
| outcomes of a study of {n} participants | {answered:.2f} | {spread} |

One participant's outcomes: {alone:.1f} ms among 200, {among_all:.1f} ms among {n}.
The service's memory: {before:.0f} MB before the first study, {service_megabytes():.0f} MB after."""


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--participants", type=int, default=100_000)
    options = parser.parse_args()
    with stage(1, role="statistician") as on:
        print(measure(on, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
