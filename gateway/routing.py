"""Which path is whose: read from the services' OpenAPI documents, and from nothing else.

What a document does not name, or marks as internal, does not exist here. The path that goes
on is built anew from its parts, so that no trick of encoding reaches a service.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.forwarding import SERVICES, Forwarder
from services.kernel.holdings import held
from services.kernel.http import LARGEST_BODY, LARGEST_BULK, Guard, read_bytes
from services.kernel.identity import NotPermitted, require_study

DOCUMENTS: Final = Path(__file__).resolve().parent.parent / "openapi"
_OWN: Final = ("/health/", "/metrics")
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service that callers may reach."""

    service: str
    path: str
    method: str
    is_bulk: bool
    is_public: bool
    roles: frozenset[str]


def read_documents() -> dict[str, dict[str, Any]]:
    """Return the services' OpenAPI documents."""
    return {
        service: json.loads((DOCUMENTS / f"{service}.json").read_text(encoding="utf-8"))
        for service in SERVICES
    }


def operations_of(documents: Mapping[str, Mapping[str, Any]]) -> Iterable[Operation]:
    """Return every operation that is not internal."""
    for service, document in documents.items():
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                is_own = path.startswith(_OWN) or operation.get("x-internal")
                if method in _METHODS and not is_own:
                    yield Operation(
                        service,
                        path,
                        method.upper(),
                        is_bulk=bool(operation.get("x-bulk")),
                        is_public=bool(operation.get("x-public")),
                        roles=frozenset(operation.get("x-roles", ())),
                    )


def add_forwarding(app: FastAPI, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Add a route for every operation of the services."""
    for operation in operations_of(documents):
        app.router.add_route(
            operation.path, _endpoint(operation), methods=[operation.method], name=operation.path
        )


def _endpoint(operation: Operation) -> Any:
    largest = LARGEST_BULK if operation.is_bulk else LARGEST_BODY

    async def forward(request: Request) -> Response:
        request.scope["route"] = operation
        if not operation.is_public:
            await _admit(request, operation)
        body = b"" if operation.method == "GET" else await read_bytes(request, largest)
        forwarder = held(request, Forwarder)
        reply = await forwarder.forward(
            request,
            operation.service,
            built_path(operation.path, request.path_params),
            study=request.path_params.get("study"),
            body=body,
            query=request.url.query,
        )
        return reply.response()

    return forward


async def _admit(request: Request, operation: Operation) -> None:
    """Turn away whom the service would turn away, before a body is read for it."""
    verifier = held(request, Guard).verifier
    caller = await verifier.verify(request.headers.getlist("authorization"))
    if not caller.has_role(*operation.roles):
        raise NotPermitted
    study = request.path_params.get("study")
    if study is not None:
        require_study(caller, study)


def built_path(template: str, parts: Mapping[str, str]) -> str:
    """Return the path with its parts quoted anew."""
    return template.format_map({name: quote(part, safe=":") for name, part in parts.items()})
