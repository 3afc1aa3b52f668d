"""Records as they stand while a batch decides, and the decisions that every kind shares."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from services.kernel.exact_json import canonical_json
from services.kernel.records.changes import Change, Decision, Recorded, Resource, Stored
from services.kernel.refusals import Conflict, Fault, Impossible, NotFound, Stale

STAMPS: Final = frozenset(
    {
        "id",
        "participant",
        "site",
        "version",
        "recorded_at",
        "recorded_by",
        "record_status",
        "source_system",
        "source_ref",
    }
)
"""Members that the writer gives a record; the rest are the record's own."""


class SourceAlreadyUsed(Conflict):
    """Another record came from this source reference.

    Correct that record with `PUT`, or send this one under a reference of its own.
    """

    depends_on_facts = False


class RecordRetracted(Conflict):
    """The record was retracted and takes no corrections.

    Record it anew; what was retracted stays as it is.
    """

    depends_on_facts = False


class ChangeReasonRequired(Impossible):
    """A change needs a reason.

    Send the change again with `change_reason`.
    """


class Standing:
    """The records that a batch's commands name, kept current while it decides."""

    def __init__(self, stored: Iterable[Stored] = ()) -> None:
        self._by_id: dict[UUID, Stored] = {}
        self._by_source: dict[tuple[str, str], UUID] = {}
        for one in stored:
            self._keep(one, one.document)

    def _keep(self, stored: Stored, document: Mapping[str, Any]) -> None:
        self._by_id[stored.id] = stored
        if document.get("source_ref") is not None:
            self._by_source[document["source_system"], document["source_ref"]] = stored.id

    def absorb(self, recorded: Recorded) -> None:
        """Take in a change of the same batch."""
        self._keep(Stored.of(recorded), recorded.document)

    def by_id(self, participant: UUID, record: UUID) -> Stored:
        """Return the participant's record; raises NotFound."""
        stored = self._by_id.get(record)
        if stored is None or stored.participant != participant:
            raise NotFound
        return stored

    def of(self, participant: UUID) -> list[Stored]:
        """Return the participant's records among those named."""
        return [one for one in self._by_id.values() if one.participant == participant]

    def by_source(self, system: str | None, ref: str | None) -> Stored | None:
        """Return the record that came from this source, if one did."""
        if system is None or ref is None:
            return None
        return self._by_id.get(self._by_source.get((system, ref), UUID(int=0)))


def own_members(stored: Stored) -> dict[str, Any]:
    """Return a stored record's members without the writer's stamps."""
    return {name: value for name, value in stored.document.items() if name not in STAMPS}


def is_same(stored: Stored, members: Mapping[str, Any], stated: Iterable[str]) -> bool:
    """Tell whether the stated members have the same content as the stored ones."""
    standing = stored.document
    names = list(stated)
    return canonical_json([standing.get(name) for name in names]) == canonical_json(
        [members.get(name) for name in names]
    )


def unchanged(stored: Stored) -> Decision:
    """Return the decision that nothing is to be added."""
    return Decision(write="unchanged", standing=stored.body)


def require_version(stored: Stored, version: int | None) -> None:
    """Raise Stale unless the caller names the standing version; None names none."""
    if version is not None and version != stored.version:
        raise Stale("The record has changed since; read it again.")


def require_reason(reason: str | None, pointer: str = "/change_reason") -> str:
    """Return the reason; raises ChangeReasonRequired."""
    if reason is None or not reason.strip():
        fault = Fault(pointer, "change_reason_required", "Say why the record changes.")
        raise ChangeReasonRequired("A change needs a reason.", faults=[fault])
    return reason


def refuse_used_source(stored: Stored) -> SourceAlreadyUsed:
    """Return the refusal that names the record which the source reference made."""
    return SourceAlreadyUsed(f"The reference belongs to record {stored.id}, with other content.")


def correction(
    resource: Resource,
    stored: Stored,
    members: Mapping[str, Any],
    *,
    columns: Mapping[str, Any],
    reason: str,
) -> Decision:
    """Return the decision that adds the next version; raises RecordRetracted."""
    if stored.is_retracted:
        raise RecordRetracted
    change = next_version(resource, stored, members, columns=columns, reason=reason)
    return Decision(write="updated", changes=(change,))


def retraction(
    resource: Resource,
    stored: Stored,
    *,
    version: int | None,
    columns: Mapping[str, Any],
    reason: str,
) -> Decision:
    """Return the decision that retracts a record entered in error; twice is unchanged."""
    if stored.is_retracted:
        return unchanged(stored)
    require_version(stored, version)
    change = next_version(
        resource, stored, own_members(stored), columns=columns, reason=reason, is_retracted=True
    )
    return Decision(write="updated", changes=(change,))


def next_version(
    resource: Resource,
    stored: Stored,
    members: Mapping[str, Any],
    *,
    columns: Mapping[str, Any],
    reason: str | None,
    action: str = "corrected",
    is_retracted: bool = False,
) -> Change:
    """Return the change that adds a version after the standing one."""
    document = stored.document
    return Change(
        resource=resource,
        id=stored.id,
        participant=stored.participant,
        version=stored.version + 1,
        action="retracted" if is_retracted else action,
        site=stored.site,
        visit=members.get("visit"),
        members=members,
        columns=columns,
        reason=reason,
        source_system=document.get("source_system"),
        source_ref=document.get("source_ref"),
        is_retracted=is_retracted,
        before=stored.body,
    )
