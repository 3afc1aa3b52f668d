"""Plain operations are bound the short way, and whatever is odd is refused as ever."""

from typing import Annotated, Any
from uuid import uuid4

import pytest
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from services.kernel.http.binding import short_way
from tests.kernel.scratch_calls import Scratch


class Body(BaseModel):
    number: int


async def current_call(request: Request) -> str:
    return str(request.state.call)


async def another(request: Request) -> str:
    return request.method


CallDep = Annotated[str, Depends(current_call)]


async def plain(request: Request, thing: str, body: Body, call: CallDep) -> Response:
    return Response(f"{request.method} {thing} {body.number} {call}")


async def filtered(call: CallDep, limit: int = 10) -> Response:
    return Response(f"{call} {limit}")


async def with_another_dependency(other: Annotated[str, Depends(another)]) -> Response:
    return Response(other)


async def with_another_header(agent: Annotated[str, Header(alias="User-Agent")]) -> Response:
    return Response(agent)


async def numbered(thing: int) -> Response:
    return Response(str(thing))


async def shortened(thing: Annotated[str, Path(max_length=3)]) -> Response:
    return Response(thing)


async def two_bodies(one: Body, other: Body) -> Response:
    return Response(str(one.number + other.number))


async def not_a_response() -> dict[str, int]:
    return {"number": 1}


def not_a_coroutine() -> Response:
    return Response()


def route_of(endpoint: Any) -> APIRoute:
    router = APIRouter()
    router.add_api_route("/things/{thing}", endpoint, methods=["POST"], response_model=None)
    route = router.routes[0]
    assert isinstance(route, APIRoute)
    return route


def request_with(parsed: Any) -> Request:
    scope = {"type": "http", "method": "POST", "headers": [], "path_params": {"thing": "t"}}
    request = Request(scope)
    request.state.parsed, request.state.call = parsed, "the call"
    return request


async def test_a_plain_operation_gets_its_arguments() -> None:
    bind = short_way(route_of(plain), current_call)
    assert bind is not None
    bound = bind(request_with({"number": 7}))
    assert bound is not None
    assert (await plain(**bound)).body == b"POST t 7 the call"


@pytest.mark.parametrize("parsed", [None, {}, {"number": "seven"}, [], "text"])
def test_a_body_that_does_not_fit_goes_the_frameworks_way(parsed: Any) -> None:
    bind = short_way(route_of(plain), current_call)
    assert bind is not None
    assert bind(request_with(parsed)) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        filtered,
        with_another_dependency,
        with_another_header,
        numbered,
        shortened,
        two_bodies,
        not_a_response,
        not_a_coroutine,
    ],
)
def test_an_operation_that_takes_more_goes_the_frameworks_way(endpoint: Any) -> None:
    assert short_way(route_of(endpoint), current_call) is None


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"text": 1, "other": 2}, {"/text", "/other"}),
        ({}, {"/text"}),
        ([], {""}),
        (b"null", {""}),
    ],
)
async def test_each_fault_of_a_body_is_named(
    scratch: Scratch, body: Any, pointers: set[str]
) -> None:
    answer = await scratch.call("POST", f"/participants/{uuid4()}/notes", body)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == pointers
