"""What the system answers is what the contract says, for every operation, once.

An operation without an example that holds gets one from here:
python -m pytest tests/contract/test_story.py --record-examples; python -m openapi
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.contract import EXAMPLES, read_examples
from tests.contract.contract import GATEWAY, ROOT, Checked, Operation, Schemas, operations
from tests.contract.story import Teller, tell
from tests.whole_system import WholeSystem

SERVICES: Final = ("enrolment", "scoring", "safety")
SHOWN: Final = 2
"""Items of a list, and members of a map, that an example shows."""


async def test_every_operation_answers_as_the_contract_says(
    system: WholeSystem, pytestconfig: pytest.Config
) -> None:
    checked = Checked(GATEWAY)
    await tell(Teller(system, checked))
    if pytestconfig.getoption("--record-examples", default=False):
        record(checked.answered)
    assert {one.name for one in operations(GATEWAY)} - checked.answered.keys() == set()


def record(answered: Mapping[str, dict[str, Any]]) -> None:
    """Write an example of each operation that has none, or none that holds."""
    schemas = Schemas(GATEWAY)
    kept = {
        one.name: examples
        for one in operations(GATEWAY)
        if (examples := read_examples().get(one.name)) and _hold(one, examples, schemas)
    }
    owners = _owners()
    for owner in {*owners.values(), "gateway"}:
        own = {
            one.name: kept.get(one.name) or _shortened(one, answered[one.name], schemas)
            for one in operations(GATEWAY)
            if owners.get(one.name, "gateway") == owner and one.name in answered
        }
        _write(EXAMPLES / f"{owner}.json", own)


def _write(path: Path, examples: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(examples, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _owners() -> dict[str, str]:
    return {
        one.name: service
        for service in SERVICES
        for one in operations(json.loads((ROOT / "openapi" / f"{service}.json").read_text()))
        if not one.said.get("x-internal")
    }


def _hold(operation: Operation, examples: Mapping[str, Any], schemas: Schemas) -> bool:
    faults = [
        fault
        for status, contents in _contents(examples)
        for media_type, example in contents.items()
        if media_type in operation.content(status)
        for fault in schemas.faults(example, operation.place(media_type, status))
    ]
    return not faults and bool(examples["answers"])


def _contents(examples: Mapping[str, Any]) -> list[tuple[str | None, Mapping[str, Any]]]:
    return [(None, examples.get("request", {})), *examples["answers"].items()]


def _shortened(operation: Operation, examples: dict[str, Any], schemas: Schemas) -> dict[str, Any]:
    short: dict[str, Any] = {**examples, "answers": {}}
    for status, contents in examples["answers"].items():
        short["answers"][status] = {}
        for media_type, example in contents.items():
            cut = _cut(example)
            place = operation.place(media_type, status)
            holds = schemas.faults(cut, place) == []
            short["answers"][status][media_type] = cut if holds else example
    return short


def _cut(value: Any) -> Any:
    if isinstance(value, list):
        return [_cut(one) for one in value[:SHOWN]]
    if isinstance(value, dict):
        is_map = all(name[:1].isupper() or "." in name for name in value)
        shown = list(value.items())[: SHOWN if is_map else None]
        return {name: _cut(one) for name, one in shown}
    return value
