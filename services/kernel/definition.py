"""What distinguishes one service from another, as its `app.py` says it."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from sqlalchemy import MetaData

from services.kernel.holdings import Holdings
from services.kernel.http import Find
from services.kernel.identity import Role

Task = Callable[[Holdings], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service: its tables, its operations, and what it asks of the kernel.

    `subjects`: what the tags of its operations mean.
    `follows`: which kinds of record it keeps of which other service.
    `background`: tasks that run as long as the process.
    `keeps`: makers of what a process holds beside what every service does.
    `find_participant`: finds whom a path means, before a refusal says more of a record.
    `until_known`: codes of warnings that end when the feed tells of the participant;
    until then only the roles in `shown_unverified` see what such a record asks.
    `typed`: how a typed column follows from a document that has no member of its name.
    """

    name: str
    title: str
    summary: str
    tables: MetaData
    routers: Sequence[APIRouter]
    subjects: Mapping[str, str] = field(default_factory=dict)
    follows: Mapping[str, frozenset[str]] = field(default_factory=dict)
    background: Sequence[Task] = ()
    keeps: Sequence[Callable[[], object]] = ()
    find_participant: Find | None = None
    until_known: frozenset[str] = frozenset()
    shown_unverified: Sequence[Role] = ()
    typed: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)

    @property
    def participants_from(self) -> str | None:
        """The service whose feed says who takes part; None where this one does."""
        return next((name for name, kinds in self.follows.items() if "participant" in kinds), None)
