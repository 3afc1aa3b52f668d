"""The flow of participants through the study, as a sponsor reads it."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.enrolment.domain.flow import Course, derive_flow
from services.enrolment.domain.participant_file import (
    DECISION,
    INFUSION,
    PARTICIPANT,
    STATUS,
    ParticipantFile,
    StudyBook,
    names_of,
)
from services.enrolment.routes.finding import STAFF, study_of, today_at
from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import LARGEST_LIMIT, CallDep, may, router
from services.kernel.resources import AsOf, files_of_participants, list_page, past_moment
from services.kernel.storage import Database
from services.kernel.values import CalendarDate
from services.protocol.study import Study

flow = router(prefix="/v1/studies/{study}", tags=["conduct"])
_FLOW: Final = (PARTICIPANT, STATUS, DECISION, INFUSION)


class SoFar(BaseModel):
    """How many had reached each step by a day; a screening that failed, unless repeated."""

    date: CalendarDate
    screened: int
    screen_failed: int
    enrolled: int
    treated: int
    followed_up: int
    completed: int
    withdrawn: int
    lost_to_follow_up: int
    died: int


class Numbers(BaseModel):
    """Participants by what became of them; each is counted once under the status that stands."""

    screened: int
    in_screening: int
    screen_failed: int
    left_before_enrolment: int
    enrolled: int
    treated: int
    awaiting_treatment: int
    on_treatment: int
    follow_up: int
    completed: int
    withdrawn: int
    lost_to_follow_up: int
    died: int
    failed_by_criterion: dict[str, int]
    over_time: list[SoFar]


class FlowView(Numbers):
    """How participants flow through the study, by site, and over time."""

    by_site: dict[str, Numbers]
    places: Annotated[int | None, Field(description="Null has no limit.")]


@flow.get(
    "/enrolment/summary",
    name="read_enrolment_summary",
    response_model=FlowView,
    **may(*STAFF),
)
async def read_summary(request: Request, call: CallDep, as_of: AsOf = None) -> Response:
    """Return how participants flow through the study, as CONSORT counts them."""
    study = study_of(request, call)
    at = past_moment(as_of)
    courses: list[Course] = []
    after: int | None = 0
    kinds = names_of(_FLOW)
    async with held(request, Database).pooled() as connection:
        while after is not None:
            page, after = await list_page(
                connection,
                call.study,
                PARTICIPANT.name,
                after=after,
                limit=LARGEST_LIMIT,
                sites=None if call.caller.sites is None else sorted(call.caller.sites),
                as_of=at,
            )
            participants = [stored.participant for stored in page]
            files = await files_of_participants(
                connection, call.study, participants, kinds, as_of=at
            )
            courses += [
                _course(study, ParticipantFile(participant, StudyBook(), records), at)
                for participant, records in files.items()
            ]
    body = canonical_json({**derive_flow(courses), "places": study.places})
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")


def _course(study: Study, file: ParticipantFile, at: datetime | None) -> Course:
    failed = [document["failed"] for document in file.documents(DECISION)]
    return Course(
        site=file.site,
        history=file.history(study, today_at(study, file.site, at)),
        failed=tuple(failed[-1]) if failed else (),
    )
