"""Members that the bodies of every kind of record share."""

from typing import Annotated, Any, Generic, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from services.kernel.values import Code, Instant, Reason


class ClosedBody(BaseModel):
    """A body in which a member that nobody defined is refused."""

    model_config = ConfigDict(extra="forbid")


class RecordBody(ClosedBody):
    """A record that another system may know under a reference of its own."""

    source_system: Annotated[Code | None, Field(description="The system that sends it.")] = None
    source_ref: Annotated[
        Code | None, Field(description="Its reference there; unique in the study, never alone.")
    ] = None

    @model_validator(mode="after")
    def _source_is_whole(self) -> Self:
        if (self.source_system is None) != (self.source_ref is None):
            raise PydanticCustomError("source", "source_system and source_ref go together.")
        return self


class RetractionBody(ClosedBody):
    """Why a record was entered in error."""

    reason: Reason


class DocumentedAs:
    """Lets a member that is read by rules of its own be documented as a type."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(TypeAdapter(self._kind).core_schema)


ItemT = TypeVar("ItemT")


class Page(BaseModel, Generic[ItemT]):
    """One page of a list."""

    items: list[ItemT]
    next: Annotated[str | None, Field(description="To be passed on as `after`; null at the end.")]

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Return the page's name in the contract."""
        return f"{params[0].__name__.removesuffix('View')}Page"


Written = Literal["created", "updated", "unchanged"]


class Warned(BaseModel):
    """Something odd but possible about a record; it is stored as given."""

    pointer: Annotated[str, Field(description="The member that it is about (RFC 6901).")]
    code: Annotated[str, Field(description="The kind of warning, for programs.")]
    detail: Annotated[str, Field(description="What is odd, for people.")]


class RaisedQuery(Warned):
    """A question that a warning asks until it is answered or its cause is corrected."""

    id: UUID


class SettledQueries(BaseModel):
    """Which queries a write raised, and which it closed."""

    raised: list[RaisedQuery]
    closed: list[RaisedQuery]


class StoredView(BaseModel):
    """What every stored record has beside its own members."""

    id: UUID
    participant: Annotated[UUID, Field(description="Whose record it is.")]
    site: Annotated[str | None, Field(description="The site's code.")]
    version: Annotated[int, Field(ge=1, description="Counts from 1; a change adds one.")]
    recorded_at: Annotated[Instant, Field(description="When this version was recorded.")]
    recorded_by: Annotated[str, Field(description="The subject of the token.")]
    record_status: Annotated[
        Literal["entered", "retracted"], Field(description="Retracted: entered in error.")
    ]
    source_system: Annotated[str | None, Field(description="The system that sent it.")] = None
    source_ref: Annotated[str | None, Field(description="Its reference in that system.")] = None
    write: Annotated[
        Written | None, Field(description="In the answer to a write: what was done.")
    ] = None
    queries: Annotated[
        SettledQueries | None, Field(description="In the answer to a write that may warn.")
    ] = None
