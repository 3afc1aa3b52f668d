"""The rules of scoring without storing anything: one operation for each kind of question."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import Body, Request
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass as form
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import Call, CallDep, may, router
from services.kernel.identity import Role
from services.kernel.records import DocumentedAs
from services.protocol.evaluating import Question
from services.protocol.loading import Studies
from services.protocol.settings import Settings
from services.protocol.study import Study
from services.scoring.domain.cohort import CohortInput
from services.scoring.domain.courses import CourseInput
from services.scoring.domain.dlqi import DlqiAnswers
from services.scoring.domain.evaluations import (
    CLOSED,
    DlqiChange,
    evaluate_cohort,
    evaluate_dlqi,
    evaluate_outcomes,
    evaluate_pasi,
    evaluate_vas,
    evaluate_zung,
)
from services.scoring.domain.improvement import ImprovementInput, evaluate_improvement
from services.scoring.domain.pasi import PasiAnswers
from services.scoring.domain.relapse import RelapseInput, evaluate_relapse
from services.scoring.domain.statistics import (
    KaplanMeierInput,
    ProportionInput,
    SignedRankInput,
    SummaryInput,
    evaluate_kaplan_meier,
    evaluate_proportion,
    evaluate_signed_rank,
    evaluate_summary,
)
from services.scoring.domain.vas import VasAnswers
from services.scoring.domain.zung import ScaleForm
from services.scoring.routes.answered import (
    CohortOutcomes,
    DlqiChanged,
    DlqiScore,
    FirstRelapse,
    Improvement,
    OutcomeAnswer,
    PasiScore,
    ProportionLimits,
    SignedRank,
    Summary,
    Survival,
    VasScore,
    ZungIndex,
)

evaluations = router(prefix="/v1/studies/{study}/evaluations", tags=["evaluations"])

EVALUATORS: Final[tuple[Role, ...]] = (
    "edc",
    "coordinator",
    "investigator",
    "safety_officer",
    "statistician",
    "auditor",
    "admin",
)
_SETTINGS: Final = TypeAdapter(Question)


@form(frozen=True, kw_only=True, config=CLOSED)
class PasiQuestion(PasiAnswers, Question):
    """A PASI form."""


@form(frozen=True, kw_only=True, config=CLOSED)
class VasQuestion(VasAnswers, Question):
    """A mark on the itch scale."""


@form(frozen=True, kw_only=True, config=CLOSED)
class DlqiQuestion(DlqiAnswers, Question):
    """A DLQI form."""


@form(frozen=True, kw_only=True, config=CLOSED)
class DlqiChangeQuestion(DlqiChange, Question):
    """Two DLQI totals of one participant."""


@form(frozen=True, kw_only=True, config=CLOSED)
class ZungQuestion(ScaleForm, Question):
    """A form of one of Zung's scales."""


# Read by the instruments themselves, whose faults have places of their own.
PasiForm = Annotated[dict[str, Any], DocumentedAs(PasiQuestion), Body()]
VasForm = Annotated[dict[str, Any], DocumentedAs(VasQuestion), Body()]
DlqiForm = Annotated[dict[str, Any], DocumentedAs(DlqiQuestion | DlqiChangeQuestion), Body()]
ZungScaleForm = Annotated[dict[str, Any], DocumentedAs(ZungQuestion), Body()]


@form(frozen=True, kw_only=True, config=CLOSED)
class ImprovementQuestion(ImprovementInput, Question):
    """A baseline and a later value."""


@form(frozen=True, kw_only=True, config=CLOSED)
class RelapseQuestion(RelapseInput, Question):
    """A baseline and the values after it."""


@form(frozen=True, kw_only=True, config=CLOSED)
class OutcomesQuestion(CourseInput, Question):
    """A participant's infusions and values."""


@form(frozen=True, kw_only=True, config=CLOSED)
class CohortQuestion(CohortInput, Question):
    """All participants of a study."""


@form(frozen=True, kw_only=True, config=CLOSED)
class ProportionQuestion(ProportionInput, Question):
    """So many of so many."""


@form(frozen=True, kw_only=True, config=CLOSED)
class SignedRankQuestion(SignedRankInput, Question):
    """Differences of pairs."""


@form(frozen=True, kw_only=True, config=CLOSED)
class KaplanMeierQuestion(KaplanMeierInput, Question):
    """Everyone at risk."""


@form(frozen=True, kw_only=True, config=CLOSED)
class SummaryQuestion(SummaryInput, Question):
    """Values to be summarised."""


def _answer(found: Mapping[str, Any]) -> Response:
    return Response(
        canonical_json(dict(found)),
        headers={"Cache-Control": "no-store"},
        media_type="application/json",
    )


def _study(request: Request, call: Call) -> Study:
    return held(request, Studies)[call.study]


def _score(
    request: Request,
    call: Call,
    form: dict[str, Any],
    evaluate: Callable[[Mapping[str, Any], Settings], Mapping[str, Any]],
) -> Response:
    question = _SETTINGS.validate_python({"settings": form.pop("settings", None)})
    return _answer(evaluate(form, question.settings_on(_study(request, call).settings)))


@evaluations.post("/pasi", name="evaluate_pasi", response_model=PasiScore, **may(*EVALUATORS))
async def evaluate_pasi_form(request: Request, body: PasiForm, call: CallDep) -> Response:
    """Score a PASI form: `{"regions": {...}}`."""
    return _score(request, call, body, evaluate_pasi)


@evaluations.post("/vas", name="evaluate_vas", response_model=VasScore, **may(*EVALUATORS))
async def evaluate_vas_mark(request: Request, body: VasForm, call: CallDep) -> Response:
    """Place a mark on the itch scale: `{"value": 4.1, "unit": "cm"}`."""
    return _score(request, call, body, evaluate_vas)


@evaluations.post(
    "/dlqi", name="evaluate_dlqi", response_model=DlqiScore | DlqiChanged, **may(*EVALUATORS)
)
async def evaluate_dlqi_form(request: Request, body: DlqiForm, call: CallDep) -> Response:
    """Score a DLQI form, or the change between two totals."""
    return _score(request, call, body, evaluate_dlqi)


@evaluations.post("/sas-sds", name="evaluate_sas_sds", response_model=ZungIndex, **may(*EVALUATORS))
async def evaluate_zung_scale(request: Request, body: ZungScaleForm, call: CallDep) -> Response:
    """Score one of Zung's scales: `{"scale": "SAS", "answers": [...]}`."""
    return _score(request, call, body, evaluate_zung)


@evaluations.post(
    "/improvement", name="evaluate_improvement", response_model=Improvement, **may(*EVALUATORS)
)
async def evaluate_improved(body: ImprovementQuestion, call: CallDep) -> Response:
    """Return the improvement against baseline, and the response that it makes."""
    del call
    return _answer(evaluate_improvement(body))


@evaluations.post(
    "/relapse-definitions",
    name="evaluate_relapse_definitions",
    response_model=FirstRelapse,
    **may(*EVALUATORS),
)
async def evaluate_definitions(body: RelapseQuestion, call: CallDep) -> Response:
    """Return the place of the first relapse by each definition."""
    del call
    return _answer(evaluate_relapse(body))


@evaluations.post(
    "/outcomes", name="evaluate_outcomes", response_model=OutcomeAnswer, **may(*EVALUATORS)
)
async def evaluate_course(request: Request, body: OutcomesQuestion, call: CallDep) -> Response:
    """Return a participant's outcomes: baseline, week 12, response, relapse."""
    study = _study(request, call)
    return _answer(evaluate_outcomes(body, study, body.settings_on(study.settings)))


@evaluations.post(
    "/cohort-outcomes",
    name="evaluate_cohort_outcomes",
    response_model=CohortOutcomes,
    **may(*EVALUATORS),
)
async def evaluate_everyone(request: Request, body: CohortQuestion, call: CallDep) -> Response:
    """Return the outcomes of all participants together."""
    study = _study(request, call)
    return _answer(evaluate_cohort(body, study, body.settings_on(study.settings)))


@evaluations.post(
    "/proportion-ci",
    name="evaluate_proportion_ci",
    response_model=ProportionLimits,
    **may(*EVALUATORS),
)
async def evaluate_limits(body: ProportionQuestion, call: CallDep) -> Response:
    """Return a proportion's limits: exact, and by score."""
    del call
    return _answer(evaluate_proportion(body))


@evaluations.post(
    "/signed-rank", name="evaluate_signed_rank", response_model=SignedRank, **may(*EVALUATORS)
)
async def evaluate_pairs(body: SignedRankQuestion, call: CallDep) -> Response:
    """Return Wilcoxon's signed rank test."""
    del call
    return _answer(evaluate_signed_rank(body))


@evaluations.post(
    "/kaplan-meier", name="evaluate_kaplan_meier", response_model=Survival, **may(*EVALUATORS)
)
async def evaluate_survival(body: KaplanMeierQuestion, call: CallDep) -> Response:
    """Return survival at each event, and the median."""
    del call
    return _answer(evaluate_kaplan_meier(body))


@evaluations.post("/summary", name="evaluate_summary", response_model=Summary, **may(*EVALUATORS))
async def evaluate_values(body: SummaryQuestion, call: CallDep) -> Response:
    """Return n, mean, SD, median, quartiles and extremes."""
    del call
    return _answer(evaluate_summary(body))
