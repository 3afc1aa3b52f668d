"""Subscriptions of the sponsor's safety desk: made, changed, ended, and what is sent again.

Source: the contract's `S/webhooks`. A secret stands in its version's own column, never in the
record, which the audit trail shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from services.kernel.records import (
    Change,
    Decision,
    Recorded,
    Resource,
    Stored,
    is_same,
    next_version,
    own_members,
    require_reason,
    require_version,
    unchanged,
)
from services.kernel.refusals import Conflict, NotFound

WEBHOOK: Final = Resource("webhook", "webhook_version")
WEBHOOK_REPLAY: Final = Resource("webhook_replay")
NoticeType = Literal["serious_event", "clock_started", "clock_due_soon", "signal_raised"]
NOTICE_TYPES: Final[tuple[NoticeType, ...]] = (
    "serious_event",
    "clock_started",
    "clock_due_soon",
    "signal_raised",
)
STATED: Final = ("url", "events", "description")
"""The members that an administrator states."""
SECRET_BYTES: Final = 32


class WebhookEnded(Conflict):
    """The subscription has ended; nothing more is sent.

    Make a new subscription; it gets an id and a secret of its own.
    """

    depends_on_facts = False


class NothingToReplay(Conflict):
    """None of these deliveries has been given up or made.

    What still waits is sent by itself.
    """

    depends_on_facts = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOrder:
    """An order about one subscription; `participant` is the study's own stream."""

    participant: UUID
    id: UUID

    @property
    def streams(self) -> tuple[UUID, ...]:
        """Lock the study's stream."""
        return (self.participant,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe(WebhookOrder):
    """Send notices of these types to an address, signed with the secret."""

    url: str
    events: tuple[NoticeType, ...]
    description: str | None
    secret: bytes

    @property
    def members(self) -> dict[str, Any]:
        """What the record states."""
        return {"url": self.url, "events": list(self.events), "description": self.description}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeWebhook(Subscribe):
    """Replace what a subscription states, for a reason; its secret stays."""

    secret: bytes = b""
    version: int | None
    change_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndWebhook(WebhookOrder):
    """End a subscription."""

    version: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateSecret(WebhookOrder):
    """Give a subscription a new secret; the one before signs too for a while."""

    secret: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayDeliveries(WebhookOrder):
    """Send deliveries again; `deliveries` None names all that were given up."""

    webhook: UUID
    deliveries: tuple[UUID, ...] | None
    reason: str


@dataclass(slots=True)
class WebhookFile:
    """A study's subscriptions, and the state of the deliveries that an order may name."""

    webhooks: dict[UUID, Stored]
    status_by_delivery: Mapping[UUID, str] = field(default_factory=dict)

    def absorb(self, recorded: Recorded) -> None:
        """Take in a change of the same batch."""
        if recorded.change.resource == WEBHOOK:
            self.webhooks[recorded.change.id] = Stored.of(recorded)

    def standing(self, webhook: UUID) -> Stored:
        """Return the subscription as it stands; raises NotFound."""
        if webhook not in self.webhooks:
            raise NotFound
        return self.webhooks[webhook]


def decide_subscription(file: WebhookFile, command: Subscribe, now: datetime) -> Decision:
    """Make a subscription."""
    del file, now
    change = Change(
        resource=WEBHOOK,
        id=command.id,
        participant=command.participant,
        members={**command.members, "status": "active", "secret_number": 1},
        columns={"secret": command.secret},
    )
    return Decision(write="created", changes=(change,))


def decide_change(file: WebhookFile, command: ChangeWebhook, now: datetime) -> Decision:
    """Change a subscription; the same content again changes nothing.

    Raises NotFound, Stale, ChangeReasonRequired, WebhookEnded.
    """
    del now
    stored = file.standing(command.id)
    require_version(stored, command.version)
    reason = require_reason(command.change_reason)
    if is_same(stored, command.members, STATED):
        return unchanged(stored)
    _require_active(stored)
    members = {**own_members(stored), **command.members}
    return _next(stored, members, reason, "corrected")


def decide_end(file: WebhookFile, command: EndWebhook, now: datetime) -> Decision:
    """End a subscription; twice is unchanged.

    Raises NotFound and Stale.
    """
    del now
    stored = file.standing(command.id)
    if stored.document["status"] == "ended":
        return unchanged(stored)
    require_version(stored, command.version)
    return _next(stored, {**own_members(stored), "status": "ended"}, command.reason, "ended")


def decide_rotation(file: WebhookFile, command: RotateSecret, now: datetime) -> Decision:
    """Give a subscription its next secret.

    Raises NotFound and WebhookEnded.
    """
    del now
    stored = file.standing(command.id)
    _require_active(stored)
    members = own_members(stored)
    members["secret_number"] += 1
    return _next(stored, members, command.reason, "rotated", secret=command.secret)


def decide_replay(file: WebhookFile, command: ReplayDeliveries, now: datetime) -> Decision:
    """Order that deliveries are sent again.

    Raises NotFound, WebhookEnded, and NothingToReplay where all still wait to be sent.
    """
    del now
    _require_active(file.standing(command.webhook))
    states = file.status_by_delivery
    if command.deliveries is None:
        wanted = [at for at, status in states.items() if status == "dead"]
    else:
        if not states.keys() >= set(command.deliveries):
            raise NotFound
        wanted = [at for at in command.deliveries if states[at] != "pending"]
    if not wanted:
        raise NothingToReplay
    change = Change(
        resource=WEBHOOK_REPLAY,
        id=command.id,
        participant=command.participant,
        members={
            "webhook": str(command.webhook),
            "deliveries": [str(delivery) for delivery in wanted],
            "reason": command.reason,
        },
    )
    return Decision(write="created", changes=(change,))


def _require_active(stored: Stored) -> None:
    if stored.document["status"] == "ended":
        raise WebhookEnded


def _next(
    stored: Stored, members: Mapping[str, Any], reason: str, action: str, **columns: Any
) -> Decision:
    change = next_version(WEBHOOK, stored, members, columns=columns, reason=reason, action=action)
    return Decision(write="updated", changes=(change,))
