from typing import Any

import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    ago,
    consent,
    faults,
    infusion,
    kind,
    screening,
    wrote,
)

WITHDRAWAL = {"withdrawn_at": "2021-10-01T09:00:00+08:00", "scope": ["treatment"]}


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    return f"/participants/{(await enrolment.registered())['id']}"


async def test_a_consent_is_recorded_and_read(enrolment: Enrolment, path: str) -> None:
    answer = await enrolment.post(f"{path}/consents", consent(), role="coordinator")
    made = answer.json()
    assert wrote(answer) == (201, "created")
    assert answer.headers["location"].endswith(f"{path}/consents/{made['id']}")
    del made["write"]
    one = await enrolment.get(f"{path}/consents/{made['id']}")
    versions = await enrolment.get(f"{path}/consents/{made['id']}/versions")
    assert (await enrolment.get(f"{path}/consents")).json()["items"] == [made]
    assert versions.json()["items"] == [made]
    assert (one.json(), one.headers["etag"]) == (made, '"1"')
    assert made["obtained_by"] == "dr-li"
    assert made["recorded_by"] == "coordinator-1"


async def test_the_same_consent_again_is_unchanged(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/consents", consent())
    again = await enrolment.post(f"{path}/consents", consent(scope=["data", "treatment"]))
    other = await enrolment.post(f"{path}/consents", consent(document_version="1.3"))
    assert wrote(again) == (200, "unchanged")
    assert wrote(other) == (201, "created")


async def test_a_source_names_one_consent(enrolment: Enrolment, path: str) -> None:
    source = {"source_system": "edc", "source_ref": path[-12:]}
    made = await enrolment.made(f"{path}/consents", consent(**source))
    again = await enrolment.post(f"{path}/consents", consent(**source))
    changed = await enrolment.post(f"{path}/consents", consent(**source, scope=["data"]))
    other = f"/participants/{(await enrolment.registered())['id']}"
    elsewhere = await enrolment.post(f"{other}/consents", consent(**source))
    assert wrote(again) == (200, "unchanged")
    assert kind(changed) == kind(elsewhere) == (409, "source-already-used")
    assert made["id"] in changed.json()["detail"]


@pytest.mark.parametrize(
    ("stated", "pointer"),
    [
        ({"signed_at": ago(hours=-1)}, "/signed_at"),
        ({"signed_at": "2021-09-01T09:00:00"}, "/signed_at"),
        ({"signed_at": "2021-09-01T24:00:00+08:00"}, "/signed_at"),
        ({"signed_at": "2021-09-01"}, "/signed_at"),
        ({"signed_at": 1_630_458_000}, "/signed_at"),
        ({"scope": []}, "/scope"),
        ({"scope": ["treatment", "everything"]}, "/scope/1"),
        ({"obtained_by": ""}, "/obtained_by"),
        ({"obtained_by": "a\u0000b"}, "/obtained_by"),
        ({"withdrawals": []}, "/withdrawals"),
        ({"source_ref": "alone"}, ""),
    ],
)
async def test_an_impossible_consent_is_refused(
    enrolment: Enrolment, path: str, stated: dict[str, Any], pointer: str
) -> None:
    answer = await enrolment.post(f"{path}/consents", consent(**stated))
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {pointer}
    assert (await enrolment.get(f"{path}/consents")).json()["items"] == []


async def test_all_faults_are_named(enrolment: Enrolment, path: str) -> None:
    body = {"document_version": 1, "signed_at": "x", "scope": ["all"], "extra": True}
    answer = await enrolment.post(f"{path}/consents", body)
    assert {at for at, _ in faults(answer)} == {
        "/document_version",
        "/signed_at",
        "/scope/0",
        "/obtained_by",
        "/extra",
    }


async def test_a_withdrawal_is_a_new_version(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/consents", consent())
    at = f"{path}/consents/{made['id']}"
    answer = await enrolment.post(f"{at}/withdrawal", {**WITHDRAWAL, "reason": "tired"})
    again = await enrolment.post(f"{at}/withdrawal", {**WITHDRAWAL, "reason": "tired"})
    versions = (await enrolment.get(f"{at}/versions")).json()["items"]
    assert wrote(answer) == (200, "updated")
    assert wrote(again) == (200, "unchanged")
    assert [len(one["withdrawals"]) for one in versions] == [0, 1]
    assert versions[1]["withdrawals"] == [{**WITHDRAWAL, "reason": "tired"}]


async def test_what_was_withdrawn_cannot_be_withdrawn(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/consents", consent())
    at = f"{path}/consents/{made['id']}/withdrawal"
    await enrolment.post(at, WITHDRAWAL)
    later = {**WITHDRAWAL, "withdrawn_at": "2021-10-02T09:00:00+08:00"}
    assert kind(await enrolment.post(at, later)) == (409, "already-withdrawn")
    assert wrote(await enrolment.post(at, {**later, "scope": ["data"]})) == (200, "updated")


@pytest.mark.parametrize(
    ("stated", "fault"),
    [
        ({"withdrawn_at": "2021-08-31T09:00:00+08:00"}, ("/withdrawn_at", "before_signing")),
        ({"withdrawn_at": ago(hours=-1)}, ("/withdrawn_at", "in_the_future")),
        ({"scope": ["data"]}, ("/scope", "scope_not_given")),
    ],
)
async def test_an_impossible_withdrawal_is_refused(
    enrolment: Enrolment, path: str, stated: dict[str, Any], fault: tuple[str, str]
) -> None:
    made = await enrolment.made(f"{path}/consents", consent(scope=["treatment"]))
    at = f"{path}/consents/{made['id']}/withdrawal"
    answer = await enrolment.post(at, {**WITHDRAWAL, **stated})
    assert answer.status_code == 422
    assert faults(answer) == {fault}


async def test_a_retracted_consent_is_not_in_force(enrolment: Enrolment) -> None:
    path = await enrolment.enrolled()
    made = (await enrolment.get(f"{path}/consents")).json()["items"][0]
    at = f"{path}/consents/{made['id']}"
    reason = {"reason": "wrong participant"}
    bare = await enrolment.post(f"{at}/retraction", reason)
    stale = await enrolment.post(f"{at}/retraction", reason, If_Match='"2"')
    done = await enrolment.post(f"{at}/retraction", reason, If_Match='"1"')
    again = await enrolment.post(f"{at}/retraction", reason, If_Match='"1"')
    refused = await enrolment.post(f"{path}/infusions", infusion())
    assert (bare.status_code, stale.status_code) == (428, 412)
    assert wrote(done) == (200, "updated")
    assert wrote(again) == (200, "unchanged")
    assert (await enrolment.get(at)).json()["record_status"] == "retracted"
    assert kind(refused) == (409, "no-consent-in-force")


async def test_a_retracted_consent_takes_no_withdrawal(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/consents", consent())
    at = f"{path}/consents/{made['id']}"
    await enrolment.post(f"{at}/retraction", {"reason": "wrong"}, If_Match='"1"')
    answer = await enrolment.post(f"{at}/withdrawal", WITHDRAWAL)
    assert kind(answer) == (409, "record-retracted")


async def test_withdrawing_data_ends_screening(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    made = (await enrolment.get(f"{path}/consents")).json()["items"][0]
    body = {"withdrawn_at": "2021-09-10T09:00:00+08:00", "scope": ["data"]}
    await enrolment.post(f"{path}/consents/{made['id']}/withdrawal", body)
    changed = screening(planned_first_infusion_date="2021-09-16", change_reason="moved")
    answer = await enrolment.put(f"{path}/screening", changed, If_Match='"1"')
    assert kind(answer) == (409, "no-consent-in-force")


@pytest.mark.parametrize("role", ["edc", "auditor", "statistician", "participant", "admin"])
async def test_only_site_staff_record_consents(enrolment: Enrolment, path: str, role: str) -> None:
    answer = await enrolment.post(f"{path}/consents", consent(), role=role)
    assert answer.status_code == 403


async def test_a_consent_of_another_participant_is_unknown(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.made(f"{path}/consents", consent())
    other = f"/participants/{(await enrolment.registered())['id']}/consents/{made['id']}"
    assert (await enrolment.get(other)).status_code == 404
    assert (await enrolment.post(f"{other}/withdrawal", WITHDRAWAL)).status_code == 404
    assert (await enrolment.get(f"{path}/consents/no-id")).status_code == 404


async def test_consent_is_signed_before_the_end(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    left = {"status": "withdrawn", "date": "2021-09-20", "reason": "moved"}
    await enrolment.made(f"{path}/status", left)
    late = consent(document_version="1.3", signed_at="2021-09-21T09:00:00+08:00")
    early = consent(document_version="1.3", signed_at="2021-09-19T09:00:00+08:00")
    refused = await enrolment.post(f"{path}/consents", late)
    assert kind(refused) == (409, "participation-ended")
    assert wrote(await enrolment.post(f"{path}/consents", early)) == (201, "created")
