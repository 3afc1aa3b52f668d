"""The rows of a bulk request, piece by piece: read, decided, answered in order."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Request
from pydantic import Field, ValidationError

from services.kernel.exact_json import canonical_json, parse_json
from services.kernel.feeds import Behind
from services.kernel.holdings import held
from services.kernel.http import Call, Key, Lines, parse_participant
from services.kernel.problems import InvalidRequest, faults_of, problem_document, request_id_of
from services.kernel.records import Asker
from services.kernel.refusals import Conflict, NotFound, Refusal
from services.kernel.storage import Database
from services.kernel.writing import Answer, Batch, BulkWriter, Outcome, asker_of, new_id
from services.protocol.loading import Studies
from services.protocol.study import Study
from services.scoring.domain.assessments import RecordAssessment, decide_record
from services.scoring.facts import participants_by_external_id
from services.scoring.routes.assessments import AssessmentBody, load_dossiers

_ROWS_A_TURN: Final = 20


class AssessmentRow(AssessmentBody):
    """One filled-in instrument, and whose it is."""

    participant: Annotated[
        str, Field(max_length=80, description="The participant's id, or `external:` and its own.")
    ]


Read = RecordAssessment | Refusal
"""What a row asks for, or why it cannot be read."""


class Piece:
    """The rows of one transaction."""

    def __init__(
        self,
        request: Request,
        call: Call,
        lines: Lines,
        first: int,
        *,
        is_behind: bool,
        is_atomic: bool,
    ) -> None:
        self._request = request
        self._call = call
        self._lines = lines
        self._first = first
        self._is_behind = is_behind
        self._is_atomic = is_atomic
        self.is_refused = False

    async def write(self, rows: Sequence[Any]) -> Answer:
        """Return the rows' answers, once what was accepted of them is committed."""
        read = await self._read(rows)
        commands = [one for one in read if isinstance(one, RecordAssessment)]
        if not commands:
            return Answer(200, self._render(read, []))
        batch = Batch(
            study=self._call.study,
            commands=commands,
            load=load_dossiers,
            decide=decide_record,
            by=self._call.by,
            render=lambda outcomes: self._render(read, outcomes),
            key=self._key(),
            is_atomic=self._is_atomic,
            is_rehearsal=self._is_atomic and len(commands) < len(read),
        )
        return await held(self._request, BulkWriter).write(batch)

    def refuse(self, rows: Sequence[Any], refusal: Refusal) -> bytes:
        """Return the answers of rows none of which was written."""
        return self._render([refusal] * len(rows), [])

    def _key(self) -> Key | None:
        # No caller's key holds a blank: the pieces' keys never meet those of other requests.
        key = self._call.key
        return key and replace(key, text=f"{key.text} {self._first}")

    async def _read(self, rows: Sequence[Any]) -> list[Read]:
        read: list[AssessmentRow | Refusal] = []
        for done, row in enumerate(rows, start=1):
            read.append(_read_row(self._lines.read, row))
            if done % _ROWS_A_TURN == 0:
                await asyncio.sleep(0)
        owners = await self._owners([one for one in read if isinstance(one, AssessmentRow)])
        study = held(self._request, Studies)[self._call.study]
        return [
            one if isinstance(one, Refusal) else self._command(study, one, owners) for one in read
        ]

    async def _owners(self, rows: Sequence[AssessmentRow]) -> dict[str, UUID]:
        external = {
            row.participant.removeprefix("external:")
            for row in rows
            if row.participant.startswith("external:") and "\0" not in row.participant
        }
        if not external:
            return {}
        async with held(self._request, Database).pooled() as connection:
            return await participants_by_external_id(connection, self._call.study, external)

    def _command(self, study: Study, row: AssessmentRow, owners: dict[str, UUID]) -> Read:
        try:
            owner = parse_participant(row.participant)
        except NotFound as unknown:
            return unknown
        known = owner if isinstance(owner, UUID) else owners.get(owner)
        if known is None:
            return NotFound()
        return RecordAssessment(
            study=study,
            participant=known,
            id=new_id(),
            sites=self._call.caller.sites,
            form=row.form(),
            source_system=row.source_system,
            source_ref=row.source_ref,
        )

    def _render(self, read: Sequence[Read], outcomes: Sequence[Outcome]) -> bytes:
        decided = iter(outcomes)
        settled = [one if isinstance(one, Refusal) else next(decided) for one in read]
        self.is_refused = any(
            isinstance(one, Refusal) or one.refusal is not None for one in settled
        )
        is_written = not (self._is_atomic and self.is_refused)
        return self._lines.join(
            [
                canonical_json(
                    {"index": index, **self._row_view(one, is_written=is_written)},
                )
                for index, one in enumerate(settled, self._first)
            ]
        )

    def _row_view(self, one: Outcome | Refusal, *, is_written: bool) -> dict[str, Any]:
        refusal = one if isinstance(one, Refusal) else one.refusal
        if refusal is not None:
            if self._is_behind and isinstance(refusal, NotFound | Conflict):
                refusal = Behind("Whether the row can be written cannot be known now.")
            return {"problem": problem_document(refusal, request_id_of(self._request))}
        if not isinstance(one, Outcome) or not is_written:
            return {"write": None}
        return _written(one, asker_of(self._request, self._call))


def _read_row(read: Callable[[Any], Any], row: Any) -> AssessmentRow | Refusal:
    try:
        return AssessmentRow.model_validate(read(row))
    except Refusal as refusal:
        return refusal
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_input=False)
        faults = faults_of({**error, "loc": ("body", *error["loc"])} for error in errors)
        return InvalidRequest("The row holds values that cannot be.", faults=faults)


def _written(outcome: Outcome, asker: Asker) -> dict[str, Any]:
    decision = outcome.decision
    if outcome.recorded:
        document = outcome.recorded[0].document
    else:
        document = parse_json(str(decision and decision.standing).encode())
    view = {
        "write": decision and decision.write,
        "id": document["id"],
        "version": document["version"],
    }
    if not document["warnings"]:
        return view
    return {**view, "warnings": document["warnings"], "queries": asker.settled(outcome.recorded)}
