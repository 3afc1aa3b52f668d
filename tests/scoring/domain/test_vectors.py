from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter

from services.kernel.refusals import Impossible
from services.protocol.loading import load_studies
from services.protocol.settings import override_settings
from services.scoring.domain import evaluations, improvement, relapse, statistics
from services.scoring.domain.cohort import CohortInput
from services.scoring.domain.courses import CourseInput
from tests.scoring.domain.vectors import cases, is_refusal, same

STUDY = load_studies()["NCT03745417"]
BY_FORM = {
    "pasi": evaluations.evaluate_pasi,
    "dlqi": evaluations.evaluate_dlqi,
    "vas": evaluations.evaluate_vas,
    "sas-sds": evaluations.evaluate_zung,
}
BY_INPUT: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "improvement": (improvement.ImprovementInput, improvement.evaluate_improvement),
    "relapse-definitions": (relapse.RelapseInput, relapse.evaluate_relapse),
    "proportion-ci": (statistics.ProportionInput, statistics.evaluate_proportion),
    "signed-rank": (statistics.SignedRankInput, statistics.evaluate_signed_rank),
    "kaplan-meier": (statistics.KaplanMeierInput, statistics.evaluate_kaplan_meier),
    "summary": (statistics.SummaryInput, statistics.evaluate_summary),
}
BY_STUDY: dict[str, tuple[Any, Callable[..., Any]]] = {
    "outcomes": (CourseInput, evaluations.evaluate_outcomes),
    "cohort-outcomes": (CohortInput, evaluations.evaluate_cohort),
}


def answer(evaluation: str, asked: Mapping[str, Any]) -> Any:
    body = {name: value for name, value in asked.items() if name != "settings"}
    settings = override_settings(STUDY.settings, asked.get("settings", {}))
    if evaluation in BY_FORM:
        return BY_FORM[evaluation](body, settings)
    if evaluation in BY_INPUT:
        kind, evaluate = BY_INPUT[evaluation]
        return evaluate(TypeAdapter(kind).validate_python(body))
    kind, evaluate = BY_STUDY[evaluation]
    return evaluate(TypeAdapter(kind).validate_python(body), STUDY, settings)


@pytest.mark.parametrize(("evaluation", "case"), cases())
def test_vector(evaluation: str, case: dict[str, Any]) -> None:
    if is_refusal(case):
        with pytest.raises(Impossible) as refused:
            answer(evaluation, case["input"])
        codes = {fault.code for fault in refused.value.faults}
        assert codes == set(case["expected"].get("error_codes", codes))
    else:
        assert same(answer(evaluation, case["input"]), case["expected"])
