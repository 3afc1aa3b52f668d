"""Eligibility as it is explained: verdict, results, and how each was found."""

from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from services.enrolment.domain.criteria.findings import Result
from services.enrolment.domain.eligibility import AttestedResult, Eligibility, Verdict
from services.kernel.values import Instant


class UsedValue(BaseModel):
    """A value that a criterion read, and where it came from."""

    pointer: Annotated[str, Field(description="Its place in the facts (RFC 6901).")]
    value: Any
    unit: str | None
    source: Annotated[Any, Field(description="The record that states it, if one does.")]


class DerivedValue(BaseModel):
    """A value that was computed on the way."""

    value: Any
    unit: str | None


class MissingValue(BaseModel):
    """A value without which a criterion stays unknown, and who can supply it."""

    pointer: str
    supplied_by: str
    detail: str


class StandingAttestation(BaseModel):
    """An investigator's statement on the criterion."""

    result: AttestedResult
    stated_at: Instant
    stated_by: str
    statement: str | None


class CriterionDetail(BaseModel):
    """How a criterion's result was found."""

    rule: Annotated[str, Field(description="The criterion in words.")]
    type: Literal["inclusion", "exclusion"]
    attested_by: str
    values: list[UsedValue]
    derived: dict[str, DerivedValue]
    settings: dict[str, Any]
    missing: list[MissingValue]
    flags: list[str]
    attestation: StandingAttestation | None


class EligibilityAnswer(BaseModel):
    """The verdict that the criteria propose, and every criterion explained."""

    verdict: Verdict
    failed: Annotated[list[str], Field(description="Inclusions not met, exclusions met.")]
    unknown: list[str]
    criteria: dict[str, Result]
    details: dict[str, CriterionDetail]


class FactsKnown(BaseModel):
    """Whether the newest facts of the other services could be had."""

    are_newest: bool
    not_reached: list[Literal["scoring", "safety"]]


class EligibilityView(EligibilityAnswer):
    """A participant's eligibility as it stands, or stood."""

    participant: UUID
    facts: FactsKnown


def eligibility_view(judged: Eligibility) -> dict[str, Any]:
    """Return the members of the contract."""
    return {
        "verdict": judged.verdict,
        "failed": list(judged.failed),
        "unknown": list(judged.unknown),
        "criteria": dict(judged.criteria),
        "details": {
            criterion: {name: _plain(value) for name, value in detail.items()}
            for criterion, detail in judged.details.items()
        },
    }


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value
