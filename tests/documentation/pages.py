"""The pages of the documentation as tests read them: fenced blocks, paths, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.running_system import ROOT

_FENCE: Final = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: what stands behind the fence, and its text."""

    kind: str
    text: str


def pages() -> list[Path]:
    """Return every page that belongs to the documentation."""
    return [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    return [Block(found["kind"], found["text"]) for found in _FENCE.finditer(page.read_text())]


def steps(page: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each block of commands with the answer that is shown after it, if one is."""
    shown = blocks(page)
    for block, following in zip(shown, [*shown[1:], Block("", "")], strict=True):
        if block.kind == "bash":
            yield block.text, following.text if following.kind == "json" else None


def holds(answer: Any, shown: Any) -> bool:
    """Tell whether an answer has all that is shown; of lists, elements in any place."""
    if isinstance(shown, dict):
        return isinstance(answer, dict) and all(
            name in answer and holds(answer[name], value) for name, value in shown.items()
        )
    if isinstance(shown, list):
        return isinstance(answer, list) and all(
            any(holds(element, value) for element in answer) for value in shown
        )
    return type(answer) is type(shown) and bool(answer == shown)
