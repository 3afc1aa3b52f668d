"""Outcomes of a participant and of the study, derived when they are read."""

import asyncio
import hashlib
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Query, Request
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
from services.kernel.feeds import KnownParticipant, known_participant, load_facts
from services.kernel.holdings import held
from services.kernel.http import (
    CSV,
    Call,
    CallDep,
    may,
    read_response,
    router,
    wants_csv,
    write_csv,
)
from services.kernel.identity import Role
from services.kernel.resources import AsOf, files_of_participants, past_moment
from services.kernel.storage import Database
from services.protocol.loading import Studies
from services.protocol.settings import RelapseDefinition, Settings, Week12Anchor
from services.protocol.study import Study
from services.scoring.domain.assessments import ASSESSMENT
from services.scoring.domain.cohort_columns import study_view_of_columns
from services.scoring.domain.measures import measured_by
from services.scoring.domain.participant_files import ParticipantFile
from services.scoring.domain.participant_outcomes import (
    participant_view,
    with_anchor,
    with_definition,
)
from services.scoring.routes.answered_outcomes import (
    MeasureEstimate,
    ParticipantOutcomes,
    StudyOutcomes,
)
from services.scoring.scans.scanning import StudyScan, scan_study

outcomes = router(prefix="/v1/studies/{study}", tags=["outcomes"])

READERS: Final[tuple[Role, ...]] = ("coordinator", "investigator", "statistician", "auditor")
Anchor = Annotated[
    Week12Anchor | None,
    Query(description="Count the weeks from here instead, as a sensitivity analysis."),
]
Definition = Annotated[
    RelapseDefinition | None,
    Query(description="Define relapse so instead, as a sensitivity analysis."),
]


async def read_file(
    request: Request, call: Call, known: KnownParticipant, at: datetime | None
) -> ParticipantFile:
    """Return what a participant's outcomes follow from, as it stands or stood."""
    study, identity = call.study, known.id
    async with held(request, Database).pooled() as connection:
        files = await files_of_participants(
            connection, study, [identity], [ASSESSMENT.name], as_of=at
        )
        facts = await load_facts(connection, study, [identity], ("infusion",), as_of=at)
    stored = files.get(identity, {}).get(ASSESSMENT.name, {})
    return ParticipantFile(
        id=identity,
        site=known.site,
        assessments=[one.document for one in stored.values()],
        infusions=facts.get(identity, {}).get("infusion", []),
    )


async def read_scan(
    request: Request, call: Call, at: datetime | None, instruments: list[str]
) -> StudyScan:
    """Return the columns of the study at the caller's sites, as they stand or stood."""
    return await scan_study(
        held(request, Database),
        held(request, Studies)[call.study],
        sites=call.caller.sites,
        as_of=at,
        instruments=instruments,
    )


def settings_of(
    study: Study, anchor: Week12Anchor | None, definition: RelapseDefinition | None
) -> Settings:
    """Return the study's settings, with the readings that the request names."""
    settings = study.settings
    if anchor is not None:
        settings = with_anchor(settings, anchor)
    return settings if definition is None else with_definition(settings, definition)


def derived_response(request: Request, body: bytes) -> Response:
    """Return what was derived, with a tag of its content."""
    return read_response(request, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


@outcomes.get(
    "/participants/{participant}/outcomes",
    response_model=ParticipantOutcomes,
    **may(*READERS, is_tagged=True),
)
async def read_outcomes(
    request: Request, participant: str, call: CallDep, as_of: AsOf = None
) -> Response:
    """Return week 12, response and relapse, each with the records, rule and settings used.

    Week 12 stands by each anchor and relapse by each definition; what the study's settings
    choose stands at the top. A correction adds a version, and the derivation names it.
    """
    at = past_moment(as_of)
    known = await known_participant(request, call, participant)
    file = await read_file(request, call, known, at)
    body = participant_view(file, held(request, Studies)[call.study])
    return derived_response(
        request, canonical_json({"participant": str(known.id), "as_of": at, **body})
    )


def _rules_of_study() -> dict[str, Any]:
    rules = may(*READERS, is_tagged=True)
    table = {"schema": {"type": "string", "description": "One row a measure."}}
    rules["responses"][200] = {"content": {CSV: table}}
    return rules


@outcomes.get("/outcomes", response_model=StudyOutcomes, **_rules_of_study())
async def read_study_outcomes(
    request: Request,
    call: CallDep,
    as_of: AsOf = None,
    week12_anchor: Anchor = None,
    relapse_definition: Definition = None,
) -> Response:
    """Return the registered outcome measures of the caller's sites, with n and limits.

    `derivation.positions` says how far each service's feed had come: the answer follows from
    what was recorded up to there, and from nothing else.
    """
    at = past_moment(as_of)
    study = held(request, Studies)[call.study]
    settings = settings_of(study, week12_anchor, relapse_definition)
    found = await read_scan(request, call, at, measured_by(study))
    write = _table if wants_csv(request) else _document
    body = await asyncio.to_thread(write, found, study, settings, at)
    response = derived_response(request, body)
    response.headers["Vary"] = "Accept"
    if response.body and write is _table:
        response.headers["Content-Type"] = f"{CSV}; charset=utf-8"
    return response


def _document(found: StudyScan, study: Study, settings: Settings, at: datetime | None) -> bytes:
    view: dict[str, Any] = study_view_of_columns(found.scan, study, settings)
    view["derivation"]["positions"] = found.positions
    return canonical_json({"as_of": at, **view})


def _table(found: StudyScan, study: Study, settings: Settings, _at: datetime | None) -> bytes:
    """Return one row a measure."""
    measures = study_view_of_columns(found.scan, study, settings)["measures"]
    return write_csv(map(canonical_json, measures), tuple(MeasureEstimate.model_fields))
