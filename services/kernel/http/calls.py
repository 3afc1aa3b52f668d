"""One permitted call: who asks for what, under which key and version, with which body."""

import hashlib
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request

from services.kernel.http.binding import KEY_HEADER
from services.kernel.identity import Caller
from services.kernel.problems import request_id_of
from services.kernel.records import Attribution
from services.kernel.refusals import Fault, Impossible, Stale, VersionRequired

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}\Z")
_STRONG_TAG: Final = re.compile(r'"(0|[1-9]\d{0,8})"\Z')


class WrongKey(Impossible):
    """The idempotency key is not well formed.

    Make a key of 1 to 255 visible characters, new for each request that is meant.
    """


class KeyReused(Impossible):
    """The idempotency key was used for another request.

    Send the first request again with this key, or this request with a new one.
    """


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key: its caller, its text, and the request that it stands for."""

    subject: str
    text: str
    fingerprint: bytes


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


def read_key(request: Request) -> str | None:
    """Return the idempotency key, if one was sent; raises WrongKey."""
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


def read_version(request: Request, takes: str) -> int | None:
    """Return the version in `If-Match`; `takes` says whether it is "required" or "optional".

    Raises VersionRequired, and Stale for a tag that names no version.
    """
    given = request.headers.getlist("if-match")
    if given == ["*"] or (not given and takes == "required"):
        raise VersionRequired('Send If-Match with the version that you read, such as "1".')
    if not given:
        return None
    matched = _STRONG_TAG.match(given[0])
    if len(given) > 1 or matched is None:
        raise Stale("If-Match names no version of this record.")
    return int(matched[1])


def make_call(
    request: Request,
    caller: Caller,
    roles: frozenset[str],
    key_text: str | None,
    version: int | None,
) -> Call:
    """Return the call that a request of the caller is, as one of these roles."""
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


def fingerprint(*parts: bytes) -> bytes:
    """Return the digest by which a repeated request is recognised."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


async def current_call(request: Request) -> Call:  # a plain function would take a thread
    """Return what the guard made of the request."""
    call: Call = request.state.call
    return call


CallDep = Annotated[Call, Depends(current_call)]
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
