"""Closing reporting clocks: only a safety officer does, and says why (rulebook section 8)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from services.kernel.records import Decision, is_same, unchanged
from services.kernel.refusals import Conflict, NotFound
from services.protocol.participation import require_past
from services.safety.domain.cases import Case, case_clocks, case_of
from services.safety.domain.clocks import Clock
from services.safety.domain.dossier import (
    ADVERSE_EVENT,
    CLOCK_CLOSURE,
    Dossier,
    Order,
    new_record,
    require_own_site,
)

STATED: Final = ("submitted_at", "reference", "reason")
"""The members that the safety officer states."""


class ClockClosed(Conflict):
    """The clock was closed before, in other words.

    Read the clock: its closure says by whom and why.
    """

    depends_on_facts = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseClock(Order):
    """Close a clock; `id` is the clock's, and becomes the closure's."""

    adverse_event: UUID
    submitted_at: datetime | None
    reference: str | None
    reason: str


def decide_closure(dossier: Dossier, command: CloseClock, now: datetime) -> Decision:
    """Close a clock; the same closure again changes nothing.

    Raises NotFound, Impossible, ClockClosed.
    """
    dossier.standing(ADVERSE_EVENT, command.adverse_event)
    case = case_of(dossier, command.study, command.adverse_event)
    require_own_site(command.sites, case.site)
    clock = find_clock(case, command.id)
    require_past("/submitted_at", command.submitted_at, now)
    members = {
        "adverse_event": str(command.adverse_event),
        "clock": clock.clock,
        "submitted_at": command.submitted_at,
        "reference": command.reference,
        "reason": command.reason,
    }
    if command.id in dossier.of_kind(CLOCK_CLOSURE):
        closed = dossier.standing(CLOCK_CLOSURE, command.id)
        if is_same(closed, members, STATED):
            return unchanged(closed)
        raise ClockClosed
    columns = {"adverse_event": command.adverse_event, "clock": clock.clock}
    change = new_record(CLOCK_CLOSURE, command, case.site, members, columns)
    return Decision(write="created", changes=(change,))


def find_clock(case: Case, identity: UUID) -> Clock:
    """Return the clock with this id; raises NotFound."""
    for clock in case_clocks(case):
        if clock.id_in(case.id) == identity:
            return clock
    raise NotFound
