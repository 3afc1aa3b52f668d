"""The rules of scoring without storing anything, with the members of the vectors."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as form

from services.kernel.values import WHOLE
from services.protocol.settings import Settings
from services.protocol.study import Study
from services.scoring.domain import dlqi, pasi, vas, zung
from services.scoring.domain.answering import dotted, read_answers
from services.scoring.domain.cohort import CohortInput, derive_cohort
from services.scoring.domain.courses import CourseInput, read_course
from services.scoring.domain.outcome_views import outcome_view
from services.scoring.domain.outcomes import derive_outcome

CLOSED: Final = ConfigDict(extra="forbid")
Total = Annotated[int, Field(ge=0, le=30), WHOLE]


@form(frozen=True, kw_only=True, config=CLOSED)
class DlqiChange:
    """Two totals of one participant."""

    baseline_total: Total | None = None
    total: Total | None = None


_CHANGE: Final = TypeAdapter(DlqiChange)


def evaluate_pasi(answers: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """Answer the evaluation `pasi`; raises Impossible."""
    return pasi.score_pasi(answers, settings).derived


def evaluate_vas(answers: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """Answer the evaluation `vas`; raises Impossible."""
    return vas.score_vas(answers, settings).derived


def evaluate_dlqi(asked: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """Answer the evaluation `dlqi`: a form, or the change between two totals."""
    if "items" in asked:
        return dlqi.score_dlqi(asked, settings).derived
    change = read_answers(_CHANGE, asked, dotted)
    return dlqi.derive_change(change.baseline_total, change.total)


def evaluate_zung(asked: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """Answer the evaluation `sas-sds`; raises Impossible."""
    return zung.evaluate_scale(asked, settings)


def evaluate_outcomes(asked: CourseInput, study: Study, settings: Settings) -> dict[str, Any]:
    """Answer the evaluation `outcomes`, in the calendar of the study's first site."""
    course = read_course(asked, study.sites[0].time_zone)
    return outcome_view(derive_outcome(course, study, settings))


def evaluate_cohort(asked: CohortInput, study: Study, settings: Settings) -> dict[str, Any]:
    """Answer the evaluation `cohort-outcomes`."""
    time_zone = study.sites[0].time_zone
    return derive_cohort(
        derive_outcome(read_course(one, time_zone), study, settings) for one in asked.participants
    )
