"""Who was shown personal data: reads by people, recorded apart from the chain.

A read is noted when it is answered and written a moment later, many at once, so that reading
waits for no write. What is noted is written before the process ends.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import structlog
from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.kernel.exact_json import canonical_json, stamp
from services.kernel.http import USUAL_LIMIT, After, Limit, read_cursor, write_cursor
from services.kernel.refusals import Refusal
from services.kernel.storage import LOST, Connection, Database
from services.kernel.values import Code, Instant, Name

log = structlog.get_logger()

PEOPLE: Final = frozenset(
    {"investigator", "safety_officer", "coordinator", "admin", "statistician", "auditor"}
)
"""Roles in which a person reads of others; an EDC, a service and one's own phone are not noted."""
_WRITTEN_EVERY_SECONDS: Final = 0.5
_MOST_WAITING: Final = 20_000


@dataclass(frozen=True, slots=True)
class Read:
    """One answered read: who, what, when; of whom, where the path names somebody."""

    study: str
    read_at: datetime
    actor: str
    role: str
    operation: str
    participant: UUID | None
    site: str | None
    request_id: str


class ReadFilter(BaseModel):
    """Which reads are asked for; what is left out is not asked about."""

    participant: Annotated[UUID | None, Field(description="Only of this participant.")] = None
    actor: Annotated[Name | None, Field(description="Only by this subject of a token.")] = None
    operation: Annotated[Code | None, Field(description="The operation's name.")] = None
    read_from: Annotated[Instant | None, Field(description="Only at this time or later.")] = None
    read_to: Annotated[Instant | None, Field(description="Only before this time.")] = None
    after: After = None
    limit: Limit = USUAL_LIMIT


class ReadLog:
    """Takes reads as they are answered and writes them, until it is closed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: list[Read] = []
        self._closing = asyncio.Event()
        self._work = asyncio.create_task(self._write_on())

    def note(self, read: Read) -> None:
        """Take a read; what the database is away for too long to keep is dropped, and logged."""
        if len(self._noted) >= _MOST_WAITING:
            log.error("reads_dropped")
            return
        self._noted.append(read)

    def note_answer(self, request: Request, response: Response) -> None:
        """Note the read that a response answers, if it shows personal data to a person."""
        call = request.state.call
        is_shown = response.headers.get("cache-control", "").startswith(("no-store", "private"))
        if not call.study or not is_shown or call.by.role not in PEOPLE:
            return
        owner, site = getattr(request.state, "owner", (None, None))
        self.note(
            Read(
                study=call.study,
                read_at=datetime.now(UTC),
                actor=call.by.actor,
                role=call.by.role,
                operation=request.scope["route"].name,
                participant=owner,
                site=site,
                request_id=call.by.request_id,
            )
        )

    async def close(self) -> None:
        """Write what was noted, and end."""
        self._closing.set()
        await self._work

    async def _write_on(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _WRITTEN_EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write what was noted; what cannot be written now is kept for the next time."""
        noted, self._noted = self._noted, []
        for study in {read.study for read in noted}:
            reads = [read for read in noted if read.study == study]
            try:
                async with self._database.pooled() as connection:
                    await _append(connection, study, reads)
            except (*LOST, asyncpg.PostgresError, Refusal) as error:
                log.warning("reads", kind=type(error).__name__, waiting=len(reads))
                self._noted = [*reads, *self._noted]


async def _append(connection: Connection, study: str, reads: Sequence[Read]) -> None:
    # The counter's lock makes the order of positions that of the commits, as in the feed.
    await connection.execute(
        "WITH counter AS (INSERT INTO read_counter (study, position) VALUES ($1, $2::bigint) "
        "ON CONFLICT (study) DO UPDATE SET position = read_counter.position + $2::bigint "
        "RETURNING position) INSERT INTO read_access (study, position, read_at, actor, role, "
        "operation, participant, site, request_id) SELECT $1, "
        "counter.position - $2::bigint + t.ordinal, t.read_at, t.actor, t.role, t.operation, "
        "t.participant, t.site, t.request_id FROM counter, unnest($3::timestamptz[], $4::text[], "
        "$5::text[], $6::text[], $7::uuid[], $8::text[], $9::text[]) WITH ORDINALITY "
        "AS t(read_at, actor, role, operation, participant, site, request_id, ordinal)",
        study,
        len(reads),
        *(
            [getattr(read, name) for read in reads]
            for name in (
                "read_at",
                "actor",
                "role",
                "operation",
                "participant",
                "site",
                "request_id",
            )
        ),
    )


async def list_reads(
    connection: Connection, study: str, wanted: ReadFilter, sites: Iterable[str] | None
) -> list[Any]:
    """Return the reads asked for and one more, in the order written."""
    asked = [
        ("position > {}", read_cursor(wanted.after)),
        ("participant = {}", wanted.participant),
        ("actor = {}", wanted.actor),
        ("operation = {}", wanted.operation),
        ("read_at >= {}", wanted.read_from),
        ("read_at < {}", wanted.read_to),
        ("site = ANY({})", None if sites is None else sorted(sites)),
    ]
    given = [(condition, value) for condition, value in asked if value is not None]
    conditions = [condition.format(f"${at}") for at, (condition, _) in enumerate(given, start=3)]
    return await connection.fetch(
        f"SELECT * FROM read_access WHERE study = $1 AND {' AND '.join(conditions)} "
        "ORDER BY position LIMIT $2",
        study,
        wanted.limit + 1,
        *(value for _, value in given),
    )


def read_item(row: Any, service: str) -> bytes:
    """Return one read as it is told, with its place in the list."""
    shown = ("actor", "role", "operation", "participant", "site", "request_id")
    return canonical_json(
        {
            "service": service,
            "read_at": stamp(row["read_at"]),
            **{name: row[name] for name in shown},
            "cursor": write_cursor(row["position"]),
        }
    )


ReadQuery = Annotated[ReadFilter, Query()]
