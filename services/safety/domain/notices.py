"""What the sponsor's safety desk is told, as CloudEvents 1.0 (JSON, structured mode).

A notice holds ids, the class and the clock, and nothing else of a participant. Its id
follows from what it tells, so that the same fact is never told under two ids.
Source: the CloudEvents specification 1.0.2; rulebook section 8 for what is urgent.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from services.kernel.exact_json import canonical_json, stamp
from services.safety.domain.cases import Case, Document, case_clocks
from services.safety.domain.clocks import Clock
from services.safety.domain.stopping import Signal
from services.safety.domain.webhooks import NoticeType

TYPE_PREFIX: Final = "trial-events.safety."
CLASS: Final = ("classification", "serious", "suspected", "unexpected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell; `about` has the keys of a signal's facts that are told now.

    `participant` is None for what belongs to the study.
    """

    id: UUID
    type: NoticeType
    study: str
    participant: UUID | None
    subject: UUID
    time: datetime
    data: dict[str, Any]
    about: tuple[UUID, ...] = ()

    @property
    def body(self) -> bytes:
        """The CloudEvent, byte for byte as it is signed and sent."""
        return canonical_json(
            {
                "specversion": "1.0",
                "id": str(self.id),
                "source": f"/v1/studies/{self.study}",
                "type": TYPE_PREFIX + self.type,
                "subject": str(self.subject),
                "time": stamp(self.time),
                "datacontenttype": "application/json",
                "data": self.data,
            }
        )


def notices_of_version(case: Case, participant: UUID) -> Iterator[Notice]:
    """Yield what the newest version of a case is to be told for.

    That it is serious, if it was not before; and each clock that it started.
    """
    *before, newest = case.versions
    if newest["record_status"] == "retracted":
        return
    was_serious = bool(before) and before[-1]["serious"] is True
    if newest["serious"] is True and not was_serious:
        yield _serious(case, participant, newest)
    known = {clock.id_in(case.id) for clock in case_clocks(replace(case, versions=before))}
    for clock in case_clocks(case):
        if clock.id_in(case.id) not in known:
            at = _recorded_at(newest)
            yield clock_notice("clock_started", case, participant, clock, at)


def clock_notice(
    type_: NoticeType, case: Case, participant: UUID, clock: Clock, at: datetime
) -> Notice:
    """Return the notice that a clock has started, or is due soon."""
    identity = clock.id_in(case.id)
    told = _told(case, participant, case.versions[-1])
    return Notice(
        id=uuid5(identity, type_),
        type=type_,
        study=case.study.number,
        participant=participant,
        subject=case.id,
        time=at,
        data={**told, "clock": _clock(case, clock)},
    )


def signal_notice(
    study: str, signal: Signal, announced: Collection[UUID], at: datetime
) -> Notice | None:
    """Return the notice that a signal was raised, unless all its facts were told before."""
    keys = {uuid5(signal.id, str(fact.key)): fact for fact in signal.new_facts}
    new = tuple(sorted(key for key in keys if key not in announced))
    if not new:
        return None
    facts = [
        {
            "adverse_event": str(fact.adverse_event),
            "participant": str(fact.participant),
            "version": fact.version,
            "classification": fact.classification,
            "is_new": uuid5(signal.id, str(fact.key)) in new,
        }
        for fact in signal.facts
    ]
    return Notice(
        id=uuid5(signal.id, ",".join(map(str, new))),
        type="signal_raised",
        study=study,
        participant=signal.participant,
        subject=signal.id,
        time=at,
        data={
            "signal": str(signal.id),
            "rule": signal.rule,
            "scope": signal.scope,
            "proposal": signal.proposal,
            "facts": facts,
        },
        about=new,
    )


def _serious(case: Case, participant: UUID, newest: Document) -> Notice:
    clocks: Sequence[Clock] = case_clocks(case)
    told = _told(case, participant, newest)
    return Notice(
        id=uuid5(case.id, f"serious_event/{len(case.versions)}"),
        type="serious_event",
        study=case.study.number,
        participant=participant,
        subject=case.id,
        time=_recorded_at(newest),
        data={**told, "clocks": [_clock(case, clock) for clock in clocks]},
    )


def _told(case: Case, participant: UUID, version: Document) -> dict[str, Any]:
    return {
        "participant": str(participant),
        "site": case.site,
        "adverse_event": str(case.id),
        "version": len(case.versions),
        **{name: version[name] for name in CLASS},
    }


def _clock(case: Case, clock: Clock) -> dict[str, Any]:
    due = {
        "due": clock.due,
        "day0": clock.day0,
        "basis_days": clock.basis_days,
        "due_date": clock.due_date,
    }
    return {
        "id": str(clock.id_in(case.id)),
        "clock": clock.clock,
        **{name: value for name, value in due.items() if value is not None},
        "started_by_version": clock.started_by_version,
    }


def _recorded_at(version: Document) -> datetime:
    return datetime.fromisoformat(version["recorded_at"])
