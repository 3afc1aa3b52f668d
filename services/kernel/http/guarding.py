"""What every operation does before its own code runs, in the order of the contract.

Token, permission, idempotency key, `If-Match`, body: a stranger learns nothing from a later
check.
"""

from collections.abc import Callable, Container, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from services.kernel.holdings import held
from services.kernel.http.binding import Operation, short_way
from services.kernel.http.calls import (
    ExactRequest,
    Find,
    current_call,
    make_call,
    read_key,
    read_version,
)
from services.kernel.http.receiving import read_body
from services.kernel.identity import Caller, NotPermitted, TokenVerifier, require_study
from services.kernel.problems import Unavailable
from services.kernel.refusals import NotFound, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What the guard asks the process in which it stands.

    `studies`: which there are here. `find_participant` raises NotFound where the caller may not
    know of the participant in a path. `note_read` is told of every answer to a GET.
    """

    verifier: TokenVerifier
    studies: Container[str]
    find_participant: Find | None = None
    note_read: Callable[[Request, Response], None] | None = None


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
        bind = short_way(self, current_call)
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
            key = read_key(request) if request.method in {"POST", "PUT"} else None
            version = read_version(request, takes_version) if takes_version else None
            if takes_body:
                await read_body(request, is_bulk=is_bulk)
            state.call = make_call(request, caller, roles, key, version)
            bound = None if bind is None else bind(request)
            if bound is None:
                answer = await _by_framework(request, long_way)
            else:
                answer = await operation(**bound)
            note_read = held(request, Guard).note_read
            if request.method == "GET" and note_read is not None:
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


async def _admit(request: Request, roles: frozenset[str]) -> Caller:
    guard = held(request, Guard)
    caller = await guard.verifier.verify(request.headers.getlist("authorization"))
    if not caller.has_role(*roles):
        raise NotPermitted
    study = request.path_params.get("study")
    if study is not None:
        require_study(caller, study)
        if study not in guard.studies:
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
    """Raise NotFound where the caller does not cover the site of the participant in the path.

    Who is at fault in key, version or body is otherwise told so, before the record is looked
    for. Only a refusal asks for this: what is done finds the participant anyway.
    """
    find = held(request, Guard).find_participant
    text = request.path_params.get("participant")
    if find is None or text is None or caller.sites is None:
        return
    with suppress(Unavailable):
        await find(request, make_call(request, caller, roles, None, None), text)
