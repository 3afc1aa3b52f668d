"""The whole system on one machine: Postgres, three services, the gateway.

What is acknowledged is in Postgres, so that any process may be killed at any moment.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from launcher.data_folder import held
from launcher.databases import (
    SERVICES,
    Addresses,
    is_empty,
    prepare_embedded,
    prepare_given,
)
from launcher.embedded_postgres import EmbeddedPostgres
from launcher.plan import GATEWAY, Plan
from launcher.ports import LOOPBACK, is_free
from launcher.processes import (
    Supervised,
    end_left_behind,
    end_of,
    keep_running,
    note_living,
    rotate,
    stop_all,
    wait_until_ready,
)
from launcher.web_processes import web_processes


class PortTaken(Exception):  # noqa: N818 - states a fact
    """Another program listens on the port."""


def run(plan: Plan) -> None:
    """Run the system until it is told to stop.

    Raises Held, PortTaken, DidNotStart, ProcessFailed, Unreachable, or WrongStudyFile.
    """
    numbers = _study_numbers(plan.studies)
    plan.data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running, _interrupted_by(signal.SIGTERM, signal.SIGHUP):
        running.enter_context(held(plan.data / "lock"))
        register = plan.data / "processes.json"
        end_left_behind(register)
        if not is_free(plan.port):
            raise PortTaken(f"Port {plan.port} is taken: choose another one with --port.")
        logs = plan.data / "logs"
        logs.mkdir(exist_ok=True)
        for name in ("postgres", *plan.applications):
            rotate(logs / f"{name}.log")
        given = _given_addresses(os.environ)
        postgres = None
        if set(given) != set(SERVICES):
            postgres = EmbeddedPostgres(plan.data / "postgres", log=logs / "postgres.log")
            postgres.start()
            running.callback(postgres.stop)
        addresses = _prepare(plan, postgres, given)
        asyncio.run(_supervise(plan, postgres, addresses, numbers, register))
        register.unlink(missing_ok=True)


def _prepare(
    plan: Plan, postgres: EmbeddedPostgres | None, given: Mapping[str, Addresses]
) -> dict[str, Addresses]:
    addresses: dict[str, Addresses] = {}
    if postgres is not None:
        addresses = asyncio.run(prepare_embedded(postgres, plan.data / "passwords"))
    asyncio.run(prepare_given(given))
    addresses |= given
    migrate = plan.migrate or import_module("services.kernel.migrating").migrate
    for service in SERVICES:
        migrate(service, addresses[service].owner)
    return addresses


async def _supervise(
    plan: Plan,
    postgres: EmbeddedPostgres | None,
    addresses: Mapping[str, Addresses],
    studies: Sequence[str],
    register: Path,
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(sign, stopped.set)
    web = web_processes(plan, addresses, studies)
    children: list[Supervised] = [*([PostgresProcess(postgres)] if postgres else []), *web]

    def note() -> None:
        note_living(register, [child.process.pid for child in web if child.process])

    try:
        for child in web:
            child.launch()
        note()
        if not await _unless(stopped, wait_until_ready(web)):
            return
        keepers = [asyncio.create_task(keep_running(child, note)) for child in children]
        print(_greeting(plan.port, studies), flush=True)
        showing = asyncio.create_task(_demonstrate(plan, addresses))
        await stopped.wait()
        print("Stopping …", flush=True)
        await _cancel(showing, *keepers)
    finally:
        await stop_all(
            [
                [child.stop for child in web if child.name == GATEWAY],
                [child.stop for child in web if child.name != GATEWAY],
            ]
        )


def _greeting(port: int, studies: Sequence[str]) -> str:
    address = f"http://{LOOPBACK}:{port}"
    return (
        f"ready {address}\n"
        f"Documentation: {address}/docs\n"
        f"A token: ./run token --role coordinator --study {studies[0]}\n"
        "Ctrl-C stops everything."
    )


@dataclass
class PostgresProcess:
    """The embedded server as one of the processes that are kept running."""

    server: EmbeddedPostgres
    name: str = "postgres"

    def launch(self) -> None:
        """Start the server on the port that it had, without waiting."""
        self.server.launch()

    def has_ended(self) -> bool:
        """Tell whether the postmaster has ended."""
        return self.server.process is None or self.server.process.poll() is not None

    async def is_ready(self) -> bool:
        """Tell whether the server accepts connections."""
        return self.server.is_ready()

    def last_words(self) -> str:
        """Return the end of the server's log."""
        return end_of(self.server.log)


def _given_addresses(environment: Mapping[str, str]) -> dict[str, Addresses]:
    # SERVICE_OWNER_DATABASE_URL lets migrations run as another role than the service.
    given = {}
    for service in SERVICES:
        url = environment.get(f"{service.upper()}_DATABASE_URL")
        if url:
            owner = environment.get(f"{service.upper()}_OWNER_DATABASE_URL") or url
            given[service] = Addresses(owner=owner, service=url)
    return given


async def _demonstrate(plan: Plan, addresses: Mapping[str, Addresses]) -> None:
    if not plan.with_demonstration:
        return
    try:
        if not await is_empty(addresses["enrolment"], "enrolment"):
            return
        play = import_module("launcher.demonstration").play
        await play(f"http://{LOOPBACK}:{plan.port}", plan.data)
    except Exception as fault:  # noqa: BLE001 - the system goes on without it
        print(f"The demonstration ended early: {fault!r}", file=sys.stderr, flush=True)


async def _unless(stopped: asyncio.Event, waiting: Any) -> bool:
    """Wait; return False as soon as the system is told to stop."""
    work = asyncio.ensure_future(waiting)
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
    await _cancel(stop)
    if work.done():
        work.result()
        return True
    await _cancel(work)
    return False


async def _cancel(*tasks: "asyncio.Future[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    # Before the loop takes the signals over, they end the preparation in order too.
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = [signal.signal(sign, interrupt) for sign in signals]
    try:
        yield
    finally:
        for sign, handler in zip(signals, before, strict=True):
            signal.signal(sign, handler)


def _study_numbers(folders: Sequence[Path]) -> list[str]:
    studies: Mapping[str, object] = import_module("services.protocol.loading").load_studies(
        *folders
    )
    return list(studies)
