"""The last step of a write: everything that a batch decided, in one statement.

One statement of CTEs inserts each table's rows from arrays, moves the participants' stream
heads and the study's feed counter. The counter's row lock, held until the commit, makes
position order commit order: a reader of the feed never meets a gap that fills later.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from services.kernel.exact_json import canonical_json
from services.kernel.records import (
    GENESIS,
    Attribution,
    Change,
    Recorded,
    event_hash,
    event_header,
    record_document,
)
from services.kernel.storage import FEED_CHANNEL, KERNEL_TABLES, Connection


class Columns:
    """A table's column names and types, as an insert from arrays needs them."""

    def __init__(self, table: Table, *, without: Sequence[str] = ()) -> None:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        columns = [column for column in table.columns if column.name not in without]
        self.table = table.name
        self.names = [column.name for column in columns]
        self.types = [column.type.compile(dialect=dialect) for column in columns]
        self.json = {column.name for column in columns if isinstance(column.type, JSONB)}
        self.defaults = {
            column.name: column.default.arg
            for column in columns
            if isinstance(column.default, ScalarElementColumnDefault)
        }

    def row(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values in column order; JSON as text, for it travels in a text array."""
        if not self.json and not self.defaults:
            return tuple(map(values.get, self.names))
        return tuple(
            _json_text(values[name])
            if name in self.json and values.get(name) is not None
            else values.get(name, self.defaults.get(name))
            for name in self.names
        )

    def source(self, first: int) -> str:
        """Return the row source whose arrays are the parameters from `first` on."""
        arrays = ", ".join(
            f"${first + at}::{'text' if name in self.json else kind}[]"
            for at, (name, kind) in enumerate(zip(self.names, self.types, strict=True))
        )
        return f"unnest({arrays}) WITH ORDINALITY AS t({self.listed}, ordinal)"

    @property
    def listed(self) -> str:
        """The column names, quoted and separated."""
        return ", ".join(f'"{name}"' for name in self.names)

    @property
    def selected(self) -> str:
        """The columns as selected from the row source."""
        return ", ".join(
            f't."{name}"::jsonb' if name in self.json else f't."{name}"' for name in self.names
        )


_EVENT: Final = Columns(KERNEL_TABLES.tables["event"], without=("position",))
_IDEMPOTENCY: Final = Columns(KERNEL_TABLES.tables["idempotency"])


class Draft:
    """What one transaction will append, built up decision by decision."""

    def __init__(
        self,
        service: str,
        release: str,
        study: str,
        heads: Mapping[UUID, tuple[int, bytes]],
        tables: Mapping[str, Columns],
    ) -> None:
        self._service = service
        self._release = release
        self._study = study
        self._tables = tables
        self._heads = dict(heads)
        self._moved: set[UUID] = set()
        self._events: list[tuple[Any, ...]] = []
        self._rows: list[tuple[str, tuple[Any, ...]]] = []
        self._answers: list[tuple[Any, ...]] = []

    def record(self, change: Change, by: Attribution, at: datetime) -> Recorded:
        """Add one change: its event, its version row and its participant's new head."""
        version, prev_hash = self._heads.get(change.participant, (0, GENESIS))
        document = record_document(change, by, at)
        body = canonical_json(document)
        event = {
            "study": self._study,
            "participant": change.participant,
            "stream_version": version + 1,
            "resource": change.resource.name,
            "resource_id": change.id,
            "resource_version": change.version,
            "action": change.action,
            "site": change.site,
            "visit": change.visit,
            "actor": by.actor,
            "role": by.role,
            "reason": change.reason,
            "source_system": change.source_system,
            "source_ref": change.source_ref,
            "request_id": by.request_id,
            "release": self._release,
            "recorded_at": at,
            "body": str(body, "utf-8"),
            "prev_hash": prev_hash,
        }
        digest = event_hash(event_header(event, self._service))
        self._heads[change.participant] = (version + 1, digest)
        self._moved.add(change.participant)
        self._events.append(_EVENT.row({**event, "hash": digest}))
        if change.resource.table is not None:
            row = self._version_row(change, version + 1, at)
            self._rows.append((change.resource.table, row))
        return Recorded(change, version + 1, document, body)

    def _version_row(self, change: Change, stream_version: int, at: datetime) -> tuple[Any, ...]:
        table = self._tables[str(change.resource.table)]
        return table.row(
            {
                "study": self._study,
                "participant": change.participant,
                "id": change.id,
                "version": change.version,
                "stream_version": stream_version,
                "is_retracted": change.is_retracted,
                "recorded_at": at,
                **change.columns,
            }
        )

    def keep_answer(self, answer: Mapping[str, Any]) -> None:
        """Add the answer to be given again under the caller's key."""
        self._answers.append(_IDEMPOTENCY.row({"study": self._study, **answer}))

    def mark(self) -> tuple[int, int, dict[UUID, tuple[int, bytes]], set[UUID]]:
        """Return where the draft stands, to come back to."""
        return len(self._events), len(self._rows), dict(self._heads), set(self._moved)

    def back_to(self, mark: tuple[int, int, dict[UUID, tuple[int, bytes]], set[UUID]]) -> None:
        """Forget what was recorded since the mark."""
        events, rows, self._heads, self._moved = mark
        del self._events[events:], self._rows[rows:]

    @property
    def events(self) -> int:
        """How many events there are to append."""
        return len(self._events)

    async def append(self, connection: Connection) -> int:
        """Insert everything in one statement; return the feed position of the last event.

        Raises UniqueViolationError where a neighbour has moved a stream since its head was read.
        """
        by_table: dict[str, list[tuple[Any, ...]]] = {}
        for table, row in self._rows:
            by_table.setdefault(table, []).append(row)
        used = [self._tables[name] for name in by_table]
        sources: list[Sequence[tuple[Any, ...]]] = list(by_table.values())
        if self._answers:
            used.append(_IDEMPOTENCY)
            sources.append(sorted(self._answers, key=_key_order))
        moved = sorted(self._moved)
        versions, hashes = zip(*(self._heads[at] for at in moved), strict=True)
        arguments = [self._study, len(self._events), moved, versions, hashes]
        for rows in (self._events, *sources):
            arguments += _arrays(rows)
        position = await connection.fetchval(append_statement(tuple(used)), *arguments)
        return int(position)


def _key_order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    # The same order everywhere, so that twins meet on the index without a deadlock.
    return row[:3]


def _arrays(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


@cache
def append_statement(tables: tuple[Columns, ...]) -> str:
    """Return the statement for events, these tables and the stream heads.

    Parameters: study, number of events, the moved participants with their versions and
    hashes, the event arrays, then each table's arrays.
    """
    first = 6
    # Streams before the counter, and in one order, as everywhere: nobody waits in a circle.
    locked = (
        "locked AS (SELECT 1 FROM stream WHERE study = $1 AND participant = ANY($3::uuid[]) "
        "ORDER BY participant FOR UPDATE)"
    )
    counter = (
        "counter AS (INSERT INTO feed_counter (study, position) "
        "SELECT $1, $2::bigint FROM (SELECT count(*) FROM locked) AS all_locked "
        "ON CONFLICT (study) DO UPDATE SET position = feed_counter.position + $2::bigint "
        "RETURNING position)"
    )
    events = (
        f"events AS (INSERT INTO event ({_EVENT.listed}, position) "
        f"SELECT {_EVENT.selected}, counter.position - $2::bigint + t.ordinal "
        f"FROM {_EVENT.source(first)} CROSS JOIN counter)"
    )
    parts = [locked, counter, events]
    first += len(_EVENT.names)
    for at, table in enumerate(tables):
        parts.append(
            f"rows_{at} AS (INSERT INTO {table.table} ({table.listed}) "
            f"SELECT {table.selected} FROM {table.source(first)})"
        )
        first += len(table.names)
    parts.append(
        "heads AS (INSERT INTO stream (study, participant, version, hash) "
        "SELECT $1, h.* FROM unnest($3::uuid[], $4::int[], $5::bytea[]) "
        "AS h(participant, version, hash) ON CONFLICT (study, participant) "
        "DO UPDATE SET version = excluded.version, hash = excluded.hash)"
    )
    return f"WITH {', '.join(parts)} SELECT position, pg_notify('{FEED_CHANNEL}', $1) FROM counter"


def _json_text(value: Any) -> str:
    return str(canonical_json(value), "utf-8")
