"""Written consent: what it covers, from when to when, and what needs it (rulebook 6 and 8).

What is in force when is the protocol's rule (`services.protocol.participation`), because
more than one service gates by it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as form

from services.enrolment.domain.eligibility_facts import ConsentFacts
from services.kernel.refusals import Conflict, Fault, Impossible
from services.kernel.values import Code, Instant, Name, Reason
from services.protocol.participation import Consent, Scope, Withdrawal, require_consent

CLOSED = ConfigDict(extra="forbid")
BOTH: Final[frozenset[Scope]] = frozenset({"treatment", "data"})

Scopes = Annotated[frozenset[Scope], Field(min_length=1)]


class AlreadyWithdrawn(Conflict):
    """The consent was withdrawn before.

    Read the consent: its `withdrawals` say what was taken back when.
    """


@form(frozen=True, kw_only=True, config=CLOSED)
class ConsentForm:
    """A consent signed on paper, and who obtained it."""

    document_version: Code
    signed_at: Instant
    obtained_by: Name
    scope: Scopes
    source_system: Code | None = None
    source_ref: Code | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class WithdrawalForm:
    """What a participant takes back, from when on."""

    withdrawn_at: Instant
    scope: Scopes
    reason: Reason | None = None
    source_system: Code | None = None
    source_ref: Code | None = None


@dataclass(frozen=True, kw_only=True)
class Signing:
    """A consent as it was signed."""

    scopes: frozenset[str]
    signed_at: datetime


def decide_withdrawal(
    signing: Signing, order: WithdrawalForm, before: Iterable[Withdrawal]
) -> Withdrawal:
    """Return the withdrawal of a consent's scopes, given those recorded before.

    Raises Impossible for a scope never given or a time before the signing, AlreadyWithdrawn
    where nothing is left to take back.
    """
    faults = []
    if not order.scope <= signing.scopes:
        detail = "Only what the consent covers can be withdrawn."
        faults.append(Fault("/scope", "scope_not_given", detail))
    if order.withdrawn_at < signing.signed_at:
        detail = "A consent cannot be withdrawn before it is signed."
        faults.append(Fault("/withdrawn_at", "before_signing", detail))
    if faults:
        raise Impossible("The withdrawal cannot be so.", faults=faults)
    taken_back = frozenset[str]().union(*(withdrawal.scopes for withdrawal in before))
    if order.scope <= taken_back:
        raise AlreadyWithdrawn("Every scope named was withdrawn before.")
    return Withdrawal(scopes=order.scope, withdrawn_at=order.withdrawn_at)


def is_in_force(consents: Iterable[Consent], scope: Scope, at: datetime) -> bool:
    """Tell whether some consent covered the scope at a time."""
    return any(consent.is_in_force(scope, at) for consent in consents)


def require_infusion_consent(consents: Sequence[Consent], at: datetime) -> None:
    """Raise NoConsentInForce unless treatment and data were both consented to at that time."""
    for scope in sorted(BOTH):
        require_consent(consents, scope, at)


def consent_facts(consents: Sequence[Consent], at: datetime) -> ConsentFacts | None:
    """Return what inclusion by consent is judged from, at a time.

    That is the first consent to treatment in force; where all were withdrawn, `signed` is
    false; `None` where none was ever signed, which is unknown.
    """
    signed = sorted(
        (c for c in consents if "treatment" in c.scopes and c.signed_at <= at),
        key=lambda consent: consent.signed_at,
    )
    if not signed:
        return None
    standing = [consent for consent in signed if consent.is_in_force("treatment", at)]
    if not standing:
        return ConsentFacts(signed=False, datetime=signed[-1].signed_at)
    return ConsentFacts(signed=True, datetime=standing[0].signed_at)


def is_consent_late(consents: Iterable[Consent], first_procedure_at: datetime | None) -> bool:
    """Tell whether screening began before any consent was signed; equal times are fine."""
    if first_procedure_at is None:
        return False
    first = min((consent.signed_at for consent in consents), default=None)
    return first is not None and first > first_procedure_at
