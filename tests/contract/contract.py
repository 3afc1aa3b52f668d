"""The contract as it is checked in, and whether what is said over HTTP keeps to it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from gateway.contract import codes_in

ROOT: Final = Path(__file__).resolve().parents[2]
GATEWAY: Final[dict[str, Any]] = json.loads(
    (ROOT / "openapi" / "gateway.json").read_text(encoding="utf-8")
)
METHODS: Final = ("get", "put", "post", "delete", "patch")
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
_FORMATS: Final = FormatChecker(["date", "date-time", "uuid"])
_BASE: Final = "contract:"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the contract."""

    method: str
    path: str
    said: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.said["operationId"])

    def __str__(self) -> str:
        return self.name

    def content(self, status: str | None = None) -> Mapping[str, Any]:
        """Return the media types of the request, or of an answer."""
        place = self.said.get("requestBody") if status is None else self.said["responses"][status]
        found: Mapping[str, Any] = (place or {}).get("content", {})
        return found

    def place(self, media_type: str, status: str | None = None) -> tuple[str, ...]:
        """Return where in the document the schema of a request or answer stands."""
        at = ("requestBody",) if status is None else ("responses", status)
        return ("paths", self.path, self.method, *at, "content", media_type, "schema")


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield every operation of a document."""
    for path, found in document["paths"].items():
        for method in METHODS:
            if method in found:
                yield Operation(method, path, found[method])


class Schemas:
    """Validates values against the schemas of a document, wherever they stand in it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        resource = DRAFT202012.create_resource(dict(document))
        self._registry: Registry[Any] = Registry().with_resource(_BASE, resource)

    def faults(self, value: Any, place: tuple[str, ...]) -> list[str]:
        """Return what is wrong with a value, by the schema at a place of the document."""
        pointer = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in place)
        validator = Draft202012Validator(
            {"$ref": f"{_BASE}#{pointer}"}, registry=self._registry, format_checker=_FORMATS
        )
        return [
            f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for error in validator.iter_errors(value)
        ]


class Checked:
    """Checks answers against the contract, and remembers which operations were answered."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._schemas = Schemas(document)
        self._operations = {(one.method, one.path): one for one in operations(document)}
        self.answered: dict[str, dict[str, Any]] = {}

    def operation(self, method: str, path: str) -> Operation:
        return self._operations[method.lower(), path]

    def check(self, operation: Operation, sent: Any, answer: httpx.Response) -> None:
        """Fail unless request and answer are as the contract says."""
        status = str(answer.status_code)
        assert status in operation.said["responses"], f"{operation}: {status} {answer.text}"
        said = operation.said["responses"][status]
        missing = [
            name
            for name in said.get("headers", {})
            if name not in answer.headers and name not in _SOMETIMES
        ]
        assert missing == [], f"{operation}: {status} lacks {missing}"
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if answer.content:
            assert media_type in operation.content(status), f"{operation}: {media_type}"
        if answer.is_success and sent is not None:
            found = self._schemas.faults(sent, operation.place(JSON))
            assert found == [], f"{operation}: request {found}"
        if media_type in {JSON, PROBLEM}:
            found = self._schemas.faults(answer.json(), operation.place(media_type, status))
            assert found == [], f"{operation}: {status} {found}"
        if media_type == PROBLEM:
            code = answer.json()["type"].removeprefix("/problems/")
            assert code in codes_in(said["description"]), f"{operation}: {status} {code}"
        self._remember(operation, sent, answer, media_type)

    def _remember(
        self, operation: Operation, sent: Any, answer: httpx.Response, media_type: str
    ) -> None:
        if not answer.is_success:
            return
        example = self.answered.setdefault(operation.name, {"answers": {}})
        if sent is not None:
            example.setdefault("request", {JSON: sent})
        if media_type == JSON:
            example["answers"].setdefault(str(answer.status_code), {JSON: answer.json()})
        elif answer.content:
            status = example["answers"].setdefault(str(answer.status_code), {})
            status.setdefault(media_type, answer.text)


_SOMETIMES: Final = {"Idempotency-Replayed", "Link"}
"""Headers that an answer has only now and then."""
