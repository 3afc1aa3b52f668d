"""The parts of a request, read one by one, so that every fault of every part is told at once."""

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.kernel.problems import faults_of
from services.kernel.refusals import Fault

PartT = TypeVar("PartT")


def read_part(
    kind: TypeAdapter[PartT], given: Any, pointer: str, faults: list[Fault]
) -> PartT | None:
    """Return a part, or None after adding what is wrong with it to the faults."""
    if given is None:
        faults.append(Fault(pointer, "required", "This member is required."))
        return None
    try:
        return kind.validate_python(given)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False)
        found = faults_of({**error, "loc": ("body", *error["loc"])} for error in errors)
        faults += below(pointer, found)
    return None


def below(pointer: str, faults: Any) -> list[Fault]:
    """Return faults of a part as faults of the whole."""
    return [Fault(pointer + fault.pointer, fault.code, fault.detail) for fault in faults]
