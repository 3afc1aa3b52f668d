"""The secret address under which a phone's calendar reads a schedule without a token.

Kept as a digest only, so that who reads the database cannot read the calendar. One stands
at a time: another one ends the one before.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import ADDRESS, ParticipantFile
from services.kernel.records import Change, Decision, unchanged
from services.kernel.refusals import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAddress(Order):
    """Make the calendar's address, or end it where there is no digest."""

    digest: str | None


def address_id(study: str, participant: UUID) -> UUID:
    """Return the id of a participant's one address record."""
    return uuid5(NAMESPACE_URL, f"{study}/{participant}/schedule-address")


def decide_address(file: ParticipantFile, order: SetAddress, now: datetime) -> Decision:
    """Let the new digest stand; ending an ended address changes nothing.

    Raises NotFound, also where there is no address to end.
    """
    del now
    site = file.require_site(order.sites)
    standing = file.records.get(ADDRESS.name, {}).get(order.id)
    if order.digest is None:
        if standing is None:
            raise NotFound
        if standing.document["digest"] is None:
            return unchanged(standing)
    change = Change(
        resource=ADDRESS,
        id=order.id,
        participant=order.participant,
        version=standing.version + 1 if standing else 1,
        action="revoked" if order.digest is None else "created",
        site=site,
        members={"digest": order.digest},
        columns={"digest": order.digest},
    )
    return Decision(write="updated" if standing else "created", changes=(change,))
