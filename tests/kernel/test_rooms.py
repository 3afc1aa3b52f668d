"""The kernel's rooms: what they offer is there, and from outside one imports the room."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import services.kernel

KERNEL = Path(services.kernel.__file__).parent
ROOT = KERNEL.parents[1]
ROOMS = sorted(page.parent.name for page in KERNEL.glob("*/__init__.py"))
JOINED_BY_THE_APPLICATION = {"routes", "health"}


def _imported_from_kernel(file: Path) -> Iterator[list[str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("services.kernel."):
            yield str(node.module).split(".")[2:]


def _sources() -> list[Path]:
    folders = ("services", "gateway", "launcher", "openapi", "benchmarks")
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def test_from_outside_one_imports_the_room() -> None:
    past_the_front_page = [
        f"{file.relative_to(ROOT)}: {'.'.join(place)}"
        for file in _sources()
        for place in _imported_from_kernel(file)
        if len(place) > 1
        and KERNEL / place[0] not in file.parents
        and place[1] not in JOINED_BY_THE_APPLICATION
    ]
    assert past_the_front_page == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_offers_only_what_somebody_takes(room: str) -> None:
    taken = {
        alias.name
        for file in _sources()
        if KERNEL / room not in file.parents
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == f"services.kernel.{room}"
        for alias in node.names
    }
    assert set(getattr(import_module(f"services.kernel.{room}"), "__all__", ())) == taken


def test_the_front_page_names_what_is_there() -> None:
    page = str(services.kernel.__doc__)
    named = re.findall(r"`(\w+)\.(\w+)`", page)
    assert named
    for place, name in named:
        assert hasattr(import_module(f"services.kernel.{place}"), name), f"{place}.{name}"


def test_the_front_page_names_every_place() -> None:
    page = str(services.kernel.__doc__)
    files = {file.stem for file in KERNEL.glob("*.py")} - {"__init__"}
    assert {name for name in files.union(ROOMS) if f"`{name}`" not in page} == set()
