"""What safety answers beside stored records: clocks, and cases judged without storing them."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from services.kernel.values import Instant
from services.safety.domain.classification import Classification
from services.safety.domain.clocks import CountedFrom
from services.safety.domain.seriousness import Seriousness


class CountedFromView(BaseModel):
    """From when a clock counts: what a version stated, or when it was recorded."""

    member: CountedFrom
    at: Instant
    version: Annotated[int, Field(description="Since this version it has stood so.")]


class ClockFactView(BaseModel):
    """A fact by which the case qualified; null was read on the safe side."""

    pointer: Annotated[str, Field(description="The member that states it (RFC 6901).")]
    value: bool | str | None
    version: Annotated[int, Field(description="Since this version it has stood so.")]


class DerivedClock(BaseModel):
    """A started clock: of hours with `due`, or of calendar days with `due_date`."""

    clock: str
    due: Instant | None = None
    due_date: date | None = None
    day0: Annotated[date | None, Field(description="From when the days count.")] = None
    basis_days: int | None = None
    started_by_version: int
    counted_from: CountedFromView
    facts: list[ClockFactView]
    rule: Annotated[str, Field(description="The rule in words.")]
    source: str


class ClosureShown(BaseModel):
    """By whom and why the clock was closed."""

    submitted_at: Instant | None
    reference: str | None
    reason: str
    recorded_at: Instant
    recorded_by: str
    is_late: Annotated[
        bool | None, Field(description="Submitted after the clock ran out; null: nothing was.")
    ]


class StartedClock(DerivedClock):
    """A clock of a stored adverse event, open or closed."""

    id: UUID
    status: Literal["open", "closed"]
    ended_by_version: Annotated[
        int | None, Field(description="The version whose facts ended it, if one did.")
    ] = None
    closure: ClosureShown | None = None


class JudgedCase(BaseModel):
    """A case's class, its timing, the clocks that run, and what to know beside them."""

    serious: bool | None
    suspected: bool
    unexpected: bool
    classification: Classification
    treatment_emergent: bool | None
    within_24h_of_infusion: bool | None
    clocks: list[DerivedClock]
    notes: list[str]


class StatementView(BaseModel):
    """What a party states of the case: by whom, when, and in which version first so."""

    party: Literal["investigator", "sponsor"]
    member: str
    value: Seriousness | bool | str
    stated_by: Annotated[str, Field(description="The subject of the token.")]
    stated_at: Instant
    version: int
    is_attested: Annotated[
        bool, Field(description="Stated by an investigator, or for the sponsor a safety officer.")
    ]
