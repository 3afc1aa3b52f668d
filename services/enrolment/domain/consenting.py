"""Recording consents and what participants take back of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.enrolment.domain.consents import (
    ConsentForm,
    Signing,
    WithdrawalForm,
    decide_withdrawal,
)
from services.enrolment.domain.ordering import Order
from services.enrolment.domain.participant_file import CONSENT, ParticipantFile
from services.kernel.exact_json import canonical_json
from services.kernel.records import (
    Change,
    Decision,
    RecordRetracted,
    is_same,
    next_version,
    own_members,
    retraction,
    unchanged,
)
from services.protocol.participation import Withdrawal, require_participation, require_past

STATED: Final = ("document_version", "signed_at", "obtained_by", "scope")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConsent(Order):
    """Record a consent that was signed."""

    form: ConsentForm


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawConsent(Order):
    """Record what a participant takes back of a consent."""

    form: WithdrawalForm


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractRecord(Order):
    """Retract a record that was entered in error."""

    version: int | None
    reason: str


def decide_consent(file: ParticipantFile, order: RecordConsent, now: datetime) -> Decision:
    """Accept a signed consent; the same consent again changes nothing.

    Raises NotFound, Impossible, SourceAlreadyUsed, ParticipationEnded.
    """
    site = file.require_site(order.sites)
    require_past("/signed_at", order.form.signed_at, now)
    members: dict[str, Any] = {
        "document_version": order.form.document_version,
        "signed_at": order.form.signed_at,
        "obtained_by": order.form.obtained_by,
        "scope": sorted(order.form.scope),
        "withdrawals": [],
    }
    twin = file.repeated(CONSENT, order, members, STATED)
    if twin is not None:
        return unchanged(twin)
    for stored in file.stored(CONSENT):
        if order.source_ref is None and is_same(stored, members, STATED):
            return unchanged(stored)
    time_zone = order.study.site(site).time_zone
    require_participation(file.ended_on, order.form.signed_at, time_zone)
    change = Change(
        resource=CONSENT,
        id=order.id,
        participant=order.participant,
        site=site,
        members=members,
        columns=_columns(members),
        source_system=order.source_system,
        source_ref=order.source_ref,
    )
    return Decision(write="created", changes=(change,))


def decide_consent_withdrawal(
    file: ParticipantFile, order: WithdrawConsent, now: datetime
) -> Decision:
    """Add to a consent what was taken back of it, as a new version.

    Raises NotFound, RecordRetracted, Impossible, AlreadyWithdrawn.
    """
    file.require_site(order.sites)
    stored = file.named(CONSENT, order.id)
    if stored.is_retracted:
        raise RecordRetracted
    require_past("/withdrawn_at", order.form.withdrawn_at, now)
    members = own_members(stored)
    said = {
        "withdrawn_at": order.form.withdrawn_at,
        "scope": sorted(order.form.scope),
        "reason": order.form.reason,
    }
    if canonical_json(said) in [canonical_json(before) for before in members["withdrawals"]]:
        return unchanged(stored)
    before = [
        Withdrawal(frozenset(one["scope"]), datetime.fromisoformat(one["withdrawn_at"]))
        for one in members["withdrawals"]
    ]
    signed_at = datetime.fromisoformat(members["signed_at"])
    decide_withdrawal(
        Signing(scopes=frozenset(members["scope"]), signed_at=signed_at), order.form, before
    )
    members["withdrawals"] = [*members["withdrawals"], said]
    change = next_version(
        CONSENT,
        stored,
        members,
        columns=_columns(members),
        reason=order.form.reason,
        action="withdrawn",
    )
    return Decision(write="updated", changes=(change,))


def decide_consent_retraction(
    file: ParticipantFile, order: RetractRecord, now: datetime
) -> Decision:
    """Mark a consent as entered in error; raises NotFound and Stale."""
    del now
    file.require_site(order.sites)
    stored = file.named(CONSENT, order.id)
    return retraction(
        CONSENT,
        stored,
        version=order.version,
        columns=_columns(stored.document),
        reason=order.reason,
    )


def _columns(members: Any) -> dict[str, Any]:
    at = members["signed_at"]
    return {"signed_at": at if isinstance(at, datetime) else datetime.fromisoformat(at)}
