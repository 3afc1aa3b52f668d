"""Deviations from the plan, and what people answer to them."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.enrolment.domain.answering import AnswerDeviation, answer_id, decide_answer
from services.enrolment.domain.conducting import conduct_of
from services.enrolment.domain.deviations import Rule, derive_deviations
from services.enrolment.domain.participant_file import (
    ANSWER,
    PARTICIPANT,
)
from services.enrolment.facts import gather, load_files, read_judged_files
from services.enrolment.routes.eligibility import catch_up
from services.enrolment.routes.finding import BY_HAND, CLINICAL, own_id, study_of
from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import (
    USUAL_LIMIT,
    After,
    CallDep,
    IdempotencyKey,
    Limit,
    may,
    page_response,
    parse_id,
    read_cursor,
    router,
)
from services.kernel.records import ClosedBody, Page, StoredView
from services.kernel.refusals import NotAllowed, NotFound
from services.kernel.resources import AsOf, add_reads, list_page, past_moment
from services.kernel.storage import Connection, Database
from services.kernel.values import CalendarDate, Code, Instant, Reason
from services.kernel.writing import submit
from services.protocol.study import Study

deviations = router(prefix="/v1/studies/{study}", tags=["conduct"])
_AT_A_TIME: Final = 50
"""Participants whose deviations are derived between two looks at who else waits."""


class DeviationAnswerBody(ClosedBody):
    """Why it happened, or what was done about it."""

    reason: Reason


class DeviationAnswerView(StoredView):
    """A person's answer to a deviation."""

    deviation: UUID
    code: str
    reason: str


class AnswerView(BaseModel):
    """What a person answered last, and how often that was."""

    reason: str
    recorded_by: str
    recorded_at: Instant
    version: int


class DeviatingRecord(BaseModel):
    """The record that deviates."""

    record: Annotated[str, Field(description="Its kind.")]
    id: UUID


class DeviationView(BaseModel):
    """A deviation that follows from the records as they stand."""

    id: UUID
    code: Rule
    date: CalendarDate
    rule: Annotated[str, Field(description="The rule in words.")]
    participant: UUID
    site: str
    visit: str | None
    record: DeviatingRecord
    detail: str | None
    answer: AnswerView | None


async def _deviations(
    connection: Connection, study: Study, participants: list[UUID], at: datetime | None
) -> list[dict[str, Any]]:
    """Return what deviates with these participants, each with what a person answered."""
    found = []
    for file in await read_judged_files(connection, study.number, participants, at):
        gathered = gather(study, file, at or datetime.now(UTC))
        answers = {one["deviation"]: one for one in file.documents(ANSWER)}
        found += [
            {
                **asdict(one),
                "participant": str(file.participant),
                "site": file.site,
                "answer": _answer(answers.get(str(one.id))),
            }
            for one in derive_deviations(conduct_of(study, file, gathered), study.settings.dose)
        ]
    return found


def _answer(document: dict[str, Any] | None) -> dict[str, Any] | None:
    shown = ("reason", "recorded_by", "recorded_at", "version")
    return None if document is None else {name: document[name] for name in shown}


def _mark(deviation: dict[str, Any], position: int = 0) -> int:
    """Return a deviation's place in a list: by its participant, then by its id.

    Deviations come and go, and change their days, while someone reads page after page.
    """
    own: UUID = deviation["id"]
    return position << 64 | own.int >> 64


def _deviation_page(
    request: Request, found: Sequence[tuple[int, dict[str, Any]]], limit: int
) -> Response:
    """Return the first of these by place; within the page a participant's earliest first."""
    shown = sorted(found, key=lambda pair: pair[0])[:limit]
    following = shown[-1][0] if len(found) > limit else None
    by_day = sorted(shown, key=lambda pair: (pair[0] >> 64, pair[1]["date"]))
    return page_response(request, [canonical_json(one) for _, one in by_day], following)


@deviations.get(
    "/participants/{participant}/deviations", response_model=Page[DeviationView], **may(*CLINICAL)
)
async def list_participant_deviations(
    request: Request,
    participant: str,
    call: CallDep,
    limit: Annotated[Limit, Query()] = USUAL_LIMIT,
    after: Annotated[After, Query()] = None,
    as_of: AsOf = None,
) -> Response:
    """List what was done otherwise than planned; gone when it is corrected."""
    identity = await own_id(request, call, participant)
    begin, at = read_cursor(after), past_moment(as_of)
    if at is None and after is None:
        await catch_up(request, call)
    async with held(request, Database).pooled() as connection:
        found = await _deviations(connection, study_of(request, call), [identity], at)
    return _deviation_page(
        request, [(_mark(one), one) for one in found if _mark(one) > begin], limit
    )


@deviations.post(
    "/participants/{participant}/deviations/{deviation}/answer",
    status_code=201,
    response_model=DeviationAnswerView,
    **may(*BY_HAND),
)
async def answer_deviation(
    request: Request,
    participant: str,
    deviation: str,
    body: DeviationAnswerBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Answer a deviation that stands, with a reason; another answer is a new version."""
    del idempotency_key
    study = study_of(request, call)
    identity = await own_id(request, call, participant)
    await catch_up(request, call)
    async with held(request, Database).pooled() as connection:
        standing = await _deviations(connection, study, [identity], None)
    named = next((one for one in standing if one["id"] == parse_id(deviation)), None)
    if named is None:
        raise NotFound
    order = AnswerDeviation(
        study=study,
        participant=identity,
        id=answer_id(named["id"]),
        sites=call.caller.sites,
        deviation=named["id"],
        code=named["code"],
        reason=body.reason,
    )
    answers = f"/v1/studies/{call.study}/participants/{identity}/deviation-answers"
    return await submit(
        request,
        call,
        [order],
        load=load_files,
        decide=decide_answer,
        location=f"{answers}/{order.id}",
    )


add_reads(
    deviations,
    "/participants/{participant}/deviation-answers",
    ANSWER,
    DeviationAnswerView,
    roles=CLINICAL,
    find=own_id,
)


@deviations.get("/deviations", response_model=Page[DeviationView], **may(*CLINICAL))
async def list_study_deviations(
    request: Request,
    call: CallDep,
    site: Annotated[Code | None, Query(description="Only of this site.")] = None,
    limit: Annotated[Limit, Query()] = USUAL_LIMIT,
    after: Annotated[After, Query()] = None,
    as_of: AsOf = None,
) -> Response:
    """List the deviations of the caller's sites, in the order of registration."""
    if site is not None and not call.caller.covers_site(site):
        raise NotAllowed("Your sites do not include this one.")
    sites = [site] if site is not None else call.caller.sites
    study, at, begin = study_of(request, call), past_moment(as_of), read_cursor(after)
    if at is None and after is None:
        await catch_up(request, call)
    found: list[tuple[int, dict[str, Any]]] = []
    # The participant at whom the page before ended may have more.
    following: int | None = max((begin >> 64) - 1, 0)
    async with held(request, Database).pooled() as connection:
        while following is not None and len(found) <= limit:
            page, following = await list_page(
                connection,
                call.study,
                PARTICIPANT.name,
                after=following,
                limit=_AT_A_TIME,
                sites=None if sites is None else sorted(sites),
            )
            positions = {str(stored.participant): stored.position for stored in page}
            standing = await _deviations(
                connection, study, [stored.participant for stored in page], at
            )
            marked = [(_mark(one, positions[one["participant"]]), one) for one in standing]
            found += [pair for pair in marked if pair[0] > begin]
    return _deviation_page(request, found, limit)
