"""Reads study files: typed and checked at load; a wrong file is refused with line and reason."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from services.protocol.contradictions import contradictions
from services.protocol.study import STUDY, Study
from services.protocol.toml_lines import line_of

BUILT_IN: Final = Path(__file__).parent / "studies"


class WrongStudyFile(Exception):  # noqa: N818 - states a fact
    """A study file cannot be used: where, and why; `line` None is the file as a whole."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        super().__init__(f"{path.name}{f', line {line}' if line else ''}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class Studies(dict[str, Study]):
    """The studies that a process serves, by registry number."""


def load_studies(*folders: Path) -> Studies:
    """Return the built-in studies and those of further folders, by registry number.

    Raises WrongStudyFile, also for a folder that does not exist.
    """
    studies = Studies()
    for folder in (BUILT_IN, *folders):
        if not folder.is_dir():
            raise WrongStudyFile(folder, None, "there is no such folder")
        for path in sorted(folder.glob("*.toml")):
            study = load_study(path)
            if study.number in studies:
                raise WrongStudyFile(path, None, f"study {study.number} is defined twice")
            studies[study.number] = study
    return studies


def load_study(path: Path) -> Study:
    """Return the study that a file defines; raises WrongStudyFile."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongStudyFile(path, None, str(error)) from None
    try:
        study = STUDY.validate_python(_parse(path, text))
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise WrongStudyFile(path, line_of(text, first["loc"]), reason) from None
    for place, reason in contradictions(study):
        raise WrongStudyFile(path, line_of(text, place), reason)
    return study


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines())
        raise WrongStudyFile(path, line, str(error)) from None
