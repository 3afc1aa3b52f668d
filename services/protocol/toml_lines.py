"""Where things stand in a TOML file: the lines of its tables and keys, for messages.

The standard library's reader keeps no lines. What stands inside a value that spans several
lines is found by the line on which the value begins.
"""

import re
from collections.abc import Iterator
from typing import Final

Place = tuple[str | int, ...]
"""The way to a member, as pydantic tells it: `("visits", 3, "window_after_days")`."""

_PART: Final = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_PARTS: Final = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE: Final = re.compile(rf"\s*(\[\[?)\s*({_PARTS})\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(rf"\s*({_PARTS})\s*=")


def line_of(text: str, place: Place) -> int:
    """Return the line of a member, else of the innermost table that should have it, from 1."""
    line_by_place = dict(_lines(text))
    within = (place[:length] for length in range(len(place), 0, -1))
    return next((line_by_place[part] for part in within if part in line_by_place), 1)


def _lines(text: str) -> Iterator[tuple[Place, int]]:
    """Yield the place of each table and key, and its line; an array begins with its first."""
    last_by_array: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = _open(header[1], _parts(header[2]), last_by_array)
            yield table, number
            if table[-1] == 0:
                yield table[:-1], number
        elif key := _KEY.match(line):
            yield (*table, *_parts(key[1])), number


def _open(bracket: str, parts: list[str], last_by_array: dict[Place, int]) -> Place:
    """Return the place of the table that a header opens, counting those of an array."""
    *outer, name = parts
    place: Place = ()
    for part in outer:
        place = (*place, part)
        if place in last_by_array:
            place = (*place, last_by_array[place])
    place = (*place, name)
    if bracket == "[":
        return place
    last_by_array[place] = last_by_array.get(place, -1) + 1
    return (*place, last_by_array[place])


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_PART, dotted)]
