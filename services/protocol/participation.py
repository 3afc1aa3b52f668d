"""When data of a participant may be recorded: consent in force, participation not ended.

Source: rulebook sections 7 and 8 (consent, participant states); the contract's "Records,
gates, parts". What is recorded must have happened while consent of its scope was in force.
Adverse events pass no gate.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from services.kernel.refusals import Conflict, Fault, Impossible

Scope = Literal["treatment", "data"]
ENDING: Final = frozenset({"withdrawn", "lost_to_follow_up", "died", "completed"})
"""States after which nothing new happens to the participant in the study."""

CLOCK_LEEWAY: Final = timedelta(minutes=5)


class NoConsentInForce(Conflict):
    """No consent of the needed scope was in force when this happened.

    Record the consent first, or correct the time at which this happened.
    """


class ParticipationEnded(Conflict):
    """The participant had left the study when this happened.

    Correct the time at which this happened; what happened later cannot be recorded.
    """


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A consent taken back: for which scopes, from when on."""

    scopes: frozenset[str]
    withdrawn_at: datetime


@dataclass(frozen=True, slots=True)
class Consent:
    """A signed consent: for which scopes, from when on, and what was taken back of it."""

    scopes: frozenset[str]
    signed_at: datetime
    withdrawals: tuple[Withdrawal, ...] = ()

    def is_in_force(self, scope: Scope, at: datetime) -> bool:
        """Tell whether it covered the scope at a time; signing counts, withdrawal ends."""
        taken_back = any(
            scope in withdrawal.scopes and withdrawal.withdrawn_at <= at
            for withdrawal in self.withdrawals
        )
        return scope in self.scopes and self.signed_at <= at and not taken_back


@dataclass(frozen=True, slots=True)
class Participation:
    """What the gates need to know of a participant."""

    site: str
    consents: tuple[Consent, ...] = ()
    ended_on: date | None = None


def require_consent(consents: Sequence[Consent], scope: Scope, at: datetime) -> None:
    """Raise NoConsentInForce unless some consent covered the scope at that time."""
    if not any(consent.is_in_force(scope, at) for consent in consents):
        raise NoConsentInForce(f"No consent for {scope} was in force at that time.")


def require_participation(ended_on: date | None, at: datetime, time_zone: str) -> None:
    """Raise ParticipationEnded for what happened after the day on which the study was left."""
    if ended_on is not None and at.astimezone(ZoneInfo(time_zone)).date() > ended_on:
        raise ParticipationEnded("It happened after the participant had left the study.")


def require_past(pointer: str, at: datetime | None, now: datetime) -> None:
    """Raise Impossible for what has not happened yet; five minutes' leeway for clocks."""
    if at is not None and at > now + CLOCK_LEEWAY:
        fault = Fault(pointer, "in_the_future", "What is recorded must have happened.")
        raise Impossible("A time lies in the future.", faults=[fault])


def read_participation(documents: Mapping[str, Sequence[Mapping[str, Any]]]) -> Participation:
    """Return the gates' view of a participant from its documents by kind of record."""
    ended = [one["date"] for one in documents.get("status", ()) if one["status"] in ENDING]
    return Participation(
        site=documents["participant"][0]["site"],
        consents=read_consents(documents.get("consent", ())),
        ended_on=min((date.fromisoformat(day) for day in ended), default=None),
    )


def read_consents(documents: Iterable[Mapping[str, Any]]) -> tuple[Consent, ...]:
    """Return the consents that stored documents tell of, the first signed first.

    A withdrawal ends every consent signed before it; consenting again later starts anew.
    """
    standing = [one for one in documents if one["record_status"] == "entered"]
    withdrawals = [
        Withdrawal(frozenset(one["scope"]), datetime.fromisoformat(one["withdrawn_at"]))
        for document in standing
        for one in document.get("withdrawals", ())
    ]
    consents = (
        Consent(
            frozenset(document["scope"]),
            signed_at,
            tuple(one for one in withdrawals if one.withdrawn_at >= signed_at),
        )
        for document in standing
        for signed_at in [datetime.fromisoformat(document["signed_at"])]
    )
    return tuple(sorted(consents, key=lambda consent: consent.signed_at))
