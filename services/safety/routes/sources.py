"""The reference under which another system knows a record, in bodies that are dataclasses."""

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.dataclasses import dataclass as form
from pydantic_core import PydanticCustomError

from services.kernel.values import Code
from services.safety.domain.dossier import SourceReference

CLOSED: Final = ConfigDict(extra="forbid")


@form(frozen=True, kw_only=True, config=CLOSED)
class Sourced:
    """A body with the sender's own reference: both of its members, or none."""

    source_system: Code | None = None
    source_ref: Code | None = None

    @model_validator(mode="after")
    def _source_is_whole(self) -> Self:
        if (self.source_system is None) != (self.source_ref is None):
            raise PydanticCustomError("source", "source_system and source_ref go together.")
        return self

    @property
    def source(self) -> SourceReference | None:
        """The reference, if one was given."""
        if self.source_system is None or self.source_ref is None:
            return None
        return SourceReference(self.source_system, self.source_ref)


class VisitSource(BaseModel):
    """The reference of the visit with which a record came."""

    source_system: str
    source_ref: str
