"""Saying that a planned visit was missed, is cancelled, or is moved to another date."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import PLAN, VISIT, ParticipantFile
from services.kernel.records import Change, Decision, is_same, next_version, unchanged
from services.kernel.refusals import Conflict, Fault, Impossible


class VisitHeld(Conflict):
    """The visit was held; nothing is left to plan.

    Correct the visit by posting it again with a `change_reason`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanVisit(Order):
    """Say that a planned visit was missed, is cancelled or is moved."""

    visit: str
    status: Literal["missed", "cancelled", "planned"]
    date: date | None
    reason: str | None


def decide_plan(file: ParticipantFile, order: PlanVisit, now: datetime) -> Decision:
    """Keep why a planned visit was missed, is cancelled or is moved; the same is unchanged.

    Raises NotFound, Impossible, VisitHeld.
    """
    del now
    site = file.require_site(order.sites)
    if order.status != "planned" and order.reason is None:
        fault = Fault("/reason", "reason_required", "Say why the visit does not take place.")
        raise Impossible("A missed or cancelled visit needs a reason.", faults=[fault])
    members = {
        "visit": order.visit,
        "status": order.status,
        "date": order.date,
        "reason": order.reason,
    }
    standing = next(
        (stored for stored in file.stored(PLAN) if stored.document["visit"] == order.visit), None
    )
    if standing is not None and is_same(standing, members, members):
        return unchanged(standing)
    if any(stored.document["code"] == order.visit for stored in file.stored(VISIT)):
        raise VisitHeld
    if standing is not None:
        change = next_version(
            PLAN, standing, members, columns={}, reason=order.reason, action="planned"
        )
        return Decision(write="updated", changes=(change,))
    change = Change(
        resource=PLAN,
        id=order.id,
        participant=order.participant,
        site=site,
        visit=order.visit,
        members=members,
        reason=order.reason,
    )
    return Decision(write="created", changes=(change,))
