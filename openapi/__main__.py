"""Writes the OpenAPI documents from the applications, or checks that they are up to date.

python -m openapi            writes openapi/<service>.json
python -m openapi --check    exits with 1 where a document differs, or where a change breaks
                             callers of the released contract and the changelog is silent
python -m openapi --release  keeps the contract as the released one
"""

import json
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from openapi.breaking import breaks, read_changelog, undeclared

_WORDS: Final = frozenset({"description", "summary", "title"})
_EXAMPLES: Final = re.compile(r"example|examples|x-problems|[45]\d\d")
"""With the refusals, which may change as long as what was accepted is."""
FOLDER: Final = Path(__file__).parent
_RELEASED: Final = FOLDER / "released.json"
SERVICES: Final = ("enrolment", "scoring", "safety")
_NOWHERE: Final = {
    "TRIAL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "TRIAL_ISSUERS": "[]",
}


def generate(name: str) -> str:
    """Return a document as it is checked in; the gateway's is the whole contract."""
    module = "gateway.app" if name == "gateway" else f"services.{name}.app"
    contract: dict[str, Any] = import_module(module).create_app().openapi()
    return json.dumps(contract, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def released(contract: Any) -> Any:
    """Return what callers rely on of a contract: no words, no examples."""
    if isinstance(contract, dict):
        return {
            name: released(value)
            for name, value in contract.items()
            if isinstance(value, dict | list) or name not in _WORDS
            if not _EXAMPLES.fullmatch(name)
        }
    return [released(value) for value in contract] if isinstance(contract, list) else contract


def _is_silent_break() -> bool:
    """Tell, and say, whether a break is not in the changelog."""
    kept = json.loads(_RELEASED.read_text(encoding="utf-8"))
    contract = json.loads((FOLDER / "gateway.json").read_text(encoding="utf-8"))
    silent = undeclared(breaks(kept, contract), read_changelog(FOLDER.parent))
    for one in silent:
        sys.stderr.write(f"Breaks callers and is not in CHANGELOG.md: {one}\n")
    return bool(silent)


def main() -> int:
    """Write or check all documents; the gateway's last, for it follows the others."""
    os.environ.update(_NOWHERE)
    is_check = "--check" in sys.argv[1:]
    if "--release" in sys.argv[1:]:
        contract = json.loads((FOLDER / "gateway.json").read_text(encoding="utf-8"))
        text = json.dumps(released(contract), indent=1, sort_keys=True, ensure_ascii=False)
        _RELEASED.write_text(text + "\n", encoding="utf-8")
        return 0
    stale = []
    for name in (*SERVICES, "gateway"):
        path = FOLDER / f"{name}.json"
        wanted = generate(name)
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            continue
        stale.append(path.name)
        if not is_check:
            path.write_text(wanted, encoding="utf-8")
    if is_check and stale:
        sys.stderr.write(f"Not up to date: {', '.join(stale)}; run python -m openapi.\n")
        return 1
    return int(is_check and _is_silent_break())


if __name__ == "__main__":
    raise SystemExit(main())
