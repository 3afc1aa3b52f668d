"""What a rule says when it cannot accept: a refusal, which becomes an RFC 9457 problem.

Imports nothing of ours, so that every `domain/` may raise these without knowing HTTP.
A subclass's name in kebab case is the problem's type, its docstring's first line the title.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one member of a request.

    `pointer` is an RFC 6901 JSON pointer into the body; `code` is stable and documented;
    `detail` explains without repeating the refused value.
    """

    pointer: str
    code: str
    detail: str


class Refusal(Exception):  # noqa: N818 - refusals state a fact, they are not errors
    """The request was refused."""

    status: ClassVar[int] = 400
    depends_on_facts: ClassVar[bool] = True
    """Whether newer facts of another service could lift it."""

    def __init__(self, detail: str = "", *, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)


class NotFound(Refusal):
    """Nothing here by that name, or nothing that you may know of.

    Check the ids in the path, and that the token covers their study and site.
    """

    status = 404


class Conflict(Refusal):
    """The record as it stands does not allow this.

    Read the record as it stands; a person at the site decides what is right.
    """

    status = 409


class Stale(Refusal):
    """The record has changed since the version that you named.

    Read the record, and send the change with its new `ETag` as `If-Match`.
    """

    status = 412


class VersionRequired(Refusal):
    """A change must name the version that it changes.

    Read the record, and send its `ETag` as `If-Match`.
    """

    status = 428


class Impossible(Refusal):
    """A value cannot be.

    Correct every member that `errors` names, and send the request again.
    """

    status = 422


class NotAllowed(Refusal):
    """Your role does not allow this.

    Ask somebody whose role or site allows it.
    """

    status = 403
