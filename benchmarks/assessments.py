"""One PASI assessment a request, beside `pgbench` doing the same inserts.

`python -m benchmarks.assessments --help` names the options. The rounds alternate, on the
same server in the same run: only their ratios mean anything.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.load import Seen, load
from benchmarks.reference import Measured, pgbench, write_scripts
from benchmarks.stage import PARTICIPANTS, STUDY, Stage, participant, stage

_REGION: Final = '{"erythema":%d,"induration":%d,"desquamation":%d,"area_score":%d}'
_BODY: Final = (
    '{"instrument":"pasi","visit":"unscheduled","assessed_at":"2021-10-13T08:30:00+08:00",'
    '"assessor":"dr-li","answers":{"regions":{"head":%s,"upper_limbs":%s,"trunk":%s,'
    '"lower_limbs":%s}}}'
)


def pasi(chance: random.Random) -> str:
    """Return the body of an assessment with signs by chance."""
    regions = (_REGION % (*(chance.randint(0, 4) for _ in range(3)), 3) for _ in range(4))
    return _BODY % tuple(regions)


@dataclass(frozen=True, slots=True)
class Assessments:
    """Makes requests: a PASI each, of any of the participants, under a key of its own.

    `participants` 1 makes one participant hot.
    """

    token: str
    participants: int

    def __call__(self, chance: random.Random, name: str) -> bytes:
        """Return one request."""
        body = pasi(chance)
        owner = participant(chance.randint(1, self.participants))
        return (
            f"POST /v1/studies/{STUDY}/participants/{owner}/assessments HTTP/1.1\r\n"
            f"Host: localhost\r\nAuthorization: Bearer {self.token}\r\n"
            f"Idempotency-Key: {name}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


def _service_round(on: Stage, options: argparse.Namespace, connections: int, so_many: int) -> Seen:
    seen = load(
        on.port,
        Assessments(on.token, so_many),
        connections=connections,
        seconds=options.seconds,
        processes=options.client_processes,
    )
    if set(seen.statuses) != {201}:
        raise SystemExit(f"Some requests were refused: {dict(seen.statuses)}")
    return seen


def _measured(seen: Seen) -> Measured:
    return Measured(seen.rate, seen.milliseconds(0.5), seen.milliseconds(0.99))


def measure(on: Stage, options: argparse.Namespace, folder: Path) -> dict[str, list[Measured]]:
    """Return the rounds of every row of the table."""
    load(on.port, Assessments(on.token, PARTICIPANTS), connections=32, seconds=3)
    scripts = asyncio.run(write_scripts(on.dsn, folder))

    def limit(name: str, clients: int) -> Measured:
        return pgbench(
            on.dsn, scripts[name], clients=clients, seconds=options.seconds, folder=folder
        )

    def service(connections: int, so_many: int) -> Measured:
        return _measured(_service_round(on, options, connections, so_many))

    rows: dict[str, Callable[[], Measured]] = {
        "pgbench, same inserts": lambda: limit("without", options.connections),
        "pgbench, with the feed counter": lambda: limit("with", options.connections),
        "service": lambda: service(options.connections, PARTICIPANTS),
        "service, one hot participant": lambda: service(options.connections, 1),
        "service, one client": lambda: service(1, PARTICIPANTS),
    }
    found: dict[str, list[Measured]] = {name: [] for name in rows}
    for _ in range(options.rounds):
        for name, work in rows.items():
            found[name].append(work())
    return found


def table(found: dict[str, list[Measured]]) -> str:
    """Return the medians, as a Markdown table; the first row is the limit."""
    limit, *_ = found.values()
    lines = [
        "| work | a second | ratio to the limit (rounds) | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, rounds in found.items():
        ratios = [one.rate / base.rate for one, base in zip(rounds, limit, strict=True)]
        lines.append(
            f"| {name} | {statistics.median(one.rate for one in rounds):.0f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {statistics.median(one.p50 for one in rounds):.1f} "
            f"| {statistics.median(one.p99 for one in rounds):.1f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--processes", type=int, default=1, help="of the service")
    parser.add_argument("--client-processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, stage(options.processes) as on:
        print(table(measure(on, options, Path(folder))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
