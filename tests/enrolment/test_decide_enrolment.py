import asyncio
from itertools import cycle
from typing import Any

import pytest

from tests.enrolment.enrolment_calls import (
    SMALL_STUDY,
    Enrolment,
    ago,
    consent,
    decision,
    faults,
    kind,
    screening,
    wrote,
)


async def test_who_is_eligible_is_enrolled_by_a_signed_decision(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    answer = await enrolment.post(f"{path}/enrolment", decision())
    made = answer.json()
    listed = (await enrolment.get(f"{path}/enrolment")).json()["items"]
    statuses = (await enrolment.get(f"{path}/status")).json()["items"]
    assert wrote(answer) == (201, "created")
    assert (made["verdict"], made["status"], made["signed_by"]) == ("eligible", "enrolled", "dr-li")
    assert len(made["criteria"]) == 47
    assert [one["id"] for one in listed] == [made["id"]]
    assert [(one["status"], one["date"]) for one in statuses][1:] == [("enrolled", "2021-09-14")]
    assert (await enrolment.get(path)).json()["status"] == "enrolled"


async def test_the_same_decision_again_is_unchanged(enrolment: Enrolment) -> None:
    path = await enrolment.enrolled()
    again = await enrolment.post(f"{path}/enrolment", decision())
    other = await enrolment.post(f"{path}/enrolment", decision(signed_by="dr-wang"))
    assert wrote(again) == (200, "unchanged")
    assert kind(other) == (409, "already-enrolled")


async def test_a_source_decides_once(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    source = {"source_system": "edc", "source_ref": path[-12:]}
    await enrolment.made(f"{path}/enrolment", decision(**source))
    again = await enrolment.post(f"{path}/enrolment", decision(**source))
    assert wrote(again) == (200, "unchanged")


async def test_unknown_criteria_refuse_enrolment_and_are_named(enrolment: Enrolment) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    await enrolment.made(f"{path}/consents", consent())
    answer = await enrolment.post(f"{path}/enrolment", decision())
    assert kind(answer) == (409, "not-eligible")
    assert "pending" in answer.json()["detail"]
    assert "I1a" in answer.json()["detail"]


async def test_failed_criteria_refuse_enrolment_and_are_named(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    changed = screening(change_reason="seen again")
    changed["diagnosis"]["guttate"] = True
    await enrolment.put(f"{path}/screening", changed, If_Match='"1"')
    answer = await enrolment.post(f"{path}/enrolment", decision())
    assert kind(answer) == (409, "not-eligible")
    assert "ineligible" in answer.json()["detail"]
    assert "E1a" in answer.json()["detail"]


@pytest.mark.parametrize("scope", ["treatment", "data"])
async def test_enrolment_needs_consent_in_force(enrolment: Enrolment, scope: str) -> None:
    path = await enrolment.screened()
    made = (await enrolment.get(f"{path}/consents")).json()["items"][0]
    body = {"withdrawn_at": "2021-09-13T09:00:00+08:00", "scope": [scope]}
    await enrolment.post(f"{path}/consents/{made['id']}/withdrawal", body)
    answer = await enrolment.post(f"{path}/enrolment", decision())
    assert kind(answer)[0] == 409
    assert kind(answer)[1] in {"no-consent-in-force", "not-eligible"}


async def test_a_closed_site_enrols_nobody(enrolment: Enrolment) -> None:
    site = enrolment.site()
    path = await enrolment.screened(site)
    await enrolment.put(f"/sites/{site}", {"status": "closed", "places": None}, role="admin")
    answer = await enrolment.post(f"{path}/enrolment", decision())
    await enrolment.put(f"/sites/{site}", {"status": "open", "places": None}, role="admin")
    later = await enrolment.post(f"{path}/enrolment", decision())
    assert kind(answer) == (409, "site-closed")
    assert wrote(later) == (201, "created")


async def test_a_site_enrols_as_many_as_it_has_places(enrolment: Enrolment) -> None:
    site = enrolment.site()
    paths = [await enrolment.screened(site) for _ in range(2)]
    await enrolment.put(f"/sites/{site}", {"status": "open", "places": 1}, role="admin")
    first = await enrolment.post(f"{paths[0]}/enrolment", decision())
    second = await enrolment.post(f"{paths[1]}/enrolment", decision())
    assert wrote(first) == (201, "created")
    assert kind(second) == (409, "study-full")


async def test_the_last_place_is_taken_exactly_once(enrolment: Enrolment, twin: Enrolment) -> None:
    """Fifty decisions at once, at two processes that share nothing but the database."""
    site = enrolment.site()
    paths = await asyncio.gather(*(enrolment.screened(site) for _ in range(50)))
    await enrolment.put(f"/sites/{site}", {"status": "open", "places": 1}, role="admin")
    answers = await asyncio.gather(
        *(
            process.post(f"{path}/enrolment", decision())
            for path, process in zip(paths, cycle((enrolment, twin)), strict=False)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    refused = {kind(answer) for answer in answers if answer.status_code == 409}
    assert refused == {(409, "study-full")}
    numbers = (await enrolment.get("/enrolment/summary", sites=[site])).json()["by_site"][site]
    assert (numbers["enrolled"], numbers["in_screening"]) == (1, 49)


async def test_a_study_enrols_as_many_as_it_has_places(
    enrolment: Enrolment, twin: Enrolment
) -> None:
    paths = await asyncio.gather(*(enrolment.screened(study=SMALL_STUDY) for _ in range(8)))
    answers = await asyncio.gather(
        *(
            process.post(f"{path}/enrolment", decision(), study=SMALL_STUDY)
            for path, process in zip(paths, cycle((enrolment, twin)), strict=False)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [409] * 3
    summary = (await enrolment.get("/enrolment/summary", study=SMALL_STUDY)).json()
    assert (summary["enrolled"], summary["in_screening"], summary["places"]) == (5, 3, 5)


async def test_screening_numbers_are_given_once_by_all_processes(
    enrolment: Enrolment, twin: Enrolment
) -> None:
    site = enrolment.site()
    for _ in range(5):
        await asyncio.gather(
            *(process.registered(site, study=SMALL_STUDY) for process in (enrolment, twin) * 2)
        )
    listed = (await enrolment.get("/participants", sites=[site], study=SMALL_STUDY)).json()["items"]
    numbers = sorted(one["screening_number"] for one in listed)
    assert numbers == [f"{site}-{ordinal:03d}" for ordinal in range(1, 21)]


async def test_a_screen_failure_states_its_reason(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    bare = await enrolment.post(f"{path}/enrolment", decision(decision="screen_fail"))
    failed = decision(decision="screen_fail", reason="infection")
    done = await enrolment.post(f"{path}/enrolment", failed)
    after = await enrolment.post(f"{path}/enrolment", decision())
    assert bare.status_code == 422
    assert faults(bare) == {("/reason", "reason_required")}
    assert (done.json()["status"], done.json()["reason"]) == ("screen_failed", "infection")
    assert kind(after) == (409, "screening-ended")


async def test_a_screen_failure_needs_neither_consent_nor_verdict(enrolment: Enrolment) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    failed = decision(decision="screen_fail", reason="never came")
    assert wrote(await enrolment.post(f"{path}/enrolment", failed)) == (201, "created")


@pytest.mark.parametrize(
    ("stated", "pointer"),
    [
        ({"decided_at": ago(hours=-1)}, "/decided_at"),
        ({"decision": "maybe"}, "/decision"),
        ({"signed_by": None}, "/signed_by"),
        ({"verdict": "eligible"}, "/verdict"),
    ],
)
async def test_an_impossible_decision_is_refused(
    enrolment: Enrolment, stated: dict[str, Any], pointer: str
) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    answer = await enrolment.post(f"{path}/enrolment", decision(**stated))
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {pointer}


@pytest.mark.parametrize("role", ["coordinator", "edc", "auditor", "safety_officer", "admin"])
async def test_only_investigators_decide(enrolment: Enrolment, role: str) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    answer = await enrolment.post(f"{path}/enrolment", decision(), role=role)
    assert answer.status_code == 403


async def test_another_sites_participant_is_not_found(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    answer = await enrolment.post(f"{path}/enrolment", decision(), sites=["GDTCM"])
    assert answer.status_code == 404
