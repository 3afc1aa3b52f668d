from typing import Any

import pytest

from tests.enrolment.enrolment_calls import (
    OTHER_STUDY,
    SMALL_STUDY,
    STUDY,
    Enrolment,
    faults,
    kind,
    wrote,
)

OPEN = {"status": "open", "places": 3}


async def at_site(enrolment: Enrolment, code: str) -> dict[str, Any]:
    listed = (await enrolment.get("/sites")).json()["items"]
    found: dict[str, Any] = next(one for one in listed if one["code"] == code)
    return found


async def test_an_administrator_sets_a_site(enrolment: Enrolment) -> None:
    site = enrolment.site()
    before = await at_site(enrolment, site)
    made = await enrolment.put(f"/sites/{site}", OPEN, role="admin")
    again = await enrolment.put(f"/sites/{site}", OPEN, role="admin")
    closed = {"status": "closed", "places": None}
    changed = await enrolment.put(f"/sites/{site}", closed, role="admin")
    after = await at_site(enrolment, site)
    assert [wrote(one)[1] for one in (made, again, changed)] == ["created", "unchanged", "updated"]
    assert (before["status"], before["places"], before["version"]) == ("open", None, 0)
    assert (after["status"], after["places"], after["version"]) == ("closed", None, 2)
    assert after["time_zone"] == "Asia/Shanghai"


@pytest.mark.parametrize("role", ["investigator", "coordinator", "edc", "auditor", "participant"])
async def test_only_administrators_set_sites(enrolment: Enrolment, role: str) -> None:
    assert (await enrolment.put("/sites/GDTCM", OPEN, role=role)).status_code == 403


@pytest.mark.parametrize(
    ("stated", "pointer"),
    [
        ({"status": "full"}, "/status"),
        ({"places": -1}, "/places"),
        ({"places": "3"}, "/places"),
        ({"time_zone": "UTC"}, "/time_zone"),
    ],
)
async def test_an_impossible_setting_is_refused(
    enrolment: Enrolment, stated: dict[str, Any], pointer: str
) -> None:
    answer = await enrolment.put("/sites/GDTCM", {**OPEN, **stated}, role="admin")
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {pointer}


async def test_unknown_and_uncovered_sites_are_not_found(enrolment: Enrolment) -> None:
    unknown = await enrolment.put("/sites/NOWHERE", OPEN, role="admin")
    other = await enrolment.put("/sites/GDTCM", OPEN, role="admin", sites=["S001"])
    assert (unknown.status_code, other.status_code) == (404, 404)


async def test_sites_listed_are_the_callers(enrolment: Enrolment) -> None:
    listed = (await enrolment.get("/sites", sites=["GDTCM"])).json()["items"]
    assert [one["code"] for one in listed] == ["GDTCM"]


async def test_the_studies_of_the_token_are_listed(enrolment: Enrolment) -> None:
    answer = await enrolment.client.get("/v1/studies", headers=_bearer(enrolment))
    numbers = {one["study"] for one in answer.json()["items"]}
    assert numbers == {STUDY, SMALL_STUDY, OTHER_STUDY}


def _bearer(enrolment: Enrolment) -> dict[str, str]:
    return {"Authorization": f"Bearer {enrolment.tokens.sign('auditor', None, None)}"}


async def test_the_protocol_is_data_with_its_sources(enrolment: Enrolment) -> None:
    answer = await enrolment.get("")
    body = answer.json()
    assert [one["code"] for one in body["visits"]][:3] == ["SCR", "W0", "W2"]
    assert len(body["criteria"]) == 47
    assert (await enrolment.get("", If_None_Match=answer.headers["etag"])).status_code == 304


async def test_a_study_that_the_token_lacks_is_not_told_of(enrolment: Enrolment) -> None:
    assert (await enrolment.get("", study="NCT11111111")).status_code in {403, 404}


async def test_a_site_is_read_with_all_its_versions(enrolment: Enrolment) -> None:
    site = enrolment.site()
    usual = await enrolment.get(f"/sites/{site}")
    assert (usual.json()["status"], usual.json()["version"]) == ("open", 0)
    assert kind(await enrolment.get(f"/sites/{site}/versions")) == (404, "not-found")
    for status in ("closed", "open"):
        await enrolment.put(f"/sites/{site}", {"status": status}, role="admin")
    now = await enrolment.get(f"/sites/{site}")
    versions = (await enrolment.get(f"/sites/{site}/versions")).json()["items"]
    assert (now.json()["status"], now.headers["ETag"]) == ("open", '"2"')
    assert [one["status"] for one in versions] == ["closed", "open"]
    for path in (f"/sites/{site}", f"/sites/{site}/versions"):
        assert kind(await enrolment.get(path, sites=["GDTCM"])) == (404, "not-found")
