"""A thousand assessments a request, beside COPY of the same rows into the same tables.

`python -m benchmarks.bulk` prints rows a second; the limit is one connection that copies the
event and the version of each row, a thousand rows a transaction, with nothing checked.
"""

import argparse
import asyncio
import random
import sys
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import asyncpg

from benchmarks.assessments import pasi, table
from benchmarks.load import load
from benchmarks.reference import LIMIT_STUDY, Measured
from benchmarks.stage import STUDY, Stage, participant, stage

ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class BulkOfAssessments:
    """Makes requests of a PASI each of as many participants as there are rows."""

    token: str

    def __call__(self, chance: random.Random, name: str) -> bytes:
        """Return one request."""
        rows = (
            f'{{"participant":"{participant(at)}",{pasi(chance)[1:]}' for at in range(1, ROWS + 1)
        )
        body = "\n".join(rows)
        return (
            f"POST /v1/studies/{STUDY}/assessments/bulk HTTP/1.1\r\n"
            f"Host: localhost\r\nAuthorization: Bearer {self.token}\r\n"
            f"Idempotency-Key: {name}\r\nContent-Type: application/x-ndjson\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


async def copied(dsn: str, seconds: float, started_at: int) -> Measured:
    """Copy the rows of the newest request again and again, under a study of their own."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "scoring"})
    order = "ORDER BY stream_version DESC, participant LIMIT $2"
    where = f"WHERE study = $1 {order}"
    events = await connection.fetch(f"SELECT * FROM event {where}", STUDY, ROWS)
    versions = await connection.fetch(f"SELECT * FROM assessment_version {where}", STUDY, ROWS)
    times: list[float] = []
    while sum(times) < seconds:
        at = started_at + len(times)
        moved = [_moved(row, at, place) for place, row in enumerate(events)]
        renewed = [_moved(row, at, place) for place, row in enumerate(versions)]
        begun = time.perf_counter()
        async with connection.transaction():
            for name, records in (("event", moved), ("assessment_version", renewed)):
                await connection.copy_records_to_table(
                    name, records=[tuple(one.values()) for one in records], columns=list(records[0])
                )
        times.append(time.perf_counter() - begun)
    await connection.close()
    times.sort()
    return Measured(ROWS * len(times) / sum(times), times[len(times) // 2] * 1000, times[-1] * 1000)


def _moved(row: Any, at: int, place: int) -> dict[str, Any]:
    """Return the row as another one of the limit's study."""
    fresh: dict[str, Any] = {**row, "study": LIMIT_STUDY, "stream_version": at + 1}
    if "position" in fresh:
        fresh |= {"position": at * ROWS + place, "resource_id": uuid4()}
    else:
        fresh["id"] = uuid4()
    return fresh


def _sent(on: Stage, options: argparse.Namespace) -> Measured:
    seen = load(on.port, BulkOfAssessments(on.token), connections=2, seconds=options.seconds)
    if set(seen.statuses) != {200}:
        raise SystemExit(f"Some requests were refused: {dict(seen.statuses)}")
    return Measured(ROWS * seen.rate, seen.milliseconds(0.5), seen.milliseconds(0.99))


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each round")
    options = parser.parse_args()
    found: dict[str, list[Measured]] = {"COPY of the same rows": [], "bulk": []}
    with stage(1) as on:
        _sent(on, options)
        for at in range(options.rounds):
            copying = copied(on.dsn, options.seconds, at * 1_000_000)
            found["COPY of the same rows"].append(asyncio.run(copying))
            found["bulk"].append(_sent(on, options))
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
