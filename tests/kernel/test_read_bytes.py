"""A body is read up to its limit, and waited for only so long."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import Request

from services.kernel.http import read_bytes, receiving
from services.kernel.problems import BadRequest, TooLarge, TooSlow, problem_response


def request(messages: Iterable[dict[str, Any]], *headers: tuple[bytes, bytes]) -> Request:
    """Return a request whose body comes in these messages, and then no more."""
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return Request({"type": "http", "headers": list(headers)}, receive)


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_parts_is_one() -> None:
    sent = request([part(b"ab"), part(b""), part(b"cde", more=False)])
    assert await read_bytes(sent, 5) == b"abcde"


async def test_what_is_announced_as_too_large_is_not_read() -> None:
    with pytest.raises(TooLarge):
        await read_bytes(request([], (b"content-length", b"6")), 5)


@pytest.mark.parametrize("announced", [b"5", b"-1", b"many"])
async def test_what_comes_is_counted_whatever_was_announced(announced: bytes) -> None:
    sent = request([part(b"abc"), part(b"def")], (b"content-length", announced))
    with pytest.raises(TooLarge):
        await read_bytes(sent, 5)


async def test_a_body_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "LONGEST_BODY_SECONDS", 0.05)
    with pytest.raises(TooSlow) as refused:
        await read_bytes(request([part(b"ab")]), 5)
    assert problem_response(refused.value, "an-id-of-it").headers["connection"] == "close"


async def test_who_goes_away_in_the_middle_is_no_crash() -> None:
    with pytest.raises(BadRequest):
        await read_bytes(request([part(b"ab"), {"type": "http.disconnect"}]), 5)
