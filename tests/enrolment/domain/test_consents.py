from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.enrolment.domain.consents import (
    BOTH,
    AlreadyWithdrawn,
    ConsentForm,
    Signing,
    WithdrawalForm,
    consent_facts,
    decide_withdrawal,
    is_consent_late,
    is_in_force,
    require_infusion_consent,
)
from services.kernel.refusals import Impossible
from services.protocol.participation import Consent, NoConsentInForce, Withdrawal

START = datetime(2021, 9, 1, 1, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIGNED = Consent(BOTH, START)
SIGNING = Signing(scopes=BOTH, signed_at=START)
FORM = TypeAdapter(ConsentForm)


def withdrawal(hours: int, *scopes: str) -> Withdrawal:
    return Withdrawal(scopes=frozenset(scopes), withdrawn_at=START + hours * HOUR)


def standing_consents(signed: list[Consent], withdrawals: list[Withdrawal]) -> tuple[Consent, ...]:
    return tuple(
        Consent(
            consent.scopes,
            consent.signed_at,
            tuple(one for one in withdrawals if one.withdrawn_at >= consent.signed_at),
        )
        for consent in signed
    )


def test_consent_is_in_force_from_the_moment_of_signing() -> None:
    consents = standing_consents([SIGNED], [])
    assert is_in_force(consents, "data", START)
    assert not is_in_force(consents, "data", START - timedelta(seconds=1))


@pytest.mark.parametrize("scope", ["treatment", "data"])
def test_infusion_needs_consent_to_treatment_and_data(scope: str) -> None:
    require_infusion_consent(standing_consents([SIGNED], []), START)
    with pytest.raises(NoConsentInForce):
        require_infusion_consent(
            standing_consents([SIGNED], [withdrawal(1, scope)]), START + 2 * HOUR
        )


def order(hours: int, *scopes: str) -> WithdrawalForm:
    body = {
        "withdrawn_at": (START + hours * HOUR).isoformat(),
        "scope": list(scopes),
        "reason": "moved away",
    }
    return TypeAdapter(WithdrawalForm).validate_python(body)


def test_withdrawal_takes_back_what_was_given() -> None:
    assert decide_withdrawal(SIGNING, order(1, "treatment"), []) == withdrawal(1, "treatment")


def test_withdrawal_of_the_rest_is_accepted_after_a_first() -> None:
    before = [withdrawal(1, "treatment")]
    assert decide_withdrawal(SIGNING, order(2, "treatment", "data"), before).scopes == BOTH
    with pytest.raises(AlreadyWithdrawn):
        decide_withdrawal(SIGNING, order(2, "treatment"), before)


def test_impossible_withdrawal_names_all_its_faults() -> None:
    data_only = Signing(scopes=frozenset({"data"}), signed_at=START)
    with pytest.raises(Impossible) as refused:
        decide_withdrawal(data_only, order(-1, "treatment"), [])
    assert [fault.pointer for fault in refused.value.faults] == ["/scope", "/withdrawn_at"]


@pytest.mark.parametrize("scope", [[], ["money"], None])
def test_consent_covers_at_least_one_known_scope(scope: Any) -> None:
    body = {
        "document_version": "1.2",
        "signed_at": "2021-09-01T09:00:00+08:00",
        "obtained_by": "dr-li",
    }
    assert FORM.validate_python(body | {"scope": ["treatment", "data"]}).scope == BOTH
    with pytest.raises(ValidationError):
        FORM.validate_python(body | {"scope": scope})


def test_no_consent_is_unknown_and_a_withdrawn_one_is_not_signed() -> None:
    at = START + 9 * HOUR
    assert consent_facts((), at) is None
    assert consent_facts(standing_consents([SIGNED], []), START - HOUR) is None
    taken_back = consent_facts(standing_consents([SIGNED], [withdrawal(1, "treatment")]), at)
    assert taken_back is not None
    assert taken_back.signed is False


def test_first_consent_in_force_is_the_one_that_counts() -> None:
    again = Consent(BOTH, START + HOUR)
    facts = consent_facts(standing_consents([again, SIGNED], []), START + 2 * HOUR)
    assert facts is not None
    assert (facts.signed, facts.datetime) == (True, START)


def test_consent_after_the_first_procedure_is_late() -> None:
    consents = standing_consents([SIGNED], [])
    assert is_consent_late(consents, START - timedelta(seconds=1))
    assert not is_consent_late(consents, START)
    assert not is_consent_late(consents, None)
    assert not is_consent_late((), START)
