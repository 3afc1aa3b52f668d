"""What every operation does before its own code runs, in the order of the contract.

Token, permission, idempotency key, `If-Match`, body: a stranger learns nothing from a later
check. A route names its roles with `may(...)`; the guard enforces them and the OpenAPI
document shows them.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from services.kernel.access import (
    AmbiguousCredentials,
    Caller,
    NotPermitted,
    Role,
    TokenVerifier,
    Unauthenticated,
    require_study,
)
from services.kernel.appending import fingerprint
from services.kernel.binding import KEY_HEADER, Operation, short_way
from services.kernel.events import Attribution
from services.kernel.exact_json import TooManyMembers, parse_json
from services.kernel.following import Behind
from services.kernel.problems import (
    MEDIA_TYPE,
    BadRequest,
    HeadersTooLarge,
    InternalFault,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unavailable,
    UnsupportedMediaType,
    problem_code,
    problem_title,
    request_id_of,
)
from services.kernel.reads import note_read
from services.kernel.refusals import (
    Fault,
    Impossible,
    NotFound,
    Refusal,
    Stale,
    VersionRequired,
)
from services.kernel.units import Answer, Key

LARGEST_BODY: Final = 2 * 1024 * 1024
LARGEST_BULK: Final = 16 * 1024 * 1024
LONGEST_BODY_SECONDS: Final = 60
MOST_VALUES: Final = 200_000
_AT_ONCE: Final = 64 * 1024
"""So much is parsed in a millisecond; more would hold up the requests of others."""
NDJSON: Final = "application/x-ndjson"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}\Z")
_STRONG_TAG: Final = re.compile(r'"(0|[1-9]\d{0,8})"\Z')


class WrongKey(Impossible):
    """The idempotency key is not well formed.

    Make a key of 1 to 255 visible characters, new for each request that is meant.
    """


@dataclass(frozen=True, slots=True)
class Call:
    """One permitted call: who, about which study, under which key and version."""

    study: str
    caller: Caller
    by: Attribution
    key: Key | None
    version: int | None
    path: str

    @property
    def is_attested(self) -> bool:
        """Tell whether an investigator says it, whose word counts as attested."""
        return self.by.role == "investigator"


Find = Callable[[Request, Call, str], Coroutine[Any, Any, Any]]
"""Finds the participant in a path; raises NotFound, also for one whom the caller may not know."""


class ExactRequest(Request):
    """A request whose body was read once, and parsed exactly."""

    async def json(self) -> Any:
        """Return the parsed body."""
        return self.state.parsed

    async def body(self) -> bytes:
        """Return the bytes as they came."""
        raw: bytes = self.state.raw
        return raw


class GuardedRoute(APIRoute):
    """A route that checks who calls before it reads what they say."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._answer = self._guarded()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is wrong with the method is left to the framework."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response = await self._answer(ExactRequest(scope, receive))
        await response(scope, receive, send)

    def _guarded(self) -> Callable[[ExactRequest], Coroutine[Any, Any, Response]]:
        rules: dict[str, Any] = self.openapi_extra or {}
        roles = frozenset(rules.get("x-roles", ()))
        takes_version = rules.get("x-version", "")
        is_bulk = bool(rules.get("x-bulk"))
        takes_body = self.body_field is not None or is_bulk
        bind = short_way(self, _current_call)
        operation: Operation = self.endpoint
        long_way = super().get_route_handler()

        async def guarded(request: ExactRequest) -> Response:
            caller = await _admit(request, roles)
            try:
                return await settled(request, caller)
            except (Refusal, RequestValidationError) as refusal:
                if _tells_of_record(refusal):
                    await _hide_from_strangers(request, caller, roles)
                raise

        async def settled(request: ExactRequest, caller: Caller) -> Response:
            state = request.state
            state.raw, state.parsed = b"", None
            key_text = _key_text(request) if request.method in {"POST", "PUT"} else None
            version = _version(request, takes_version) if takes_version else None
            if takes_body:
                await _read_body(request, is_bulk=is_bulk)
            state.call = _call(request, caller, roles, key_text, version)
            bound = None if bind is None else bind(request)
            if bound is None:
                answer = await _by_framework(request, long_way)
            else:
                answer = await operation(**bound)
            if request.method == "GET":
                note_read(request, answer)
            return answer

        return guarded


async def _by_framework(
    request: Request, handle: Callable[[Request], Coroutine[Any, Any, Response]]
) -> Response:
    async with AsyncExitStack() as stack:
        # Where the framework keeps what dependencies open, under the names that it looks for.
        request.scope["fastapi_inner_astack"] = stack
        request.scope["fastapi_function_astack"] = stack
        return await handle(request)


def router(**settings: Any) -> APIRouter:
    """Return a router whose routes are guarded."""
    return open_router(route_class=GuardedRoute, **settings)


def open_router(**settings: Any) -> APIRouter:
    """Return a router whose operations are called as their functions are."""
    return APIRouter(generate_unique_id_function=lambda route: route.name, **settings)


def may(
    *roles: Role,
    gives: Sequence[type[Refusal]] = (),
    version: str = "",
    is_bulk: bool = False,
    is_tagged: bool = False,
    is_internal: bool = False,
) -> dict[str, Any]:
    """Return a route's settings: who may call it and which refusals it gives.

    `version` is "required" where `If-Match` must be sent, "optional" where it may be. A tagged
    operation answers an entity tag, and 304 to who holds it. An internal operation is for the
    gateway and the other services; nobody else reaches it. What follows from a body, a key or
    a page is added where the document is written.
    """
    always: tuple[type[Refusal], ...] = (
        Unauthenticated,
        AmbiguousCredentials,
        NotPermitted,
        NotFound,
        TooManyRequests,
        HeadersTooLarge,
        InternalFault,
        Unavailable,
    )
    versions = (VersionRequired, Stale) if version else ()
    extra: dict[str, Any] = {"x-roles": sorted(roles)}
    if version:
        extra["x-version"] = version
        extra["parameters"] = [_if_match_parameter(is_required=version == "required")]
    if is_bulk:
        extra["x-bulk"] = True
    if is_internal:
        extra["x-internal"] = True
    responses = documented(*always, *versions, *gives)
    if is_tagged:
        responses[304] = {"description": "The caller holds it already."}
    return {"openapi_extra": extra, "responses": responses}


def _if_match_parameter(*, is_required: bool) -> dict[str, Any]:
    return {
        "name": "If-Match",
        "in": "header",
        "required": is_required,
        "description": "The strong entity tag of the version that this changes.",
        "schema": {"type": "string", "pattern": r'^"(0|[1-9][0-9]{0,8})"$'},
        "example": '"1"',
    }


def documented(*refusals: type[Refusal]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for refusals: by status, with their problem types."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for kind in refusals:
        entry = by_status.setdefault(
            kind.status,
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        )
        line = f"`{problem_code(kind)}`: {problem_title(kind)}"
        entry["description"] = f"{entry['description']}\n\n{line}".strip()
    return by_status


async def _admit(request: Request, roles: frozenset[str]) -> Caller:
    verifier: TokenVerifier = request.app.state.verifier
    caller = await verifier.verify(request.headers.getlist("authorization"))
    if not caller.has_role(*roles):
        raise NotPermitted
    study = request.path_params.get("study")
    if study is not None:
        require_study(caller, study)
        if study not in request.app.state.studies:
            raise NotFound
    _keep_to_own_record(request, caller, roles)
    return caller


def _keep_to_own_record(request: Request, caller: Caller, roles: frozenset[str]) -> None:
    """A participant sees its own record only, and any other as if it did not exist."""
    if caller.acting_role(roles) != "participant":
        return
    named = request.path_params.get("participant")
    if caller.participant is None or named not in {None, str(caller.participant)}:
        raise NotFound


def _tells_of_record(refusal: Refusal | RequestValidationError) -> bool:
    """Tell whether a refusal would let a stranger know that the record is there."""
    return not isinstance(refusal, Refusal) or refusal.status not in _SAID_TO_ANYBODY


_SAID_TO_ANYBODY: Final = frozenset({401, 403, 404, 500, 503})


async def _hide_from_strangers(request: Request, caller: Caller, roles: frozenset[str]) -> None:
    """Raise NotFound where the caller covers not the site of the participant in the path.

    Who is at fault in key, version or body is otherwise told so, before the record is looked
    for. Only a refusal asks for this: what is done finds the participant anyway.
    """
    find: Find | None = request.app.state.find_participant
    text = request.path_params.get("participant")
    if find is None or text is None or caller.sites is None:
        return
    with suppress(Unavailable, Behind):
        await find(request, _call(request, caller, roles, None, None), text)


def _key_text(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    text = given[0]
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if len(given) > 1 or not _KEY.match(text):
        fault = Fault("#Idempotency-Key", "key", "One key of 1 to 255 visible characters.")
        raise WrongKey(faults=[fault])
    return text


def _version(request: Request, takes: str) -> int | None:
    given = request.headers.getlist("if-match")
    if given == ["*"] or (not given and takes == "required"):
        raise VersionRequired('Send If-Match with the version that you read, such as "1".')
    if not given:
        return None
    matched = _STRONG_TAG.match(given[0])
    if len(given) > 1 or matched is None:
        raise Stale("If-Match names no version of this record.")
    return int(matched[1])


async def _read_body(request: ExactRequest, *, is_bulk: bool) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    allowed = {"application/json", NDJSON} if is_bulk else {"application/json"}
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if kind not in allowed or encoding not in {"", "identity"}:
        raise UnsupportedMediaType(f"Send {' or '.join(sorted(allowed))}, not compressed.")
    largest = LARGEST_BULK if is_bulk else LARGEST_BODY
    request.state.raw = await read_bytes(request, largest)
    if is_bulk:
        # In a thread of its own: 16 MiB would hold up everybody else for most of a second.
        read = bytes if kind == NDJSON else parse_json
        request.state.parsed = await asyncio.to_thread(read, request.state.raw)
    else:
        request.state.parsed = await _parse_record(request.state.raw)


async def _parse_record(raw: bytes) -> Any:
    if sum(map(raw.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise TooManyMembers("The body holds more values than any record.")
    if len(raw) <= _AT_ONCE:
        return parse_json(raw)
    return await asyncio.to_thread(parse_json, raw)


async def read_bytes(request: Request, largest: int) -> bytes:
    """Return the body's bytes; raises TooLarge as soon as there are more than allowed.

    Raises TooSlow, and BadRequest for a client that went away.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > largest:
        raise TooLarge(f"At most {largest} bytes are read.")
    try:
        async with asyncio.timeout(LONGEST_BODY_SECONDS):
            return await _read_at_most(request, largest)
    except ClientDisconnect:
        raise BadRequest("The request ended before its body did.") from None
    except TimeoutError:
        raise TooSlow(f"A body is waited for {LONGEST_BODY_SECONDS} seconds.") from None


async def _read_at_most(request: Request, largest: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest:
            raise TooLarge(f"At most {largest} bytes are read.")
        chunks.append(chunk)
    return b"".join(chunks)


def _call(
    request: Request,
    caller: Caller,
    roles: frozenset[str],
    key_text: str | None,
    version: int | None,
) -> Call:
    # Not request.url, which is put together anew of everything at each use.
    path, query = request.scope["path"], request.scope["query_string"]
    key = None
    if key_text is not None:
        version_named = request.headers.get("if-match", "")
        marks = (request.method.encode(), path.encode(), query, version_named.encode())
        digest = fingerprint(*marks, request.state.raw)
        key = Key(caller.key_space, key_text, digest)
    by = Attribution(
        actor=caller.subject,
        role=caller.acting_role(roles),
        request_id=request_id_of(request),
    )
    return Call(request.path_params.get("study", ""), caller, by, key, version, path)


async def _current_call(request: Request) -> Call:  # a plain function would take a thread
    call: Call = request.state.call
    return call


CallDep = Annotated[Call, Depends(_current_call)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        description="Repeat a request safely: the same key and request get the same answer.",
        examples=["5b2c1e7a-visit-8841"],
        # Refused before anything else is looked at; here it is only said.
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
    ),
]


def answer_response(request: Request, answer: Answer) -> Response:
    """Return a write's answer with the headers that the contract gives it."""
    headers = {**answer.headers, "Cache-Control": "no-store"}
    if answer.is_replay:
        headers["Idempotency-Replayed"] = "true"
    if answer.position:
        headers["X-Feed-Position"] = f"{request.app.state.service}={answer.position}"
    media_type = headers.pop("Content-Type", "application/json")
    return Response(answer.body, answer.status, headers=headers, media_type=media_type)


def read_response(request: Request, body: bytes, etag: str, *, cache: str = "no-store") -> Response:
    """Return a resource with its entity tag, or 304 where the caller holds it already."""
    headers = {"ETag": etag, "Cache-Control": cache}
    held = request.headers.get("if-none-match", "")
    weak = etag.removeprefix("W/")
    if held == "*" or weak in {tag.strip().removeprefix("W/") for tag in held.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def weak_tag(body: bytes) -> str:
    """Return an entity tag that follows the content, for what is derived when it is read."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def parse_participant(text: str) -> UUID | str:
    """Return the id in a path, or the caller's own id behind `external:`; raises NotFound."""
    if text.startswith("external:"):
        external = text.removeprefix("external:")
        if not external or len(external) > 64 or "\0" in external:  # noqa: PLR2004 - api.md limit
            raise NotFound
        return external
    return parse_id(text)


def parse_id(text: str) -> UUID:
    """Return the record id in a path; raises NotFound for what no record is called."""
    try:
        identity = UUID(text)
    except ValueError:
        raise NotFound from None
    if str(identity) != text.lower():
        raise NotFound
    return identity
