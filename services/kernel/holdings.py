"""What a process holds for as long as it runs, found by its type.

A process has one of each: one database, one writer, one reader of feeds. Who needs one says
which, and the type checker knows what comes: `held(request, Database)`.
"""

from typing import Any, TypeVar

from starlette.requests import HTTPConnection

HeldT = TypeVar("HeldT")


class Holdings:
    """The things of one process, one of each type.

    What is not held raises KeyError: a process that lacks a part is not well put together.
    """

    def __init__(self, *things: object) -> None:
        self._by_type: dict[type[Any], Any] = {}
        self.add(*things)

    def add(self, *things: object) -> None:
        """Hold these as well; a second one of a type takes the place of the first."""
        self._by_type.update((type(thing), thing) for thing in things)

    def __contains__(self, kind: type[Any]) -> bool:
        return kind in self._by_type

    def __getitem__(self, kind: type[HeldT]) -> HeldT:
        thing: HeldT = self._by_type[kind]
        return thing


def held(request: HTTPConnection, kind: type[HeldT]) -> HeldT:
    """Return the one thing of this type that the process of a request holds."""
    holdings: Holdings = request.app.state.holdings
    return holdings[kind]
