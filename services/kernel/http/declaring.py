"""How a route is declared: on a guarded router, with its roles and its refusals.

A route names its roles with `may(...)`; the guard enforces them and the OpenAPI document
shows them.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from services.kernel.http.guarding import GuardedRoute
from services.kernel.identity import AmbiguousCredentials, NotPermitted, Role, Unauthenticated
from services.kernel.problems import (
    MEDIA_TYPE,
    HeadersTooLarge,
    InternalFault,
    TooManyRequests,
    Unavailable,
    problem_code,
    problem_title,
)
from services.kernel.refusals import NotFound, Refusal, Stale, VersionRequired


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
