"""Open queries: every warning of a record as it stands asks a question that somebody answers.

A query is derived and stored nowhere. Its id follows from the record, the member and the kind
of warning, so that it is the same as long as it stands, and the answer finds it by that.
Pure: every `domain/` may import it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from services.kernel.decisions import Change, Decision, Recorded, Resource, Stored
from services.kernel.exact_json import parse_json
from services.kernel.refusals import NotFound
from services.kernel.standing import is_same, next_version, unchanged

ANSWER: Final = Resource("query_answer")


@dataclass(frozen=True, slots=True)
class Asker:
    """Which service asks about records of which study."""

    study: str
    service: str

    def queries(
        self, record: object, warnings: Iterable[Mapping[str, Any]]
    ) -> dict[UUID, dict[str, str]]:
        """Return what a record's warnings ask, by the queries' ids."""
        found = {}
        for warning in warnings:
            pointer, code = warning["pointer"], warning["code"]
            name = f"queries/{self.study}/{self.service}/{record}/{code}{pointer}"
            asked = {"pointer": pointer, "code": code, "detail": warning["detail"]}
            found[uuid5(NAMESPACE_URL, name)] = asked
        return found

    def settled(self, recorded: Iterable[Recorded]) -> dict[str, Any] | None:
        """Return which queries changes raise and close; None where no record can warn."""
        changes = [one.change for one in recorded if "warnings" in one.document]
        if not changes:
            return None
        before = {key: said for one in changes for key, said in self._before(one).items()}
        after = {key: said for one in changes for key, said in self._after(one).items()}
        return {
            "raised": [{"id": key, **after[key]} for key in after if key not in before],
            "closed": [{"id": key, **before[key]} for key in before if key not in after],
        }

    def _before(self, change: Change) -> dict[UUID, dict[str, str]]:
        if change.before is None:
            return {}
        return self.queries(change.id, parse_json(change.before.encode()).get("warnings", ()))

    def _after(self, change: Change) -> dict[UUID, dict[str, str]]:
        if change.is_retracted:
            return {}
        return self.queries(change.id, change.members["warnings"])


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
