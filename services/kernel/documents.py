"""The OpenAPI document of an application: what the framework writes, finished by our rules.

What the contract gives to every operation of a kind is said here once, and follows from what
the operation itself says: its key, its version, its tag, its page, its refusals.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.kernel.binding import KEY_HEADER
from services.kernel.csv_lists import CSV
from services.kernel.exact_json import NotJson, TooManyMembers
from services.kernel.operations import NDJSON, WrongKey, documented
from services.kernel.paging import WrongCursor
from services.kernel.problems import (
    MEDIA_TYPE,
    InvalidRequest,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
    problem_advice,
    problem_code,
    problem_title,
)
from services.kernel.records import InTheFuture
from services.kernel.refusals import Refusal
from services.kernel.units import KeyReused

JSON: Final = "application/json"
_SCHEMAS: Final = "#/components/schemas/"
SCHEMA_REFERENCE: Final = _SCHEMAS + "{model}"
"""To be given to a model whose schema an operation documents by itself."""
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})

_PATH_PARAMETERS: Final = {
    "study": "The study's registry number.",
    "participant": "The participant's id, or `external:` and the id that the sender gave.",
    "visit": "The visit's id, or its code where only one visit has it.",
    "site": "The site's code.",
    "secret": "The secret of the address, as it was told once.",
}
_REFUSALS_BY_PARAMETER: Final[Mapping[str, tuple[type[Refusal], ...]]] = {
    KEY_HEADER: (WrongKey, KeyReused),
    "after": (WrongCursor,),
    "as_of": (InTheFuture,),
}
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
_HEADERS_BY_STATUS: Final = {
    "401": ("WWW-Authenticate",),
    "429": ("Retry-After", "RateLimit", "RateLimit-Policy"),
    "503": ("Retry-After",),
}
_USUAL: Final = "Successful Response"
_ANSWERED: Final = "What was asked for."
_DONE: Final = "What was asked for is done."
_UNCHANGED: Final = "The same content stands already, or a standing record changed."
_CREATED: Final = "The record was made."
_NOT_MODIFIED: Final = "The caller holds it already."


def described(subjects: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return tags as the framework takes them, from what each means."""
    return [{"name": name, "description": said} for name, said in subjects.items()]


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document, with every kind of problem and who may call what."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description or None,
            openapi_version="3.1.0",
            routes=app.routes,
            tags=app.openapi_tags,
            servers=[{"url": "/"}],
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
            separate_input_output_schemas=app.separate_input_output_schemas,
        )
        _add_components(schema)
        _plain(schema["components"]["schemas"])
        for path, operations in schema.get("paths", {}).items():
            for method, operation in operations.items():
                _Finishing(schema, path, method, operation).finish()
        schema["x-problems"] = problem_types(app.state.service)
        app.openapi_schema = schema
    return app.openapi_schema


def _add_components(schema: dict[str, Any]) -> None:
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


def _plain(value: Any) -> None:
    """Write what some readers expect: numbers as numbers, one word as a list of one, `items`."""
    if isinstance(value, dict):
        if isinstance(value.get("const"), str):
            value["enum"] = [value.pop("const")]
        if value.get("type") == "number" and isinstance(value.get("default"), str):
            number = Decimal(value["default"])
            value["default"] = int(number) if number == int(number) else float(number)
        if isinstance(value.get("prefixItems"), list):
            value.setdefault("items", value["prefixItems"][0])
        for one in value.values():
            _plain(one)
    elif isinstance(value, list):
        for one in value:
            _plain(one)


def problem_types(service: str) -> dict[str, dict[str, Any]]:
    """Return every kind of problem that a service may give: title, status and what to do."""
    rooms = ("services.kernel.", "services.protocol.", f"services.{service}.", f"{service}.")
    return {
        problem_code(kind): {
            "title": problem_title(kind),
            "status": kind.status,
            "advice": problem_advice(kind),
        }
        for kind in sorted(_kinds_below(Refusal), key=problem_code)
        if kind.__module__.startswith(rooms)
    }


def _kinds_below(kind: type[Refusal]) -> Iterable[type[Refusal]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds_below(one)


@dataclass(frozen=True, slots=True)
class _Finishing:
    """One operation, while what the contract gives to its kind is added."""

    schema: Mapping[str, Any]
    path: str
    method: str
    operation: dict[str, Any]

    def finish(self) -> None:
        """Add what the framework does not know."""
        self._hoist_definitions()
        self._name_parameters()
        self._absent_is_not_null()
        self._summarise()
        self._add_refusals()
        self._add_statuses()
        self._add_table()
        self._add_lines()
        self._add_headers()

    def _hoist_definitions(self) -> None:
        """Move the models of a body that the operation documents by itself to their place."""
        for content in self.operation.get("requestBody", {}).get("content", {}).values():
            for schema in (content["schema"], content["schema"].get("items", {})):
                for name, model in schema.pop("$defs", {}).items():
                    self.schema["components"]["schemas"].setdefault(name, model)

    @property
    def _responses(self) -> dict[str, Any]:
        responses: dict[str, Any] = self.operation["responses"]
        return responses

    @property
    def _parameters(self) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = self.operation.setdefault("parameters", [])
        return parameters

    def _takes(self, name: str) -> bool:
        return any(parameter["name"] == name for parameter in self._parameters)

    def _name_parameters(self) -> None:
        known = {one["name"]: one for one in self._parameters if one["in"] == "path"}
        missing = [name for name in re.findall(r"{(\w+)}", self.path) if name not in known]
        self._parameters[:0] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in missing
        ]
        for parameter in self._parameters:
            if parameter["in"] == "path":
                own = f"The id of the {parameter['name'].replace('_', ' ')}."
                usual = _PATH_PARAMETERS.get(parameter["name"], own)
                parameter.setdefault("description", usual)
            elif "description" in parameter["schema"]:
                parameter.setdefault("description", parameter["schema"]["description"])

    def _absent_is_not_null(self) -> None:
        # The framework reads an optional parameter as one that may be null.
        for parameter in self._parameters:
            forms = parameter["schema"].get("anyOf", [])
            stated = [form for form in forms if form != {"type": "null"}]
            if len(stated) == 1:
                del parameter["schema"]["anyOf"]
                parameter["schema"].update(stated[0])

    def _summarise(self) -> None:
        said = self.operation.get("description", "").strip()
        by_framework = self.operation["operationId"].replace("_", " ").title()
        if said and self.operation.get("summary") in {None, by_framework}:
            self.operation["summary"] = said.splitlines()[0].removesuffix(".")
        roles = self.operation.get("x-roles")
        if roles:
            self.operation["security"] = [{"bearer": []}]
            said = f"{said}\n\nRoles: {', '.join(roles)}.".strip()
        else:
            self.operation["security"] = []
        self.operation["description"] = said

    def _add_refusals(self) -> None:
        kinds = [
            kind
            for name, kinds in _REFUSALS_BY_PARAMETER.items()
            if self._takes(name)
            for kind in kinds
        ]
        if "requestBody" in self.operation:
            kinds += [
                NotJson,
                TooLarge,
                TooManyMembers,
                TooSlow,
                UnsupportedMediaType,
                InvalidRequest,
            ]
        elif any(parameter["in"] == "query" for parameter in self._parameters):
            kinds.append(InvalidRequest)
        if JSON in self._responses.get("422", {}).get("content", {}):
            del self._responses["422"]  # the framework's own shape, which is never answered
        add_problems(self._responses, kinds)

    def _add_statuses(self) -> None:
        """Say that a write answers 200 or 201, as it changed or made what is written."""
        usual = {"200": _ANSWERED if self.method == "get" else _DONE, "201": _CREATED}
        for status, response in self._responses.items():
            if response.get("description") == _USUAL:
                response["description"] = usual.get(status, _DONE)
        found = self._responses.get("200") or self._responses.get("201")
        if not found or "write" not in self._members() or self._is_always_made():
            return
        if "201" in self._responses:
            self._responses.setdefault("200", {**found, "description": _UNCHANGED})
        elif self.method == "put" and self.operation.get("x-version") != "required":
            self._responses["201"] = {**found, "description": _CREATED}

    def _is_always_made(self) -> bool:
        return bool(self._members()["write"].get("enum") == ["created"])

    def _is_record_write(self) -> bool:
        return self.method != "get" and {"id", "version", "write"} <= self._members().keys()

    def _members(self) -> Mapping[str, Any]:
        for status in ("200", "201"):
            content = self._responses.get(status, {}).get("content", {})
            named = _name_of(content.get(JSON, {}).get("schema", {}))
            if named:
                found = self.schema["components"]["schemas"][named]
                members: Mapping[str, Any] = found.get("properties", {})
                return members
        return {}

    def _is_page(self) -> bool:
        return self.method == "get" and {"items", "next"} <= self._members().keys()

    def _add_table(self) -> None:
        """Say of a list that it is also given as a table."""
        if self._is_page() and not self.operation.get("x-internal"):
            content = self._responses["200"]["content"]
            content[CSV] = {"schema": {"type": "string", "description": "One row an item."}}

    def _add_lines(self) -> None:
        """Say of rows that were sent as lines that they are answered as lines."""
        if self.operation.get("x-bulk"):
            content = self._responses["200"]["content"]
            content[NDJSON] = {"schema": content[JSON]["schema"]["items"]}

    def _add_headers(self) -> None:
        is_tagged = "304" in self._responses
        if is_tagged:
            self._responses["304"] = {"description": _NOT_MODIFIED}
            self._parameters.append(_if_none_match())
        for status, response in self._responses.items():
            names = ["X-Request-Id", *_HEADERS_BY_STATUS.get(status, ())]
            is_good = status.startswith("2")
            if status == "304" or (is_good and (is_tagged or self._is_record_write())):
                names.append("ETag")
            if status == "201":
                names.append("Location")
            if is_good and self._takes(KEY_HEADER):
                names.append("Idempotency-Replayed")
            if is_good and self._is_page():
                names.append("Link")
            response.setdefault("headers", {}).update(
                (name, {"$ref": f"#/components/headers/{name}"}) for name in names
            )


def add_problems(responses: dict[str, Any], kinds: Sequence[type[Refusal]]) -> None:
    """Add kinds of problem to an operation's responses, each once."""
    for status, added in documented(*kinds).items():
        standing = responses.setdefault(str(status), {**added, "description": ""})
        standing.setdefault("content", {}).setdefault(MEDIA_TYPE, added["content"][MEDIA_TYPE])
        lines = [*standing["description"].split("\n\n"), *added["description"].split("\n\n")]
        standing["description"] = "\n\n".join(dict.fromkeys(line for line in lines if line))


def _name_of(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).removeprefix(_SCHEMAS)


def _if_none_match() -> dict[str, Any]:
    return {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "Entity tags that the caller holds; 304 where one of them stands.",
        "schema": {"type": "string"},
        "example": '"1"',
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
            "items": {"$ref": f"{_SCHEMAS}Fault"},
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
