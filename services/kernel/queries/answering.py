"""The rule by which a query is answered. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from services.kernel.records import (
    Asker,
    Change,
    Decision,
    Recorded,
    Resource,
    Stored,
    is_same,
    next_version,
    unchanged,
)
from services.kernel.refusals import NotFound

ANSWER: Final = Resource("query_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerQuery:
    """Answer a query about a record of a participant."""

    asker: Asker
    participant: UUID
    site: str | None
    query: UUID
    record: UUID
    reason: str

    @property
    def id(self) -> UUID:
        """The id of a query's one answer."""
        return answer_id(self.query)

    @property
    def streams(self) -> tuple[UUID, ...]:
        """Lock the participant's stream."""
        return (self.participant,)


def answer_id(query: UUID) -> UUID:
    """Return the id of a query's one answer."""
    return uuid5(NAMESPACE_URL, f"queries/{query}/answer")


@dataclass(slots=True)
class QueryDossier:
    """The records that queries are about, and the answers that stand."""

    records: dict[UUID, Stored]
    answers: dict[UUID, Stored]

    def absorb(self, recorded: Recorded) -> None:
        """Take in a change of the same batch."""
        kept = self.answers if recorded.change.resource == ANSWER else self.records
        kept[recorded.change.id] = Stored.of(recorded)


def decide_answer(dossier: QueryDossier, order: AnswerQuery, now: datetime) -> Decision:
    """Keep the answer; another answer is a new version, the same again changes nothing.

    Raises NotFound for a query that the record no longer asks.
    """
    del now
    record = dossier.records.get(order.record)
    document = {} if record is None or record.is_retracted else record.document
    asked = order.asker.queries(order.record, document.get("warnings", ())).get(order.query)
    if asked is None:
        raise NotFound
    members = {
        "query": str(order.query),
        "record": str(order.record),
        "record_version": document["version"],
        "pointer": asked["pointer"],
        "code": asked["code"],
        "reason": order.reason,
    }
    standing = dossier.answers.get(order.id)
    if standing is None:
        change = Change(
            resource=ANSWER,
            id=order.id,
            participant=order.participant,
            site=order.site,
            visit=document.get("visit"),
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
