"""What follows from the kind of an operation: its refusals, its headers, its statuses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.kernel.exact_json import NotJson, TooManyMembers
from services.kernel.http import (
    CSV,
    KEY_HEADER,
    NDJSON,
    KeyReused,
    WrongCursor,
    WrongKey,
    documented,
)
from services.kernel.openapi.components import JSON, SCHEMAS
from services.kernel.problems import (
    MEDIA_TYPE,
    InvalidRequest,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
)
from services.kernel.refusals import Refusal
from services.kernel.resources import InTheFuture

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


@dataclass(frozen=True, slots=True)
class Finishing:
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
    return str(schema.get("$ref", "")).removeprefix(SCHEMAS)


def _if_none_match() -> dict[str, Any]:
    return {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "Entity tags that the caller holds; 304 where one of them stands.",
        "schema": {"type": "string"},
        "example": '"1"',
    }
