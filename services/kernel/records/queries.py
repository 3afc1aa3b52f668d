"""Open queries: every warning of a record as it stands asks a question that somebody answers.

A query is derived and stored nowhere. Its id follows from the record, the member and the kind
of warning, so that it is the same as long as it stands, and the answer finds it by that.
Pure: every `domain/` may import it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from services.kernel.exact_json import parse_json
from services.kernel.records.changes import Change, Recorded


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
