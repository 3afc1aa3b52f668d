"""A change that breaks callers is refused unless the changelog says so."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

import pytest

from openapi.breaking import Break, breaks, read_changelog, undeclared
from tests.contract.contract import GATEWAY, ROOT

RELEASED: Final = json.loads((ROOT / "openapi" / "released.json").read_text(encoding="utf-8"))
DOCUMENT: Final[dict[str, Any]] = {
    "paths": {
        "/visits": {
            "get": {
                "x-roles": ["auditor", "edc"],
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 500}}
                ],
                "responses": {
                    "200": {
                        "headers": {"Link": {}, "X-Request-Id": {}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Visit"}},
                            "text/csv": {"schema": {"type": "string"}},
                        },
                    }
                },
            },
            "post": {
                "x-roles": ["edc"],
                "parameters": [
                    {"name": "If-Match", "in": "header", "schema": {"type": "string"}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Body"}},
                        "application/x-ndjson": {"schema": {"type": "string"}},
                    },
                },
                "responses": {"200": {}, "201": {}},
            },
        },
        "/calendar": {"get": {"responses": {"200": {}}}},
    },
    "components": {
        "schemas": {
            "Visit": {
                "type": "object",
                "required": ["code", "parts"],
                "additionalProperties": False,
                "properties": {
                    "code": {"type": "string"},
                    "timing": {"anyOf": [{"enum": ["early", "late"]}, {"type": "null"}]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                },
            },
            "Part": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                },
            },
            "Body": {
                "type": "object",
                "additionalProperties": False,
                "required": ["code"],
                "properties": {
                    "code": {"type": "string", "maxLength": 64},
                    "reason": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "scope": {"type": "array", "items": {"enum": ["treatment", "data"]}},
                    "weight_kg": {"type": "number"},
                },
            },
        }
    },
}


def changed(change: Callable[[dict[str, Any]], Any]) -> list[str]:
    """Return what a change of the document breaks."""
    new = deepcopy(DOCUMENT)
    change(new)
    return [str(one) for one in breaks(DOCUMENT, new)]


def _get(new: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = new["paths"]["/visits"]["get"]
    return found


def _post(new: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = new["paths"]["/visits"]["post"]
    return found


def _members(new: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = new["components"]["schemas"][name]["properties"]
    return found


BREAKING: Final[dict[str, tuple[Callable[[dict[str, Any]], Any], str]]] = {
    "operation removed": (
        lambda new: new["paths"]["/visits"].pop("post"),
        "POST /visits: the operation is gone",
    ),
    "path removed": (
        lambda new: new["paths"].pop("/calendar"),
        "GET /calendar: the operation is gone",
    ),
    "role removed": (
        lambda new: _get(new)["x-roles"].remove("edc"),
        "GET /visits: the role edc may no longer call it",
    ),
    "token needed": (
        lambda new: new["paths"]["/calendar"]["get"].update({"x-roles": ["edc"]}),
        "GET /calendar: a token is needed now",
    ),
    "parameter removed": (
        lambda new: _get(new)["parameters"].clear(),
        "GET /visits: the query parameter limit is gone",
    ),
    "parameter narrowed": (
        lambda new: _get(new)["parameters"][0]["schema"].update(maximum=100),
        "GET /visits: the query parameter limit has maximum 100 now",
    ),
    "parameter required": (
        lambda new: _post(new)["parameters"][0].update(required=True),
        "POST /visits: the header parameter If-Match is required now",
    ),
    "new required parameter": (
        lambda new: _get(new)["parameters"].append(
            {"name": "site", "in": "query", "required": True, "schema": {}}
        ),
        "GET /visits: the query parameter site is required now",
    ),
    "request media type removed": (
        lambda new: _post(new)["requestBody"]["content"].pop("application/x-ndjson"),
        "POST /visits: application/x-ndjson is no longer taken",
    ),
    "new required member": (
        lambda new: new["components"]["schemas"]["Body"]["required"].append("reason"),
        "POST /visits: the body: reason is required now",
    ),
    "request member removed": (
        lambda new: _members(new, "Body").pop("weight_kg"),
        "POST /visits: the body: weight_kg is no longer taken",
    ),
    "request member no longer null": (
        lambda new: _members(new, "Body").update(reason={"type": "string"}),
        "POST /visits: the body: reason may no longer be null",
    ),
    "request member of another type": (
        lambda new: _members(new, "Body").update(weight_kg={"type": "integer"}),
        "POST /visits: the body: weight_kg may no longer be number",
    ),
    "request member shortened": (
        lambda new: _members(new, "Body")["code"].update(maxLength=8),
        "POST /visits: the body: code has maxLength 8 now",
    ),
    "request member has a pattern": (
        lambda new: _members(new, "Body")["code"].update(pattern="^[A-Z]"),
        "POST /visits: the body: code has another pattern now",
    ),
    "request enum narrowed": (
        lambda new: _members(new, "Body")["scope"]["items"].update(enum=["data"]),
        "POST /visits: the body: scope, each item may no longer be treatment",
    ),
    "answer status removed": (
        lambda new: _post(new)["responses"].pop("201"),
        "POST /visits: it no longer answers 201",
    ),
    "answer media type removed": (
        lambda new: _get(new)["responses"]["200"]["content"].pop("text/csv"),
        "GET /visits: 200 is no longer answered as text/csv",
    ),
    "answer header removed": (
        lambda new: _get(new)["responses"]["200"]["headers"].pop("Link"),
        "GET /visits: the header Link of 200 is gone",
    ),
    "answer member removed": (
        lambda new: _members(new, "Visit").pop("timing"),
        "GET /visits: the answer 200: timing is gone",
    ),
    "answer member not always there": (
        lambda new: new["components"]["schemas"]["Visit"]["required"].remove("code"),
        "GET /visits: the answer 200: code is not always there",
    ),
    "answer member may be null": (
        lambda new: _members(new, "Visit").update(
            code={"anyOf": [{"type": "string"}, {"type": "null"}]}
        ),
        "GET /visits: the answer 200: code may now be null",
    ),
    "answer member of another type": (
        lambda new: _members(new, "Part").update(pointer={"type": "integer"}),
        "GET /visits: the answer 200: parts, each item: pointer may now be integer",
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_break_is_found_and_named(name: str) -> None:
    change, said = BREAKING[name]
    assert changed(change) == [said]


HARMLESS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "nothing": lambda _new: None,
    "operation added": lambda new: new["paths"].update({"/sites": {"get": {"responses": {}}}}),
    "role added": lambda new: _get(new)["x-roles"].append("statistician"),
    "parameter added": lambda new: _get(new)["parameters"].append(
        {"name": "after", "in": "query", "schema": {"type": "string"}}
    ),
    "request member added": lambda new: _members(new, "Body").update(note={"type": "string"}),
    "request member no longer required": lambda new: new["components"]["schemas"]["Body"].update(
        required=[]
    ),
    "request number widened": lambda new: _members(new, "Body")["code"].update(maxLength=200),
    "answer member added": lambda new: _members(new, "Visit").update(site={"type": "string"}),
    "answer value added": lambda new: _members(new, "Visit")["timing"]["anyOf"][0]["enum"].append(
        "in_window"
    ),
    "answer narrowed": lambda new: _members(new, "Visit").update(timing={"enum": ["early"]}),
    "schema renamed": lambda new: (
        new["components"]["schemas"].update(Record=new["components"]["schemas"].pop("Body")),
        _post(new)["requestBody"]["content"]["application/json"].update(
            schema={"$ref": "#/components/schemas/Record"}
        ),
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_breaks_nobody_is_no_break(name: str) -> None:
    assert changed(HARMLESS[name]) == []


def test_only_what_the_newest_section_lists_under_breaking_is_declared() -> None:
    changelog = """# Changelog

Said of `GET /visits` before any version.

## 0.2.0

**Breaking**

- `GET /visits`: `timing` is gone.

**New**

- `GET /sites`

## 0.1.0

**Breaking**

- `GET /calendar`: gone.
"""
    found = [Break("GET", path, "gone") for path in ("/visits", "/sites", "/calendar")]
    assert [one.path for one in undeclared(found, changelog)] == ["/sites", "/calendar"]


def test_every_break_since_the_last_release_is_declared() -> None:
    found = breaks(RELEASED, GATEWAY)
    assert [str(one) for one in undeclared(found, read_changelog(ROOT))] == []
