"""Clients made from the contract run a journey; the page about it asks nobody else.

What needs Node runs where `npm ci` was run in this folder, as `.ci/run` does.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from services.kernel.identity import ROLES
from tests.whole_system import WholeSystem, token

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).parent
CONTRACT: Final = ROOT / "openapi" / "gateway.json"
TOOLS: Final = HERE / "node_modules" / ".bin"
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not TOOLS.exists(),
    reason="the Node tools are not installed (npm ci in tests/clients)",
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


async def run(*command: str | Path, **environment: str) -> str:
    """Return what a command prints; fail if it does."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=HERE,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    text = printed.decode()
    assert process.returncode == 0, text[-4000:]
    return text


def told(system: WholeSystem) -> Mapping[str, str]:
    """Return what a client is told: where the system is, and a token of each role."""
    tokens = {role: token(system.key, role) for role in sorted(ROLES)}
    return {"URL": system.url, "TOKENS": json.dumps(tokens)}


async def test_generated_python_client_runs_a_journey(system: WholeSystem, tmp_path: Path) -> None:
    made = tmp_path / "trial_events_client"
    said = await run(
        sys.executable,
        *("-m", "openapi_python_client", "generate", "--meta", "none"),
        *("--path", CONTRACT, "--config", HERE / "python-client.yaml", "--output-path", made),
    )
    assert "WARNING" not in said
    path = os.pathsep.join((str(ROOT), str(tmp_path)))
    printed = await run(sys.executable, "-P", HERE / "journey.py", PYTHONPATH=path, **told(system))
    assert "is done" in printed


@needs_node
async def test_typescript_types_compile_and_run_a_journey(system: WholeSystem) -> None:
    options = ("--default-non-nullable", "false", "-o", "contract.d.ts")
    await run(TOOLS / "openapi-typescript", CONTRACT, *options)
    await run(TOOLS / "tsc", "--project", ".")
    assert "is done" in await run("node", "made/journey.js", **told(system))


@needs_node
async def test_contract_keeps_to_the_ruleset() -> None:
    options = ("--ruleset", "spectral.yaml", "--fail-severity", "hint")
    await run(TOOLS / "spectral", "lint", CONTRACT, *options)


@needs_node
@needs_chromium
async def test_page_of_the_contract_asks_no_other_host(system: WholeSystem) -> None:
    printed = await run("node", "page.mjs", CHROMIUM=str(CHROMIUM), **told(system))
    seen: dict[str, Any] = json.loads(printed)
    assert seen["elsewhere"] == []
    assert seen["faults"] == []
    assert seen["shown"] > 100
