"""What the pages name exists: files, settings, operations, roles, exit codes."""

import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from services.kernel.identity import ROLES
from tests.documentation.pages import blocks, pages
from tests.running_system import ROOT

PAGES: Final = [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages()]
CODE: Final = re.compile(r"`([^`\n]+)`")
LINK: Final = re.compile(r"\]\((?!https?://)([^)#]+)")
TABLE: Final = re.compile(r"<!-- settings: (\S+) (\S+) -->\n((?:\|.*\n)+)")
ROW: Final = re.compile(r"^\| `(TRIAL_\w+)` \| (.+?) \|", re.MULTILINE)
OPERATION: Final = re.compile(r"\b(GET|PUT|POST|DELETE) (/[^\s`\\?]*)")
FOLDERS: Final = tuple(f"{entry.name}/" for entry in ROOT.iterdir() if entry.is_dir())


def prose(page: Path) -> str:
    """Return the page without its fenced blocks."""
    text = page.read_text()
    for block in blocks(page):
        text = text.replace(block.text, "")
    return text


@cache
def contract() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "openapi" / "gateway.json").read_text())
    return document


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page: Path) -> None:
    for name in CODE.findall(prose(page)):
        # `.data/` comes with the first start; `<service>` stands for each.
        if name.startswith(FOLDERS) and not name.startswith((".data/", ".venv/")):
            pattern = name.replace("<service>", "*").rstrip("/")
            assert list(ROOT.glob(pattern)), name


@pytest.mark.parametrize("page", PAGES)
def test_every_operation_that_is_named_is_in_the_contract(page: Path) -> None:
    known = contract()["paths"]
    for method, path in OPERATION.findall(prose(page)):
        if path not in {"/openapi.json", "/docs"}:
            assert method.lower() in known[path], (method, path)


@pytest.mark.parametrize("page", PAGES)
def test_no_line_is_too_long_to_read(page: Path) -> None:
    lines = prose(page).splitlines()
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


def shown_default(settings: type[BaseSettings], variable: str) -> str:
    prefix = settings.model_config["env_prefix"]
    default = settings.model_fields[variable.removeprefix(prefix).lower()].default
    if default is PydanticUndefined:
        return "none"
    return f"`{default}`" if str(default) not in {"", "()", "None", "**********"} else "empty"


def test_the_tables_of_settings_are_complete() -> None:
    found = TABLE.findall((ROOT / "docs" / "operations.md").read_text())
    assert [name for _, name, _ in found] == [
        "ProcessSettings",
        "WebhookSettings",
        "GatewaySettings",
    ]
    for module, name, table in found:
        settings: type[BaseSettings] = getattr(import_module(module), name)
        prefix = settings.model_config["env_prefix"]
        stated = dict(ROW.findall(table))
        assert set(stated) == {f"{prefix}{field.upper()}" for field in settings.model_fields}
        for variable, default in stated.items():
            assert default == shown_default(settings, variable), variable


def test_the_readme_names_every_role_of_a_caller() -> None:
    [line] = re.findall(
        r"^Roles: .*?\.$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert set(CODE.findall(line)) == ROLES - {"service"}


def test_every_decision_says_what_lost() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [record.name[:4] for record in records] == [
        f"{n:04}" for n in range(1, len(records) + 1)
    ]
    for record in records:
        text = record.read_text()
        parts = ("Status:", "**Context.**", "**Decision.**", "**Consequences.**", "**What lost.**")
        assert all(part in text for part in parts), record.name
        assert text.count("\n") < 40
