"""The OpenAPI document of an application: what the framework writes, finished by our rules.

What the contract gives to every operation of a kind is said here once, and follows from what
the operation itself says: its key, its version, its tag, its page, its refusals.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.kernel.openapi.components import add_components
from services.kernel.openapi.finishing import Finishing
from services.kernel.problems import problem_advice, problem_code, problem_title
from services.kernel.refusals import Refusal


def described(subjects: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return tags as the framework takes them, from what each means."""
    return [{"name": name, "description": said} for name, said in subjects.items()]


def document(app: FastAPI, service: str) -> dict[str, Any]:
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
        add_components(schema)
        _plain(schema["components"]["schemas"])
        for path, operations in schema.get("paths", {}).items():
            for method, operation in operations.items():
                Finishing(schema, path, method, operation).finish()
        schema["x-problems"] = problem_types(service)
        app.openapi_schema = schema
    return app.openapi_schema


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
