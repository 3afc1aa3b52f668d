"""What every document holds: the shape of a problem, the headers, how to authenticate."""

from collections.abc import Mapping
from typing import Any, Final

JSON: Final = "application/json"
SCHEMAS: Final = "#/components/schemas/"
SCHEMA_REFERENCE: Final = SCHEMAS + "{model}"
"""To be given to a model whose schema an operation documents by itself."""
_HEADERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "X-Request-Id": {
        "description": "The request's id, as it stands in the log and the audit trail.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,64}$"},
    },
    "ETag": {
        "description": "The entity tag: for `If-None-Match`, and where it is strong `If-Match`.",
        "schema": {"type": "string"},
        "example": '"1"',
    },
    "Location": {
        "description": "Where what was made stands.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Idempotency-Replayed": {
        "description": "`true` where the first answer to this key is given again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Link": {
        "description": 'The next page: `<…>; rel="next"`. Absent on the last.',
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "After how many seconds the same request may be sent again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit": {
        "description": "What is left (`r`) of the rate, and for how many seconds (`t`).",
        "schema": {"type": "string"},
        "example": '"caller";r=239999;t=60',
    },
    "RateLimit-Policy": {
        "description": "How many requests (`q`) are answered in how many seconds (`w`).",
        "schema": {"type": "string"},
        "example": '"caller";q=240000;w=60',
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "schema": {"type": "string", "enum": ["Bearer"]},
    },
}


def add_components(schema: dict[str, Any]) -> None:
    """Add them to a document, in place of the framework's own."""
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas["Problem"], schemas["Fault"] = PROBLEM_SCHEMA, FAULT_SCHEMA
    components["headers"] = {name: dict(said) for name, said in _HEADERS.items()}
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of an OpenID Connect issuer, with the caller's `roles`, "
            "`studies`, `sites` and `participant`.",
        }
    }


PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "type": "object",
    "description": "A refusal (RFC 9457). It never holds the refused value.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "The kind of problem, and the address of the page about it.",
        },
        "title": {"type": "string", "description": "The kind in words."},
        "status": {
            "type": "integer",
            "minimum": 400,
            "maximum": 599,
            "description": "The status code again.",
        },
        "detail": {"type": "string", "description": "What is wrong with this request."},
        "request_id": {"type": "string", "description": "To be named when asking about it."},
        "errors": {
            "type": "array",
            "description": "Every fault of the request, each with its place.",
            "items": {"$ref": f"{SCHEMAS}Fault"},
        },
    },
}
FAULT_SCHEMA: Final[dict[str, Any]] = {
    "title": "Fault",
    "type": "object",
    "description": "One thing wrong with a request: in its body, a parameter or a header.",
    "required": ["code", "detail"],
    "properties": {
        "pointer": {
            "type": "string",
            "description": "The member of the body (RFC 6901).",
        },
        "parameter": {"type": "string", "description": "The parameter of the query."},
        "header": {"type": "string", "description": "The request's header."},
        "code": {"type": "string", "description": "The kind of fault, for programs."},
        "detail": {"type": "string", "description": "What is wrong, for people."},
    },
}
