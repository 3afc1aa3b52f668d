"""One OpenAPI document for all: the services' documents and the gateway's own, merged."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI

from gateway.bulk_visits import VISIT_ROW
from gateway.routing import DOCUMENTS, operations_of
from gateway.visit_parts import ENDPOINT_BY_SERVICE, MEMBERS_BY_SERVICE
from services.kernel.openapi import JSON, document
from services.kernel.problems import MEDIA_TYPE, PROBLEM_PAGES

EXAMPLES: Final = DOCUMENTS / "examples"
_SCHEMAS: Final = "#/components/schemas/"
_PARTICIPANT: Final = "/v1/studies/{study}/participants/{participant}"
_WHOSE: Final = "The participant's id, or `external:` and its own."
_METHODS: Final = ("get", "put", "post", "delete", "patch")
_SIBLINGS: Final = {"200": "201", "201": "200"}
"""A write's answers have one shape, whether it made the record or found it."""
_EXAMPLE_ID: Final = "5b2c1e7a-4f0d-4c53-9d55-5f0c3c1d2e11"


def merged_document(app: FastAPI, documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the contract: what callers may reach of the services, and the gateway's own."""
    whole = document(app, "gateway")
    parts = {name: _apart(name, part, whole) for name, part in documents.items()}
    for name, part in parts.items():
        for operation in operations_of({name: part}):
            found = part["paths"][operation.path][operation.method.lower()]
            whole["paths"].setdefault(operation.path, {})[operation.method.lower()] = found
        for section, members in part["components"].items():
            whole["components"].setdefault(section, {}).update(members)
        whole["x-problems"].update(part["x-problems"])
    whole["paths"] = dict(sorted(whole["paths"].items()))
    whole["x-problems"] = dict(sorted(whole["x-problems"].items()))
    _describe_visit(whole, parts)
    _describe_own_record(whole)
    _keep_used_tags(whole, parts)
    _keep_used_schemas(whole)
    _add_examples(whole)
    return whole


def operations_in(contract: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every operation: method, path, and what the contract says of it."""
    for path, operations in contract["paths"].items():
        for method in _METHODS:
            if method in operations:
                yield method, path, operations[method]


def _apart(service: str, part: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document whose schemas have no name that means another thing elsewhere."""
    schemas, taken = part["components"]["schemas"], whole["components"]["schemas"]
    clashing = {name for name in schemas if name in taken and taken[name] != schemas[name]}
    text = json.dumps(part)
    for name in clashing:
        text = text.replace(f'"{_SCHEMAS}{name}"', f'"{_SCHEMAS}{service.title()}{name}"')
    renamed: dict[str, Any] = json.loads(text)
    for name in clashing:
        found = renamed["components"]["schemas"]
        own = f"{service.title()}{name}"
        found[own] = {**found.pop(name), "title": own}
    return renamed


def _describe_visit(whole: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Say of a visit's members what the services that take them say."""
    content = whole["paths"][f"{_PARTICIPANT}/visits"]["post"]["requestBody"]["content"][JSON]
    schema = {**content["schema"], "title": "VisitBody"}
    whole["components"]["schemas"]["VisitBody"] = schema
    content["schema"] = {"$ref": f"{_SCHEMAS}VisitBody"}
    stated = schema["properties"]
    members = {**MEMBERS_BY_SERVICE, "enrolment": ("visit", *MEMBERS_BY_SERVICE["enrolment"])}
    for service, endpoint in ENDPOINT_BY_SERVICE.items():
        operation = parts[service]["paths"][f"{_PARTICIPANT}/{endpoint}"]["post"]
        named = operation["requestBody"]["content"][JSON]["schema"]["$ref"]
        body = parts[service]["components"]["schemas"][named.removeprefix(_SCHEMAS)]
        for member in members[service]:
            stated[member] = body["properties"][member]
    participant = {"type": "string", "maxLength": 80, "description": _WHOSE}
    whole["components"]["schemas"][VISIT_ROW] = {
        **schema,
        "title": VISIT_ROW,
        "description": "A visit, and whose it is.",
        "properties": {"participant": participant, **stated},
        "required": ["participant", *schema["required"]],
    }


def _describe_own_record(whole: Mapping[str, Any]) -> None:
    """Say of a participant's own record what its service says of anybody's."""
    for path, operations in whole["paths"].items():
        told = whole["paths"].get(path.replace("/v1/me", _PARTICIPANT), {}).get("get")
        if path.startswith("/v1/me/") and told is not None:
            parameters = [one for one in told["parameters"] if one["in"] != "path"]
            operations["get"] |= {"parameters": parameters, "responses": told["responses"]}


def _keep_used_tags(whole: dict[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
    used = {tag for _, _, operation in operations_in(whole) for tag in operation["tags"]}
    said = [*whole["tags"], *(tag for part in parts.values() for tag in part["tags"])]
    described = {tag["name"]: tag for tag in said if tag["name"] in used}
    whole["tags"] = sorted(described.values(), key=lambda tag: str(tag["name"]))


def _keep_used_schemas(whole: Mapping[str, Any]) -> None:
    schemas = whole["components"]["schemas"]
    used: set[str] = set()
    waiting = set(_named_in(whole["paths"]))
    while waiting:
        used |= waiting
        waiting = {name for one in waiting for name in _named_in(schemas[one])} - used
    for name in schemas.keys() - used:
        del schemas[name]


def _named_in(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        named = value.get("$ref")
        if isinstance(named, str) and named.startswith(_SCHEMAS):
            yield named.removeprefix(_SCHEMAS)
        for one in value.values():
            yield from _named_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from _named_in(one)


def read_examples() -> dict[str, dict[str, Any]]:
    """Return the examples of requests and answers, by operation."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(EXAMPLES.glob("*.json")):
        found.update(json.loads(path.read_text(encoding="utf-8")))
    return found


def _add_examples(whole: dict[str, Any]) -> None:
    examples = read_examples()
    kinds = whole["x-problems"]
    named = {
        code
        for _, _, operation in operations_in(whole)
        for response in operation["responses"].values()
        for code in codes_in(response["description"])
    }
    whole["components"]["examples"] = {
        code: {"summary": kind["title"], "value": _problem(code, kind)}
        for code, kind in kinds.items()
        if code in named
    }
    for _, _, operation in operations_in(whole):
        example = examples.get(operation["operationId"], {})
        places = [(operation.get("requestBody"), example.get("request", {}))]
        for status, response in operation["responses"].items():
            answers = example.get("answers", {})
            given = answers.get(status) or answers.get(_SIBLINGS.get(status, ""), {})
            places.append((response, given))
            _add_problem_examples(response, kinds)
        for place, given in places:
            for media_type, content in (place or {}).get("content", {}).items():
                if media_type in given:
                    content["example"] = given[media_type]


def _problem(code: str, kind: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": PROBLEM_PAGES + code,
        "title": kind["title"],
        "status": kind["status"],
        "detail": kind["title"],
        "request_id": _EXAMPLE_ID,
    }


def _add_problem_examples(response: dict[str, Any], kinds: Mapping[str, Any]) -> None:
    content = response.get("content", {}).get(MEDIA_TYPE)
    if content is not None:
        content["examples"] = {
            code: {"$ref": f"#/components/examples/{code}"}
            for code in codes_in(response["description"])
            if code in kinds
        }


def codes_in(description: str) -> list[str]:
    """Return the problem types that a response's description names."""
    lines = (line for line in description.split("\n\n") if line.startswith("`"))
    return [line[1:].partition("`")[0] for line in lines]
