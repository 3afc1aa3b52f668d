"""What the services can compute: the codes that a study file may count on.

The rules themselves are the services'; tests hold these sets equal to theirs.
"""

from typing import Final

# fmt: off
CRITERIA: Final = frozenset(
    {
        "I1a", "I1b", "I2", "I3", "E1a", "E1b", "E1c", "E2a", "E2b", "E3a", "E3b", "E3c", "E3d",
        "E4a", "E4b", "E4c", "E5a1", "E5a2", "E5a3", "E5a4", "E5a5", "E5a6", "E5b", "E5c",
        "E5d", "E5e", "E5f", "E5g", "E5h", "E5i", "E5k", "E5l", "E5m", "E5n", "E5o", "E6a",
        "E6b", "E6c", "E7", "E8a", "E8b", "E9a", "E9b", "E9c", "E9d", "E9e", "E10",
    }
)
# fmt: on
"""Criteria with a rule; another one must be for a person to judge."""

INSTRUMENTS: Final = frozenset({"pasi", "bsa", "dlqi", "vas", "sas", "sds"})

OUTCOME_METHODS: Final = frozenset(
    {
        "improvement_rate",
        "change",
        "responders_50",
        "responders_75",
        "relapse_treatment_period",
        "relapse_follow_up_period",
    }
)

STOPPING_CONDITIONS: Final = frozenset(
    {
        "suspected_death_or_grade",
        "suspected_grade",
        "product_term",
        "term",
        "infusion_grade",
        "susar",
    }
)

LABORATORY_TESTS: Final = frozenset(
    {"calcium_total", "ast", "alt", "creatinine", "cystatin_c", "hemoglobin", "platelets", "wbc"}
)
"""Tests that criteria read; a study says in which codes and units they come."""
