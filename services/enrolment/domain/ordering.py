"""What every order to enrolment carries: about whom, in which study, on whose behalf."""

from dataclasses import dataclass
from uuid import UUID

from services.protocol.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order about one participant.

    `id` is that of the record it makes or names; `sites` None covers all. An order that
    counts places or numbers also locks the study's stream; one that judges eligibility
    asks for other services' facts.
    """

    study: Study
    participant: UUID
    id: UUID
    sites: frozenset[str] | None
    source_system: str | None = None
    source_ref: str | None = None

    counts_places: bool = False
    judges: bool = False
    external_id: str | None = None

    @property
    def streams(self) -> tuple[UUID, ...]:
        """The streams to lock."""
        own = (self.participant,)
        return (UUID(int=0), *own) if self.counts_places else own
