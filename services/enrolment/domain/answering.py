"""What a person answers to a deviation: why it happened, or what was done about it.

The deviation is derived and stored nowhere; its id is the same as long as it stands, and
the answer finds it by that.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import ANSWER, ParticipantFile
from services.kernel.records import Change, Decision, is_same, next_version, unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDeviation(Order):
    """Answer a deviation that stands."""

    deviation: UUID
    code: str
    reason: str


def answer_id(deviation: UUID) -> UUID:
    """Return the id of a deviation's one answer."""
    return uuid5(NAMESPACE_URL, f"deviations/{deviation}/answer")


def decide_answer(file: ParticipantFile, order: AnswerDeviation, now: datetime) -> Decision:
    """Keep the answer; another answer is a new version, the same again changes nothing."""
    del now
    site = file.require_site(order.sites)
    members = {"deviation": str(order.deviation), "code": order.code, "reason": order.reason}
    standing = file.records.get(ANSWER.name, {}).get(order.id)
    if standing is None:
        change = Change(
            resource=ANSWER,
            id=order.id,
            participant=order.participant,
            site=site,
            members=members,
            reason=order.reason,
        )
        return Decision(write="created", changes=(change,))
    if is_same(standing, members, members):
        return unchanged(standing)
    changed = next_version(
        ANSWER, standing, members, columns={}, reason=order.reason, action="answered"
    )
    return Decision(write="updated", changes=(changed,))
