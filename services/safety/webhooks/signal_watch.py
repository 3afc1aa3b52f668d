"""Finds the signals that nobody was told of, without reading the whole study each time.

The facts that rules look at are kept in memory by participant, and read again only for those
of whom something changed.
"""

import asyncio
from collections.abc import Collection
from datetime import datetime
from itertools import chain
from uuid import UUID

from services.kernel.storage import Connection
from services.protocol.study import Study
from services.safety.domain.notices import Notice, signal_notice
from services.safety.domain.signals import safety_facts
from services.safety.domain.stopping import SafetyFact, derive_signals
from services.safety.facts import read_dossiers
from services.safety.webhooks.outbox import announced_facts


class SignalWatch:
    """What one study's stopping rules look at, as the ticker last saw it."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._facts: dict[UUID, tuple[SafetyFact, ...]] = {}
        self._infusions: dict[UUID, int] = {}
        self._told = -1
        self._announced: set[UUID] | None = None

    async def look(
        self, connection: Connection, reported: Collection[UUID], now: datetime
    ) -> list[Notice]:
        """Return a notice of each signal with facts that were not told.

        `reported` are the participants with a new version of an adverse event. After the
        notices are kept, `told` must be called.
        """
        changed = set(reported)
        if self._announced is None:
            self._announced = await announced_facts(connection, self._study.number)
            changed = await self._everybody(connection)
        told = await self._position_told(connection)
        if told != self._told:
            changed |= await self._infused(connection, changed)
            self._told = told
        if not changed:
            return []
        dossiers = await read_dossiers(connection, self._study.number, changed)
        for participant in changed:
            own = {participant: dossiers[participant]}
            # In a thread: a long record would hold up whoever writes meanwhile.
            facts = await asyncio.to_thread(
                lambda known: tuple(safety_facts(known, self._study)), own
            )
            self._facts[participant] = facts
        signals = derive_signals(self._study, chain.from_iterable(self._facts.values()))
        found = (signal_notice(self._study.number, one, self._announced, now) for one in signals)
        return [notice for notice in found if notice is not None]

    def told(self, notices: Collection[Notice]) -> None:
        """Remember what was told."""
        if self._announced is not None:
            self._announced.update(key for notice in notices for key in notice.about)

    async def _everybody(self, connection: Connection) -> set[UUID]:
        rows = await connection.fetch(
            "SELECT DISTINCT participant FROM adverse_event_version WHERE study = $1",
            self._study.number,
        )
        return {row["participant"] for row in rows}

    async def _position_told(self, connection: Connection) -> int:
        """Return how much other services' feeds have told."""
        position: int = await connection.fetchval(
            "SELECT coalesce(sum(position), 0)::bigint FROM followed WHERE study = $1",
            self._study.number,
        )
        return position

    async def _infused(self, connection: Connection, reported: set[UUID]) -> set[UUID]:
        """Return those of whose infusions the feed has told something new."""
        rows = await connection.fetch(
            "SELECT participant, count(*) AS told FROM fact WHERE study = $1 "
            "AND resource = 'infusion' AND participant = ANY($2::uuid[]) GROUP BY participant",
            self._study.number,
            list(reported | self._facts.keys()),
        )
        told = {row["participant"]: row["told"] for row in rows}
        changed = {at for at, count in told.items() if self._infusions.get(at) != count}
        self._infusions = told
        return changed
