"""What safety knows of a participant when it decides: the records, all their versions, facts.

All versions are kept at hand, because a case's clocks follow from all that was ever stated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.kernel.records import Change, Recorded, Resource, Stored
from services.kernel.refusals import NotFound
from services.protocol.participation import Participation
from services.protocol.study import Study

ADVERSE_EVENT: Final = Resource("adverse_event", "adverse_event_version")
LABORATORY_RESULT: Final = Resource("laboratory_result", "laboratory_result_version")
CLOCK_CLOSURE: Final = Resource("clock_closure", "clock_closure_version")
KINDS: Final = (ADVERSE_EVENT, LABORATORY_RESULT, CLOCK_CLOSURE)
UNSCHEDULED: Final = "unscheduled"

Versions = dict[UUID, list[Stored]]
"""Records of one kind by id, each with its versions, the first first."""


@dataclass(frozen=True, slots=True)
class SourceReference:
    """Under which reference another system knows a record."""

    system: str
    ref: str

    @property
    def document(self) -> dict[str, str]:
        """The reference as it stands in a document."""
        return {"source_system": self.system, "source_ref": self.ref}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order about one participant; `id` is of the record that it makes or names.

    `sites` None covers all sites.
    """

    study: Study
    participant: UUID
    id: UUID
    sites: frozenset[str] | None
    source: SourceReference | None = None

    @property
    def streams(self) -> tuple[UUID, ...]:
        """Lock the participant's stream."""
        return (self.participant,)

    @property
    def named_sources(self) -> tuple[tuple[Resource, SourceReference], ...]:
        """The references under which records may exist already."""
        return ()


@dataclass(slots=True)
class Dossier:
    """A participant's safety records, and what enrolment's feed told of the participant.

    `participation` is None as long as the feed has told nothing.
    """

    participation: Participation | None = None
    infusions: tuple[datetime, ...] = ()
    has_died: bool = False
    records: dict[str, Versions] = field(default_factory=dict)
    by_source: dict[tuple[str, SourceReference], Stored] = field(default_factory=dict)

    def keep(self, resource: str, stored: Stored) -> None:
        """Add one version after those before."""
        self.records.setdefault(resource, {}).setdefault(stored.id, []).append(stored)

    def keep_source(self, resource: str, stored: Stored) -> None:
        """Remember which record a source reference made."""
        document = stored.document
        if document.get("source_ref") is not None:
            source = SourceReference(document["source_system"], document["source_ref"])
            self.by_source[resource, source] = stored

    def absorb(self, recorded: Recorded) -> None:
        """Take in a change of the same batch."""
        stored = Stored.of(recorded)
        self.keep(recorded.change.resource.name, stored)
        self.keep_source(recorded.change.resource.name, stored)

    def of_kind(self, resource: Resource) -> Versions:
        """Return the records of one kind."""
        return self.records.get(resource.name, {})

    def versions(self, resource: Resource, record: UUID) -> list[Stored]:
        """Return a record's versions, the first first; raises NotFound."""
        found = self.of_kind(resource).get(record)
        if found is None:
            raise NotFound
        return found

    def standing(self, resource: Resource, record: UUID) -> Stored:
        """Return the version that stands; raises NotFound."""
        return self.versions(resource, record)[-1]

    def from_source(self, resource: Resource, source: SourceReference | None) -> Stored | None:
        """Return the record of this kind that came from a source, if one did."""
        return None if source is None else self.by_source.get((resource.name, source))


def require_own_site(sites: frozenset[str] | None, site: str | None) -> None:
    """Raise NotFound for what belongs to a site that the caller does not cover."""
    if sites is not None and site not in sites:
        raise NotFound


def require_known(dossier: Dossier, order: Order) -> Participation:
    """Return the participation; raises NotFound where the caller may not know of it."""
    if dossier.participation is None:
        raise NotFound
    require_own_site(order.sites, dossier.participation.site)
    return dossier.participation


def new_record(
    resource: Resource,
    order: Order,
    site: str | None,
    members: dict[str, Any],
    columns: dict[str, Any],
) -> Change:
    """Return the change that makes version 1 of a record."""
    return Change(
        resource=resource,
        id=order.id,
        participant=order.participant,
        site=site,
        visit=members.get("visit"),
        members=members,
        columns=columns,
        source_system=order.source.system if order.source else None,
        source_ref=order.source.ref if order.source else None,
    )


def visits_of(study: Study) -> Sequence[str]:
    """Return the codes that a record's `visit` may have."""
    return [*(visit.code for visit in study.visits), UNSCHEDULED]
