"""What every operation of the contract must say. Operations added later are held to it too."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from openapi_spec_validator import validate

from services.kernel.identity import ROLES
from tests.contract.contract import GATEWAY, JSON, PROBLEM, Operation, Schemas, operations

OPERATIONS: Final = list(operations(GATEWAY))
SCHEMAS: Final = Schemas(GATEWAY)
BARE: Final[tuple[Any, ...]] = (
    {},
    {"type": "object"},
    {"type": "object", "additionalProperties": True},
)
WITH_BODY: Final = {"400", "413", "415", "422"}
WITH_ROLES: Final = {"400", "401", "403", "431", "500", "503"}


def test_document_is_valid_openapi() -> None:
    assert GATEWAY["openapi"] == "3.1.0"
    validate(GATEWAY)


def test_no_two_operations_have_one_name() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_tag_is_described_and_used() -> None:
    described = {tag["name"] for tag in GATEWAY["tags"] if len(tag["description"]) > 10}
    assert described == {tag for one in OPERATIONS for tag in one.said["tags"]}


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_an_operation_says_all_that_a_caller_needs(operation: Operation) -> None:
    faults = [
        *_wordless(operation),
        *_wrong_parameters(operation),
        *_wrong_request(operation),
        *_wrong_answers(operation),
        *_missing_problems(operation),
        *_wrong_headers(operation),
    ]
    assert faults == []


def _wordless(operation: Operation) -> Iterator[str]:
    said = operation.said
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", operation.name):
        yield "operationId: a verb and what it is about, in snake case"
    if not 5 < len(said["summary"]) <= 100 or said["summary"].endswith("."):
        yield "summary: one line of at most 100 characters, without a full stop"
    if not said["description"]:
        yield "description"
    if len(said["tags"]) != 1:
        yield "exactly one tag"
    if "x-roles" in said and not set(said["x-roles"]) <= ROLES:
        yield "x-roles: only roles that there are"
    if bool(said["security"]) != ("x-roles" in said):
        yield "security: a token where there are roles"


def _wrong_parameters(operation: Operation) -> Iterator[str]:
    in_path = set(re.findall(r"{(\w+)}", operation.path))
    named = {one["name"] for one in operation.said["parameters"] if one["in"] == "path"}
    if named != in_path:
        yield f"parameters of the path: {named ^ in_path}"
    for parameter in operation.said["parameters"]:
        if not parameter.get("description") or parameter["schema"] in BARE:
            yield f"parameter {parameter['name']}: description and schema"


def _wrong_request(operation: Operation) -> Iterator[str]:
    if "requestBody" in operation.said:
        for media_type, content in operation.content().items():
            yield from _wrong_content(operation, media_type, content, None)


def _wrong_answers(operation: Operation) -> Iterator[str]:
    good = [status for status in operation.said["responses"] if status.startswith("2")]
    if not good:
        yield "an answer that is good"
    for status in good:
        contents = operation.content(status)
        if not contents and status != "204":
            yield f"{status}: content"
        for media_type, content in contents.items():
            yield from _wrong_content(operation, media_type, content, status)


def _wrong_content(
    operation: Operation, media_type: str, content: Any, status: str | None
) -> Iterator[str]:
    at = f"{status or 'request'} {media_type}"
    schema = content.get("schema", {})
    says_more = bool({"$ref", "anyOf", "oneOf", "properties"} & schema.keys())
    told = {name: schema[name] for name in ("type", "additionalProperties") if name in schema}
    if not says_more and told in BARE:
        yield f"{at}: a schema that says what stands in it"
    if media_type != JSON:
        return
    if "example" not in content:
        yield f"{at}: an example in openapi/examples (see tests/contract/test_story.py)"
    else:
        place = operation.place(media_type, status)
        yield from (f"{at}: {fault}" for fault in SCHEMAS.faults(content["example"], place))


def _missing_problems(operation: Operation) -> Iterator[str]:
    responses = operation.said["responses"]
    needed = set(WITH_ROLES) if "x-roles" in operation.said else set()
    if "requestBody" in operation.said:
        needed |= WITH_BODY
    if "{" in operation.path:
        needed.add("404")
    if operation.said.get("x-version"):
        needed |= {"412"} | ({"428"} if operation.said["x-version"] == "required" else set())
    yield from (f"answer {status}" for status in sorted(needed - responses.keys()))
    for status, response in responses.items():
        if not response.get("description"):
            yield f"{status}: description"
        if status >= "400" and JSON not in response["content"]:
            examples = response["content"][PROBLEM].get("examples", {})
            if not examples:
                yield f"{status}: problem types, each with an example"


def _wrong_headers(operation: Operation) -> Iterator[str]:
    for status, response in operation.said["responses"].items():
        headers = response.get("headers", {}).keys()
        if "X-Request-Id" not in headers:
            yield f"{status}: X-Request-Id"
        if (
            status in {"429", "503"}
            and "Retry-After" not in headers
            and "x-roles" in operation.said
        ):
            yield f"{status}: Retry-After"
    if operation.method != "get" and "/evaluations/" not in operation.path:
        named = {one["name"] for one in operation.said["parameters"]}
        if "Idempotency-Key" not in named:
            yield "parameter Idempotency-Key"


def test_examples_of_problems_are_problems() -> None:
    examples = GATEWAY["components"]["examples"]
    assert examples.keys() <= GATEWAY["x-problems"].keys()
    for code, example in examples.items():
        assert SCHEMAS.faults(example["value"], ("components", "schemas", "Problem")) == []
        assert example["value"]["type"] == f"/problems/{code}"
        assert example["value"]["status"] == GATEWAY["x-problems"][code]["status"]


def test_examples_of_parameters_and_members_are_of_their_kind() -> None:
    faults = [
        f"{place}: {fault}"
        for place in _places(GATEWAY, ())
        for example in _given_at(place)
        for fault in SCHEMAS.faults(example, place)
    ]
    assert faults == []


def _places(value: Any, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield where schemas with examples of their own stand."""
    if isinstance(value, dict):
        if isinstance(value.get("examples"), list):
            yield at
        for name, one in value.items():
            if name not in {"example", "examples"}:
                yield from _places(one, (*at, name))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _places(one, (*at, str(place)))


def _given_at(place: tuple[str, ...]) -> list[Any]:
    found: Any = GATEWAY
    for part in place:
        found = found[int(part)] if isinstance(found, list) else found[part]
    examples: list[Any] = found["examples"]
    return examples
