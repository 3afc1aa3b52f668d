"""Every refusal as one RFC 9457 problem document, for all services and the gateway."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, Final, get_args

import orjson
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic_core.core_schema import ErrorType
from starlette.exceptions import HTTPException
from starlette.requests import Request

from services.kernel.exact_json import escape_pointer
from services.kernel.refusals import Fault, Impossible, Refusal

MEDIA_TYPE: Final = "application/problem+json"
PROBLEM_PAGES: Final = "/problems/"
MOST_FAULTS: Final = 1000
"""So many faults are named: an answer must not be larger than what it refuses."""

_CODE_BY_TYPE: Final = {
    "missing": ("required", "This member is required."),
    "extra_forbidden": ("unknown_member", "Nobody defined this member."),
    "unexpected_keyword_argument": ("unknown_member", "Nobody defined this member."),
    "greater_than": ("RANGE", "The number is too small."),
    "greater_than_equal": ("RANGE", "The number is too small."),
    "less_than": ("RANGE", "The number is too large."),
    "less_than_equal": ("RANGE", "The number is too large."),
    "string_too_short": ("too_short", "The text is too short."),
    "string_too_long": ("too_long", "The text is too long."),
    "too_short": ("too_short", "The list is too short."),
    "too_long": ("too_long", "The list is too long."),
    "literal_error": ("not_a_choice", "The value is none of those documented."),
    "enum": ("not_a_choice", "The value is none of those documented."),
    "string_type": ("TYPE", "A text is needed."),
    "string_pattern_mismatch": ("pattern", "The text does not have the documented form."),
    "union_tag_invalid": ("not_a_choice", "The value is none of those documented."),
    "union_tag_not_found": ("required", "The member that tells the kind is required."),
}
_FALLBACK: Final = ("TYPE", "The value does not have the documented type.")
_PYDANTICS: Final = frozenset(get_args(ErrorType))
"""Kinds of error that have their message from pydantic, which may show the value."""


def problem_code(refusal: type[Refusal]) -> str:
    """Return the stable code of a kind of refusal: its class name in kebab case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", refusal.__name__).lower()


def problem_title(refusal: type[Refusal]) -> str:
    """Return the kind's title: the first line of its docstring."""
    return (refusal.__doc__ or "Refused.").strip().splitlines()[0]


def problem_advice(refusal: type[Refusal]) -> str:
    """Return what a caller can do: the docstring below its title, or that of a wider kind."""
    kinds = (kind for kind in refusal.__mro__ if issubclass(kind, Refusal))
    for kind in kinds:
        _, _, advice = (kind.__doc__ or "").strip().partition("\n\n")
        if advice:
            return cleandoc(advice).replace("\n", " ")
    return ""


def problem_document(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Return the members of the problem document of one refusal."""
    kind = type(refusal)
    document: dict[str, Any] = {
        "type": PROBLEM_PAGES + problem_code(kind),
        "title": problem_title(kind),
        "status": refusal.status,
        "detail": refusal.detail or problem_title(kind),
        "request_id": request_id,
    }
    if refusal.faults:
        document["errors"] = [_place(fault) for fault in refusal.faults[:MOST_FAULTS]]
    return document


def problem_response(
    refusal: Refusal, request_id: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that carries a refusal."""
    return Response(
        orjson.dumps(problem_document(refusal, request_id)),
        refusal.status,
        headers={**refusal_headers(refusal), **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def refusal_headers(refusal: Refusal) -> dict[str, str]:
    """Return the headers that a refusal's status asks for."""
    headers = {"Cache-Control": "no-store"}
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.status == HTTPStatus.REQUEST_TIMEOUT:
        headers["Connection"] = "close"
    retry_after = getattr(refusal, "retry_after_seconds", None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return headers


class InvalidRequest(Impossible):
    """The request holds values that cannot be.

    Correct every member that `errors` names, and send the request again.
    """


class NoSuchPath(Refusal):
    """Nothing is at this path.

    Compare the path with the contract at `/docs`.
    """

    status = 404


class MethodNotAllowed(Refusal):
    """This path does not know the method.

    Use one of the methods that the header `Allow` names.
    """

    status = 405


class TooSlow(Refusal):
    """The request did not arrive in time.

    Send it again over a faster connection, or in smaller parts.
    """

    status = 408


class TooLarge(Refusal):
    """The request is larger than allowed.

    Send less at once: 2 MiB are read, 16 MiB in bulk.
    """

    status = 413


class UnsupportedMediaType(Refusal):
    """The body's media type or encoding is not accepted here.

    Send `application/json`, in bulk also `application/x-ndjson`, not compressed.
    """

    status = 415


class HeadersTooLarge(Refusal):
    """The request's headers are larger than allowed.

    Send fewer or shorter headers: 16 KiB are read.
    """

    status = 431


class TooManyRequests(Refusal):
    """More requests came than are answered in such a time.

    Wait as long as `Retry-After` says; `RateLimit` tells before what is left.
    """

    status = 429

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__(f"Come again in {retry_after_seconds} seconds.")
        self.retry_after_seconds = retry_after_seconds


class InternalFault(Refusal):
    """The system failed; nothing of the request was acknowledged.

    Send the same request again with its key; report the `request_id` if it stays so.
    """

    status = 500


class Unavailable(Refusal):
    """The system cannot answer now; the same request may be sent again.

    Wait as long as `Retry-After` says, and send the same request with the same key.
    """

    status = 503
    retry_after_seconds = 1


class BadRequest(Refusal):
    """The request cannot be read.

    Compare the request with the contract at `/docs`.
    """

    status = 400


_BY_STATUS: Final[dict[int, type[Refusal]]] = {
    404: NoSuchPath,
    405: MethodNotAllowed,
    413: TooLarge,
    415: UnsupportedMediaType,
}


def from_http_exception(error: HTTPException) -> Refusal:
    """Return the refusal for what the framework refuses by itself."""
    return _BY_STATUS.get(error.status_code, BadRequest)()


def from_validation(error: RequestValidationError) -> InvalidRequest:
    """Return one refusal that names every fault of a request, without its values."""
    return InvalidRequest(
        "The request names values that cannot be; each fault is listed.",
        faults=faults_of(error.errors()),
    )


def faults_of(errors: Iterable[Mapping[str, Any]]) -> Sequence[Fault]:
    """Return pydantic's errors as faults; the first part of `loc` says where they stand."""
    faults = [
        Fault(_pointer(error["loc"]), *_code(error["type"], str(error["msg"])))
        for error in errors
        if not _is_long_enough(error)
    ]
    return list(dict.fromkeys(faults))


def _is_long_enough(error: Mapping[str, Any]) -> bool:
    # Of a tuple pydantic counts only the items without a fault of their own.
    given = error.get("input")
    return (
        error["type"] == "too_short"
        and isinstance(given, list)
        and len(given) >= error["ctx"]["min_length"]
    )


def _code(kind: str, message: str) -> tuple[str, str]:
    if kind in _PYDANTICS:
        return _CODE_BY_TYPE.get(kind, _FALLBACK)
    return kind, message


_NOT_MEMBERS: Final = re.compile(r"^(function-|tagged-union|is-instance|constrained|lax-or)|\[")


def _pointer(loc: Sequence[Any]) -> str:
    place, *parts = [part for part in loc if not _NOT_MEMBERS.search(str(part))]
    if place in {"query", "path"}:
        return f"?{parts[0]}" if parts else "?"
    if place == "header":
        return f"#{parts[0]}" if parts else "#"
    return "".join(f"/{escape_pointer(str(part))}" for part in parts)


def _place(fault: Fault) -> dict[str, str]:
    kinds = {"?": "parameter", "#": "header"}
    kind = kinds.get(fault.pointer[:1], "pointer")
    where = fault.pointer if kind == "pointer" else fault.pointer[1:]
    return {kind: where, "code": fault.code, "detail": fault.detail}


def request_id_of(request: Request) -> str:
    """Return the id under which this request stands in answers, logs and the audit trail."""
    return str(request.scope.get("state", {}).get("request_id", ""))
