"""The rules of enrolment without storing anything: one operation for each kind of question."""

from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import Request
from pydantic.dataclasses import dataclass as form
from starlette.responses import Response

from services.enrolment.domain.dose import DoseAnswer, DoseInput, evaluate_dose
from services.enrolment.domain.eligibility import evaluate_eligibility
from services.enrolment.domain.eligibility_facts import CLOSED, EligibilityFacts
from services.enrolment.domain.visit_timing import (
    ScheduleAnswer,
    ScheduleInput,
    StudyDayAnswer,
    StudyDayInput,
    VisitWindowAnswer,
    VisitWindowInput,
    Week12Answer,
    Week12Input,
    evaluate_schedule,
    evaluate_study_day,
    evaluate_visit_window,
    evaluate_week12,
)
from services.enrolment.routes.explained import EligibilityAnswer, eligibility_view
from services.enrolment.routes.finding import STAFF, study_of
from services.kernel.exact_json import canonical_json
from services.kernel.http import CallDep, may, router
from services.protocol.evaluating import Question

evaluations = router(prefix="/v1/studies/{study}/evaluations", tags=["evaluations"])

EVALUATORS: Final = (*STAFF, "admin")


@form(frozen=True, kw_only=True, config=CLOSED)
class EligibilityQuestion(EligibilityFacts, Question):
    """Facts to be judged by every criterion."""


@form(frozen=True, kw_only=True, config=CLOSED)
class ScheduleQuestion(ScheduleInput, Question):
    """A first infusion, from which the visits are planned."""


@form(frozen=True, kw_only=True, config=CLOSED)
class StudyDayQuestion(StudyDayInput, Question):
    """A date, and the date of day 1."""


@form(frozen=True, kw_only=True, config=CLOSED)
class VisitWindowQuestion(VisitWindowInput, Question):
    """A visit, and when it was held."""


@form(frozen=True, kw_only=True, config=CLOSED)
class Week12Question(Week12Input, Question):
    """Infusions, from which week 12 counts."""


@form(frozen=True, kw_only=True, config=CLOSED)
class DoseQuestion(DoseInput, Question):
    """A weight, for which the dose is asked."""


def _answer(found: Any) -> Response:
    return Response(
        canonical_json(found), headers={"Cache-Control": "no-store"}, media_type="application/json"
    )


@evaluations.post(
    "/eligibility",
    name="evaluate_eligibility",
    response_model=EligibilityAnswer,
    **may(*EVALUATORS),
)
async def evaluate_facts(request: Request, body: EligibilityQuestion, call: CallDep) -> Response:
    """Judge facts by every criterion, and propose the verdict."""
    study = body.study_on(study_of(request, call))
    judged = evaluate_eligibility(
        body,
        study=study,
        settings=study.settings,
        time_zone=ZoneInfo(study.sites[0].time_zone),
    )
    return _answer(eligibility_view(judged))


@evaluations.post(
    "/schedule",
    name="evaluate_schedule",
    response_model=ScheduleAnswer,
    **may(*EVALUATORS),
)
async def evaluate_visits(request: Request, body: ScheduleQuestion, call: CallDep) -> Response:
    """Plan the visits from a first infusion."""
    return _answer(evaluate_schedule(body, body.study_on(study_of(request, call))))


@evaluations.post(
    "/study-day",
    name="evaluate_study_day",
    response_model=StudyDayAnswer,
    **may(*EVALUATORS),
)
async def evaluate_day(request: Request, body: StudyDayQuestion, call: CallDep) -> Response:
    """Return a date's study day; there is no day 0."""
    body.study_on(study_of(request, call))
    return _answer(evaluate_study_day(body))


@evaluations.post(
    "/visit-window",
    name="evaluate_visit_window",
    response_model=VisitWindowAnswer,
    **may(*EVALUATORS),
)
async def evaluate_window(request: Request, body: VisitWindowQuestion, call: CallDep) -> Response:
    """Tell whether a visit was held early, within its window, or late."""
    return _answer(evaluate_visit_window(body, body.study_on(study_of(request, call))))


@evaluations.post(
    "/week-12",
    name="evaluate_week_12",
    response_model=Week12Answer,
    **may(*EVALUATORS),
)
async def evaluate_anchor(request: Request, body: Week12Question, call: CallDep) -> Response:
    """Return week 12 and its window by the reading that the settings choose."""
    study = body.study_on(study_of(request, call))
    return _answer(evaluate_week12(body, study, study.settings))


@evaluations.post(
    "/dose",
    name="evaluate_dose",
    response_model=DoseAnswer,
    **may(*EVALUATORS),
)
async def evaluate_cells(request: Request, body: DoseQuestion, call: CallDep) -> Response:
    """Return the cells of one infusion for a weight."""
    study = body.study_on(study_of(request, call))
    return _answer(evaluate_dose(body, study.settings))
