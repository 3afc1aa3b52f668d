"""A service that knows no trial: notes about participants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from fastapi import Request
from sqlalchemy import CheckConstraint, MetaData
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
from services.kernel.http import CallDep, IdempotencyKey, may, parse_id, router
from services.kernel.records import (
    Change,
    ClosedBody,
    Decision,
    RecordBody,
    Resource,
    SourceAlreadyUsed,
    Standing,
    StoredView,
    correction,
    is_same,
    refuse_used_source,
    require_reason,
    require_version,
    unchanged,
)
from services.kernel.refusals import Conflict
from services.kernel.resources import add_reads, standing_records
from services.kernel.storage import Connection, VersionRow
from services.kernel.values import Code, Reason
from services.kernel.writing import Answer, Outcome, new_id, submit

TABLES: Final = MetaData()
NOTE: Final = Resource("note", "note_version")
REFUSED: Final = "what the rules refuse"
BROKEN: Final = "what the database refuses"


class NoteVersion(VersionRow, table=True):
    """One version of one note."""

    __tablename__ = "note_version"
    metadata = TABLES

    text: str

    __table_args__ = (CheckConstraint(f"text <> '{BROKEN}'"),)


class Unwelcome(Conflict):
    """The rules refuse the note."""


class NoteBody(RecordBody):
    """A note."""

    text: Code


class NoteCorrection(NoteBody):
    """The whole note again, and why it changes."""

    change_reason: Reason | None = None


class Notes(ClosedBody):
    """Several notes, all or none."""

    notes: list[NoteBody]
    is_rehearsal: bool = False


class NoteView(StoredView):
    """A stored note; `earlier` counts the notes that the decision saw of the participant."""

    text: str
    earlier: int


@dataclass(frozen=True, slots=True)
class WriteNote:
    """An order to add a note, or with a version to change one."""

    participant: UUID
    id: UUID
    body: NoteBody
    version: int | None = None
    reason: str | None = None

    @property
    def streams(self) -> tuple[UUID, ...]:
        return (self.participant,)


class NoteFile(Standing):
    """A participant's notes and how many there are."""

    def __init__(self, stored: Sequence[Any], so_many: int) -> None:
        super().__init__(stored)
        self.so_many = so_many

    def absorb(self, recorded: Any) -> None:
        super().absorb(recorded)
        self.so_many += recorded.change.version == 1


async def load_notes(
    connection: Connection, study: str, commands: Sequence[WriteNote]
) -> Mapping[UUID, NoteFile]:
    """Load the notes that the commands name, and count each participant's."""
    participants = [command.participant for command in commands]
    named = [(command.participant, command.id) for command in commands]
    sources = [
        (command.body.source_system, command.body.source_ref)
        for command in commands
        if command.body.source_system is not None and command.body.source_ref is not None
    ]
    stored = await standing_records(connection, study, NOTE.name, named, sources)
    rows = await connection.fetch(
        "SELECT participant, count(*) AS so_many FROM note_version WHERE study = $1 "
        "AND participant = ANY($2::uuid[]) AND version = 1 GROUP BY participant",
        study,
        participants,
    )
    counts = {row["participant"]: row["so_many"] for row in rows}
    return {each: NoteFile(stored, counts.get(each, 0)) for each in participants}


def decide_note(file: NoteFile, command: WriteNote, _at: datetime) -> Decision:
    """Add a note; the same source reference adds none."""
    body = command.body
    if body.text == REFUSED:
        raise Unwelcome
    known = file.by_source(body.source_system, body.source_ref)
    if known is not None:
        if not is_same(known, {"text": body.text}, ["text"]):
            raise refuse_used_source(known)
        return unchanged(known)
    change = Change(
        resource=NOTE,
        id=command.id,
        participant=command.participant,
        members={"text": body.text, "earlier": file.so_many},
        columns={"text": body.text},
        source_system=body.source_system,
        source_ref=body.source_ref,
    )
    return Decision(write="created", changes=(change,))


def decide_correction(file: NoteFile, command: WriteNote, _at: datetime) -> Decision:
    """Add a version; Standing refuses what is stale."""
    stored = file.by_id(command.participant, command.id)
    require_version(stored, command.version)
    reason = require_reason(command.reason)
    text = command.body.text
    members = {"text": text, "earlier": stored.document["earlier"]}
    return correction(NOTE, stored, members, columns={"text": text}, reason=reason)


def render_all(outcomes: Sequence[Outcome]) -> Answer:
    """Answer 409 if one was refused, else the number of notes that each decision saw."""
    if any(outcome.refusal is not None for outcome in outcomes):
        return Answer(409, b'{"refused":true}')
    seen = [outcome.recorded[0].document["earlier"] for outcome in outcomes]
    return Answer(200, canonical_json({"earlier": seen}))


notes = router(prefix="/v1/studies/{study}")


@notes.post(
    "/participants/{participant}/notes",
    status_code=201,
    response_model=NoteView,
    **may("edc", gives=(Unwelcome, SourceAlreadyUsed)),
)
async def write_note(
    request: Request,
    participant: str,
    body: NoteBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Add a note."""
    del idempotency_key
    command = WriteNote(parse_id(participant), new_id(), body)
    return await submit(request, call, [command], load=load_notes, decide=decide_note)


@notes.put(
    "/participants/{participant}/notes/{note}",
    response_model=NoteView,
    **may("edc", version="required"),
)
async def correct_note(
    request: Request, participant: str, note: str, body: NoteCorrection, call: CallDep
) -> Response:
    """Change a note."""
    command = WriteNote(
        parse_id(participant), parse_id(note), body, call.version, body.change_reason
    )
    return await submit(request, call, [command], load=load_notes, decide=decide_correction)


@notes.post("/participants/{participant}/notes/all", **may("edc"))
async def write_all(request: Request, participant: str, body: Notes, call: CallDep) -> Response:
    """Add several notes, all or none."""
    commands = [WriteNote(parse_id(participant), new_id(), note) for note in body.notes]
    return await submit(
        request,
        call,
        commands,
        load=load_notes,
        decide=decide_note,
        render=render_all,
        is_rehearsal=body.is_rehearsal,
    )


async def _find(_request: Request, _call: Any, text: str) -> UUID:
    identity = parse_id(text)
    if not isinstance(identity, UUID):
        raise TypeError
    return identity


add_reads(
    notes, "/participants/{participant}/notes", NOTE, NoteView, roles=("edc", "auditor"), find=_find
)
