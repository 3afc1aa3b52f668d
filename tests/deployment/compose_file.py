"""`compose.yaml` as Compose reads it: merged, with its variables filled in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
_VARIABLE: Final = re.compile(r"\$\{(?P<name>\w+)(?P<rule>:[?-])(?P<rest>[^}]*)\}")


class NotSet(Exception):  # noqa: N818 - states a fact
    """A variable without a default has no value."""


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the parsed file; raises NotSet."""
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    filled: dict[str, Any] = _filled(parsed, variables)
    return filled


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part, variables) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, variables) for part in value]
    return fill_in(value, variables) if isinstance(value, str) else value


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """Replace `${NAME:-default}` and `${NAME:?message}`; raises NotSet."""

    def value(found: re.Match[str]) -> str:
        given = variables.get(found["name"])
        if not given and found["rule"] == ":?":
            raise NotSet(found["name"])
        return given or found["rest"]

    return _VARIABLE.sub(value, text)


def example_variables() -> dict[str, str]:
    """Return what `.env.example` sets, names without a value included."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    stated = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value.strip("'") for name, _, value in stated}
