"""The rule of every atomic criterion that this code can judge."""

from collections.abc import Mapping
from typing import Final

from services.enrolment.domain.criteria import (
    age_and_consent,
    histories,
    laboratory,
    scores,
    statements,
    tumour_markers,
)
from services.enrolment.domain.criteria.findings import Evaluation, Finding, Rule

RULE_BY_CRITERION: Final[Mapping[str, Rule]] = {
    **statements.RULES,
    **scores.RULES,
    **age_and_consent.RULES,
    **histories.RULES,
    **laboratory.RULES,
    **tumour_markers.RULES,
}

COMPUTED_FROM_DATES: Final = frozenset({"I3", *histories.RULES})
"""Criteria that a person states by giving dates, which are computed with."""


def judge(criterion: str, evaluation: Evaluation) -> Finding:
    """Return what the facts say of a criterion; without a rule it is a person's to state."""
    rule = RULE_BY_CRITERION.get(criterion)
    return Finding(result="unknown") if rule is None else rule(evaluation)
