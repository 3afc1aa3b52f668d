"""Schemathesis tries every operation of the contract, through the gateway, with every check.

Usually: the examples, 20 requests made up for each operation, and sequences of operations that
follow from links. `.ci/run` tries more: CONTRACT_EXAMPLES requests an operation, CONTRACT_PHASES
with the coverage of every schema.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from services.kernel.identity import ROLES
from tests.contract.contract import GATEWAY, ROOT, Checked
from tests.contract.story import Teller, tell
from tests.whole_system import STUDY, WholeSystem, token

EXAMPLES: Final = int(os.environ.get("CONTRACT_EXAMPLES", "20"))
PHASES: Final = os.environ.get("CONTRACT_PHASES", "examples,fuzzing,stateful")
USUAL: Final = Path(__file__).with_name("schemathesis.toml")
KNOWN_PARTICIPANT: Final = 0.9
"""How often a path names a record that is there; the rest names none."""


def settings(parts: dict[str, str]) -> str:
    """Return schemathesis' settings, with the ids that the story left behind."""
    dictionaries = {name: [value] for name, value in parts.items()}
    dictionaries["version"] = ['"1"', '"2"', '"3"']
    bound = {f"path.{name}": name for name in parts} | {"header.If-Match": "version"}
    lines = [USUAL.read_text(encoding="utf-8")]
    for name, values in dictionaries.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    lines += [
        f'"{place}" = {{ dictionary = "{name}", probability = {_often(name)} }}'
        for place, name in bound.items()
    ]
    return "\n".join(lines)


def _often(name: str) -> float:
    return 1.0 if name == "study" else KNOWN_PARTICIPANT


def tokens(system: WholeSystem, participant: str) -> str:
    """Return a token of each role, for as long as the run may take."""
    until = {"exp": int(time.time()) + 7200}
    own: dict[str, Any] = {"participant": {"participant": participant}}
    signed = {role: token(system.key, role, **until, **own.get(role, {})) for role in ROLES}
    return json.dumps(signed)


async def test_no_check_of_schemathesis_fails(system: WholeSystem, tmp_path: Path) -> None:
    teller = Teller(system, Checked(GATEWAY))
    await tell(teller)
    assert teller.parts["study"] == STUDY
    config = tmp_path / "schemathesis.toml"
    config.write_text(settings(teller.parts), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "schemathesis.cli"),
        *("--config-file", config, "run", ROOT / "openapi" / "gateway.json"),
        *("--url", system.url, "--checks", "all", "--max-examples", str(EXAMPLES)),
        *("--phases", PHASES),
        "--no-color",
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CONTRACT_TOKENS": tokens(system, teller.parts["participant"]),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        pytest.fail(said.decode()[-20_000:])
