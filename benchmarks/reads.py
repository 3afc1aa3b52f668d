"""What phones, services and auditors read, and the gateway's hop, beside their limits.

`python -m benchmarks.reads` prints each as a ratio to its limit of the same round: a static
route of the same process, or the same read without the gateway.
"""

import argparse
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.assessments import table
from benchmarks.load import load
from benchmarks.reference import Measured
from benchmarks.stage import STUDY
from benchmarks.whole_system import WholeSystem, whole_system
from launcher.plan import GATEWAY
from services.kernel.exact_json import canonical_json

PAGE: Final = 500
STATIC: Final = "/health/live"
_ANSWER: Final = {"value": 41, "unit": "mm"}


@dataclass(frozen=True, slots=True)
class Read:
    """Makes the same GET again and again."""

    path: str
    headers: Mapping[str, str]

    def __call__(self, _chance: random.Random, _name: str) -> bytes:
        """Return one request."""
        lines = [f"GET {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two reads of one kind of work: the limit, and what is compared with it."""

    names: tuple[str, str]
    ports: tuple[int, int]
    reads: tuple[Read, Read]


def comparisons(on: WholeSystem) -> list[Comparison]:
    """Return what is compared, on a participant with a feed of a page and a schedule."""
    path = on.participant()
    identity = path.rpartition("/")[2]
    rows = [canonical_json({"participant": identity, **_itch(at)}) for at in range(PAGE)]
    done = on.ask("edc", "POST", "/assessments/bulk", b"\n".join(rows), "application/x-ndjson")
    record = done.text.split('"id":"')[1].partition('"')[0]
    below = f"/v1/studies/{STUDY}"
    auditor = {"Authorization": f"Bearer {on.token('auditor')}"}
    service = {"Authorization": f"Bearer {on.token('service')}"}
    phone = {"Authorization": f"Bearer {on.token('participant', participant=identity)}"}
    tag = on.ask("coordinator", "GET", f"{path}/schedule", None).headers["ETag"]
    schedule, static = Read(f"{below}{path}/schedule", phone), Read(STATIC, {})
    held = Read(schedule.path, {**phone, "If-None-Match": tag})
    feed = Read(f"{below}/events?after=0&limit={PAGE}", service)
    stored = Read(f"{below}{path}/assessments/{record}", auditor)
    enrolment, scoring, gateway = on.ports["enrolment"], on.ports["scoring"], on.ports[GATEWAY]
    return [
        Comparison(("static", "schedule"), (enrolment, enrolment), (static, schedule)),
        Comparison(("static", "schedule, held: 304"), (enrolment, enrolment), (static, held)),
        Comparison(("static", f"feed page of {PAGE}"), (scoring, scoring), (static, feed)),
        Comparison(("one record", "through the gateway"), (scoring, gateway), (stored, stored)),
    ]


def _itch(at: int) -> dict[str, Any]:
    moment = f"2021-09-{1 + at // 60:02}T10:{at % 60:02}:00+08:00"
    return {"instrument": "vas", "visit": "unscheduled", "assessed_at": moment, "answers": _ANSWER}


def measure(compared: Comparison, options: argparse.Namespace) -> dict[str, list[Measured]]:
    """Return the alternating rounds of both reads; the limit stands first."""
    found: dict[str, list[Measured]] = {name: [] for name in compared.names}
    sides = zip(compared.names, compared.ports, compared.reads, strict=True)
    for name, port, read in list(sides) * options.rounds:
        seen = load(port, read, connections=options.connections, seconds=options.seconds)
        if not set(seen.statuses) <= {200, 304}:
            raise SystemExit(f"Some reads were refused: {dict(seen.statuses)}")
        found[name].append(Measured(seen.rate, seen.milliseconds(0.5), seen.milliseconds(0.99)))
    return found


def main() -> int:
    """Measure and print one table a comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each round")
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    with whole_system() as on:
        for compared in comparisons(on):
            print(table(measure(compared, options)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
