"""What a decision of enrolment knows: a participant's whole file, and the study's book."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participants import Status, StatusChange, ended_on
from services.kernel.records import Recorded, Resource, Stored, is_same, refuse_used_source
from services.kernel.refusals import NotFound
from services.protocol.participation import Consent, read_consents
from services.protocol.study import Study

PARTICIPANT: Final = Resource("participant", "participant_version")
STATUS: Final = Resource("status", "status_version")
CONSENT: Final = Resource("consent", "consent_version")
SCREENING: Final = Resource("screening")
ATTESTATION: Final = Resource("attestation")
DECISION: Final = Resource("enrolment")
VISIT: Final = Resource("visit", "visit_version")
PLAN: Final = Resource("visit_plan")
INFUSION: Final = Resource("infusion", "infusion_version")
ADDRESS: Final = Resource("schedule_address", "schedule_address_version")
ANSWER: Final = Resource("deviation_answer")
SITE: Final = Resource("site")

KINDS: Final = (
    PARTICIPANT,
    STATUS,
    CONSENT,
    SCREENING,
    ATTESTATION,
    DECISION,
    VISIT,
    PLAN,
    INFUSION,
    ADDRESS,
    ANSWER,
)

PERIOD_ENDED: Final = "The treatment period ended."
"""Why follow-up begins by itself."""

_STATUS_BY_DEPARTURE: Final[Mapping[str, Status]] = {"treatment_stopped": "follow_up"}

Document = Mapping[str, Any]


@dataclass(slots=True)
class StudyBook:
    """What belongs to the study as a whole: places taken, screenings made, sites' settings.

    Counted under the lock of the study's stream, so that the last place is given once.
    """

    enrolled_by_site: dict[str, int] = field(default_factory=dict)
    screenings_by_site: dict[str, int] = field(default_factory=dict)
    participant_by_external_id: dict[str, Stored] = field(default_factory=dict)
    by_source: dict[tuple[str, str, str], Stored] = field(default_factory=dict)
    sites: dict[str, Document] = field(default_factory=dict)

    def absorb(self, recorded: Recorded) -> None:
        """Take in a change of the same batch."""
        change = recorded.change
        site = str(change.site)
        if change.resource is STATUS:
            if change.members["status"] == "enrolled":
                self.enrolled_by_site[site] = self.enrolled_by_site.get(site, 0) + 1
            if change.members["status"] == "screening":
                self.screenings_by_site[site] = self.screenings_by_site.get(site, 0) + 1
        if change.resource is PARTICIPANT and change.members.get("external_id") is not None:
            self.participant_by_external_id[change.members["external_id"]] = Stored.of(recorded)
        if change.source_system is not None and change.source_ref is not None:
            source = (change.resource.name, change.source_system, change.source_ref)
            self.by_source[source] = Stored.of(recorded)
        if change.resource is SITE:
            self.sites[change.members["code"]] = recorded.document

    def from_source(self, kind: Resource, system: str | None, ref: str | None) -> Stored | None:
        """Return the record that came from a source, whichever participant's it is."""
        return self.by_source.get((kind.name, system or "", ref or ""))


@dataclass(slots=True)
class ParticipantFile:
    """All records of one participant as they stand, by kind, in the order first recorded.

    `facts` are other services' records about the participant, `steps` all versions of the
    screening record and all attestations, as (kind, time, document); both are empty where a
    decision does not ask for them.
    """

    participant: UUID
    book: StudyBook
    records: dict[str, dict[UUID, Stored]] = field(default_factory=dict)
    facts: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    steps: list[tuple[str, datetime, dict[str, Any]]] = field(default_factory=list)

    def absorb(self, recorded: Recorded) -> None:
        """Take in a change of the same batch."""
        self.book.absorb(recorded)
        change = recorded.change
        self.records.setdefault(change.resource.name, {})[change.id] = Stored.of(recorded)

    def named(self, kind: Resource, record: UUID) -> Stored:
        """Return a record of the participant; raises NotFound."""
        stored = self.records.get(kind.name, {}).get(record)
        if stored is None:
            raise NotFound
        return stored

    def repeated(
        self, kind: Resource, order: Order, members: Mapping[str, Any], stated: Iterable[str]
    ) -> Stored | None:
        """Return the record that the order's source made before, where it states the same.

        Raises SourceAlreadyUsed where the source made another record, or one that was entered
        in error: the same again would be kept by nobody.
        """
        twin = self.book.from_source(kind, order.source_system, order.source_ref)
        if twin is None:
            return None
        is_own = twin.participant == self.participant and not twin.is_retracted
        if is_own and is_same(twin, members, stated):
            return twin
        raise refuse_used_source(twin)

    def stored(self, kind: Resource) -> list[Stored]:
        """Return the records of a kind that were not entered in error."""
        records = self.records.get(kind.name, {}).values()
        return [stored for stored in records if not stored.is_retracted]

    def documents(self, kind: Resource) -> list[dict[str, Any]]:
        """Return the documents of a kind that were not entered in error."""
        return [stored.document for stored in self.stored(kind)]

    @property
    def profile(self) -> dict[str, Any]:
        """The participant's own record; raises NotFound where there is none."""
        found = self.documents(PARTICIPANT)
        if not found:
            raise NotFound
        return found[0]

    @property
    def site(self) -> str:
        """The participant's site; raises NotFound for an unknown participant."""
        return str(self.profile["site"])

    def require_site(self, sites: frozenset[str] | None) -> str:
        """Return the site; raises NotFound where the caller does not cover it."""
        site = self.site
        if sites is not None and site not in sites:
            raise NotFound
        return site

    @property
    def consents(self) -> tuple[Consent, ...]:
        """The consents with what was taken back of each."""
        return read_consents(self.documents(CONSENT))

    @property
    def statuses(self) -> list[StatusChange]:
        """The statuses that were recorded, in order; empty for an unknown participant."""
        return [_status_change(document) for document in self.documents(STATUS)]

    @property
    def screened_again_at(self) -> datetime | None:
        """When the screening that stands was begun, where one before it failed."""
        began = [one for one in self.documents(STATUS) if one["status"] == "screening"]
        return datetime.fromisoformat(began[-1]["recorded_at"]) if len(began) > 1 else None

    def is_of_earlier_screening(self, stored: Stored) -> bool:
        """Tell whether a record was made for a screening that failed since."""
        again = self.screened_again_at
        return again is not None and datetime.fromisoformat(stored.document["recorded_at"]) < again

    @property
    def ended_on(self) -> date | None:
        """The day on which the participant left the study, if ever."""
        return ended_on(self.statuses)

    @property
    def first_infusion_at(self) -> datetime | None:
        """The start of the first infusion, if any was given."""
        first = self.first_infusion
        return None if first is None else datetime.fromisoformat(first["started_at"])

    @property
    def first_infusion(self) -> dict[str, Any] | None:
        """The record of the first infusion, if any was given."""
        given = self.documents(INFUSION)
        return min(given, key=lambda one: datetime.fromisoformat(one["started_at"]), default=None)

    def history(self, study: Study, today: date) -> list[StatusChange]:
        """Return the statuses as they follow from the records that stand.

        Treatment begins with the first infusion that was not entered in error, follow-up when
        the treatment period ends.
        """
        began = self.first_infusion_on(study)
        history: list[StatusChange] = []
        for change in self.statuses:
            if change.status != "on_treatment":
                history.append(change)
            elif began is not None:
                history.append(replace(change, date=began))
        treated = [at for at, change in enumerate(history) if change.status == "on_treatment"]
        if began is None or not treated:
            return history
        ends, after = study.treatment_ends(began), treated[-1] + 1
        until = history[after].date if after < len(history) else today
        if until > ends:
            history.insert(after, StatusChange(status="follow_up", date=ends, reason=PERIOD_ENDED))
        return history

    def changed_at(self, study: Study, today: date) -> datetime:
        """Return when the participant's own record or status last changed.

        Follow-up that begins by itself does so at the site's midnight.
        """
        moments = [
            datetime.fromisoformat(stored.document["recorded_at"])
            for kind in (PARTICIPANT, STATUS, INFUSION)
            for stored in self.records.get(kind.name, {}).values()
        ]
        for change in self.history(study, today):
            if change.reason == PERIOD_ENDED:
                first_day = change.date + timedelta(days=1)
                moments.append(datetime.combine(first_day, time.min, self.time_zone(study)))
        return max(moments)

    def first_infusion_on(self, study: Study) -> date | None:
        """Return the first infusion's date at the site, from which all targets count."""
        at = self.first_infusion_at
        return None if at is None else at.astimezone(self.time_zone(study)).date()

    def time_zone(self, study: Study) -> ZoneInfo:
        """Return the zone of the participant's site, whose calendar counts."""
        return ZoneInfo(study.site(self.site).time_zone)


def _status_change(document: Document) -> StatusChange:
    status = document["status"]
    return StatusChange(
        status=_STATUS_BY_DEPARTURE.get(status, status),
        date=date.fromisoformat(document["date"]),
        reason=document.get("reason"),
    )


def names_of(kinds: Iterable[Resource]) -> list[str]:
    """Return the kinds' names."""
    return [kind.name for kind in kinds]
