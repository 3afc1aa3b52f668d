from datetime import UTC, datetime

import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    ago,
    decision,
    faults,
    in_days,
    kind,
    registration,
    wrote,
)


async def test_a_participant_gets_an_id_and_a_screening_number(enrolment: Enrolment) -> None:
    site = enrolment.site()
    answer = await enrolment.post("/participants", registration(site))
    made = answer.json()
    assert wrote(answer) == (201, "created")
    assert answer.headers["location"].endswith(f"/participants/{made['id']}")
    assert answer.headers["etag"] == '"1"'
    assert (made["screening_number"], made["status"]) == (f"{site}-001", "screening")
    assert (made["participant"], made["site"], made["version"]) == (made["id"], site, 1)
    assert (made["record_status"], made["recorded_by"]) == ("entered", "investigator-1")


async def test_screening_numbers_count_at_each_site(enrolment: Enrolment) -> None:
    here, there = enrolment.site(), enrolment.site()
    numbers = [
        (await enrolment.registered(site))["screening_number"] for site in (here, here, there)
    ]
    assert numbers == [f"{here}-001", f"{here}-002", f"{there}-001"]


async def test_an_unknown_site_is_named(enrolment: Enrolment) -> None:
    answer = await enrolment.post("/participants", registration("NOWHERE"))
    assert answer.status_code == 422
    assert faults(answer) == {("/site", "unknown_site")}


async def test_another_site_is_refused(enrolment: Enrolment) -> None:
    body = registration(enrolment.site())
    answer = await enrolment.post("/participants", body, role="coordinator", sites=["GDTCM"])
    assert answer.status_code == 403


@pytest.mark.parametrize("role", ["edc", "auditor", "statistician", "safety_officer", "admin"])
async def test_only_site_staff_register(enrolment: Enrolment, role: str) -> None:
    answer = await enrolment.post("/participants", registration("GDTCM"), role=role)
    assert answer.status_code == 403


async def test_a_used_external_id_is_refused_without_saying_whose(enrolment: Enrolment) -> None:
    site = enrolment.site()
    taken = await enrolment.registered(site)
    other = enrolment.site()
    body = registration(other, external_id=taken["external_id"])
    for sites in (None, [other]):
        answer = await enrolment.post("/participants", body, sites=sites)
        assert kind(answer) == (409, "external-id-used")
        assert taken["id"] not in answer.text
        assert taken["external_id"] not in answer.text
        assert site not in answer.text


async def test_the_same_participant_again_is_unchanged(enrolment: Enrolment) -> None:
    body = registration(enrolment.site())
    made = await enrolment.made("/participants", body)
    again = await enrolment.post("/participants", body)
    assert wrote(again) == (200, "unchanged")
    assert again.json()["id"] == made["id"]


async def test_changed_content_under_a_used_id_is_refused(enrolment: Enrolment) -> None:
    body = registration(enrolment.site())
    await enrolment.made("/participants", body)
    answer = await enrolment.post("/participants", {**body, "sex": "female"})
    assert kind(answer) == (409, "external-id-used")


@pytest.mark.parametrize(
    "member", ["id", "version", "status", "hash", "screening_number", "recorded_by"]
)
async def test_members_of_the_system_are_refused(enrolment: Enrolment, member: str) -> None:
    answer = await enrolment.post("/participants", registration("GDTCM", **{member: "x"}))
    assert answer.status_code == 422
    assert {pointer for pointer, _ in faults(answer)} == {f"/{member}"}


@pytest.mark.parametrize(
    "born",
    [
        "2021-02-30",
        "0000-01-01",
        "1985-4-12",
        "1985-04",
        "19850412",
        482_112_000,
        "1985-04-12T00:00:00Z",
        "1899-12-31",
        in_days(1),
    ],
)
async def test_an_impossible_birth_date_is_refused(enrolment: Enrolment, born: object) -> None:
    answer = await enrolment.post("/participants", registration("GDTCM", birth_date=born))
    assert answer.status_code == 422
    assert {pointer for pointer, _ in faults(answer)} == {"/birth_date"}
    assert str(born) not in answer.text


async def test_only_the_site_is_required(enrolment: Enrolment) -> None:
    site = enrolment.site()
    made = await enrolment.made("/participants", {"site": site})
    assert (made["external_id"], made["birth_date"], made["sex"]) == (None, None, None)


async def test_a_source_registers_once(enrolment: Enrolment) -> None:
    site = enrolment.site()
    source = {"source_system": "edc", "source_ref": f"form-{site}"}
    body = registration(site, external_id=None, **source)
    made = await enrolment.made("/participants", body)
    again = await enrolment.post("/participants", body)
    changed = await enrolment.post("/participants", {**body, "sex": "female"})
    assert wrote(again) == (200, "unchanged")
    assert again.json()["id"] == made["id"]
    assert kind(changed) == (409, "source-already-used")


async def test_a_participant_is_read_by_either_id(enrolment: Enrolment) -> None:
    made = await enrolment.registered()
    del made["write"]
    for name in (made["id"], f"external:{made['external_id']}"):
        answer = await enrolment.get(f"/participants/{name}")
        assert answer.json() == made
        assert answer.headers["etag"]
    held = answer.headers["etag"]
    assert (await enrolment.get(f"/participants/{name}", If_None_Match=held)).status_code == 304


async def test_a_statistician_sees_no_direct_identifiers(enrolment: Enrolment) -> None:
    site = enrolment.site()
    made = await enrolment.registered(site)
    one = await enrolment.get(f"/participants/{made['id']}", role="statistician")
    listed = await enrolment.get(f"/participants?site={site}", role="statistician")
    for view in (one.json(), *listed.json()["items"]):
        assert view["screening_number"] == made["screening_number"]
        assert "external_id" not in view
        assert "birth_date" not in view


async def test_the_list_is_filtered(enrolment: Enrolment) -> None:
    site = enrolment.site()
    first, second = [await enrolment.registered(site) for _ in range(2)]

    async def listed(query: str) -> list[str]:
        answer = await enrolment.get(f"/participants?site={site}{query}")
        return [view["id"] for view in answer.json()["items"]]

    assert await listed("") == [first["id"], second["id"]]
    assert await listed("&status=screening") == [first["id"], second["id"]]
    assert await listed("&status=enrolled") == []
    assert await listed(f"&external_id={second['external_id']}") == [second["id"]]
    since = second["recorded_at"].replace("+", "%2B")
    assert await listed(f"&changed_since={since}") == [second["id"]]


async def test_whose_status_changed_has_changed(enrolment: Enrolment) -> None:
    site = enrolment.site()
    await enrolment.registered(site)
    path = await enrolment.screened(site)
    query = f"/participants?site={site}&changed_since="
    since = (await enrolment.get(path)).json()["recorded_at"]
    await enrolment.made(f"{path}/enrolment", decision())
    decided = (await enrolment.get(f"{path}/status")).json()["items"][-1]["recorded_at"]
    for moment, expected in ((since, 1), (decided, 1), (ago(hours=1), 2), (ago(hours=-1), 0)):
        listed = await enrolment.get(query + moment.replace("+", "%2B"))
        assert len(listed.json()["items"]) == expected, moment


async def test_every_screening_has_a_version(enrolment: Enrolment) -> None:
    one = await enrolment.registered()
    path = f"/participants/{one['id']}"
    failed = decision(decision="screen_fail", reason="infection")
    await enrolment.made(f"{path}/enrolment", failed)
    names = ("site", "external_id", "birth_date", "sex")
    again = await enrolment.post("/participants", {name: one[name] for name in names})
    assert wrote(again) == (200, "updated")
    versions = (await enrolment.get(f"{path}/versions")).json()["items"]
    numbers = [version["screening_number"] for version in versions]
    assert numbers == [one["screening_number"], again.json()["screening_number"]]
    assert versions[0]["external_id"] == one["external_id"]
    seen = (await enrolment.get(f"{path}/versions", role="statistician")).json()["items"]
    hidden = {"external_id", "birth_date", "source_ref"}
    assert all(hidden.isdisjoint(version) for version in seen)


async def test_a_list_is_cut_into_pages(enrolment: Enrolment) -> None:
    site = enrolment.site()
    made = [(await enrolment.registered(site))["id"] for _ in range(5)]
    found: list[str] = []
    path = f"/participants?site={site}&limit=2"
    after = ""
    for _ in range(3):
        page = await enrolment.get(f"{path}{after}")
        found += [view["id"] for view in page.json()["items"]]
        after = f"&after={page.json()['next']}"
        assert ("link" in page.headers) == (page.json()["next"] is not None)
    assert found == made
    assert page.json()["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=abc",
        "limit=1.5",
        "limit=",
        "limit=501",
        "limit=99999999999999999999",
        "after=x",
        "status=well",
        "changed_since=2021-01-01",
    ],
)
async def test_a_bad_query_is_refused(enrolment: Enrolment, query: str) -> None:
    answer = await enrolment.get(f"/participants?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_a_list_shows_only_ones_own_sites(enrolment: Enrolment) -> None:
    here, there = enrolment.site(), enrolment.site()
    await enrolment.registered(here)
    hidden = await enrolment.registered(there)
    external = hidden["external_id"]
    listed = await enrolment.get(f"/participants?external_id={external}", sites=[here])
    refused = await enrolment.get(f"/participants?site={there}", sites=[here])
    assert listed.json()["items"] == []
    assert refused.status_code == 403


async def test_the_past_knew_no_participant(enrolment: Enrolment) -> None:
    before = datetime.now(UTC).isoformat().replace("+", "%2B")
    path = f"/participants/{(await enrolment.registered())['id']}"
    assert (await enrolment.get(f"{path}?as_of={before}")).status_code == 404
    future = ago(hours=-1).replace("+", "%2B")
    assert (await enrolment.get(f"{path}?as_of={future}")).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/consents",
        "/screening",
        "/eligibility",
        "/eligibility/attestations",
        "/enrolment",
        "/status",
        "/schedule",
        "/visits",
        "/visits/W0",
        "/infusions",
        "/deviations",
    ],
)
async def test_another_sites_participant_is_as_if_unknown(enrolment: Enrolment, path: str) -> None:
    made = await enrolment.registered()
    unknown = "0190b0c8-0000-7000-8000-000000000000"
    for name in (made["id"], f"external:{made['external_id']}", unknown):
        answer = await enrolment.get(f"/participants/{name}{path}", sites=["GDTCM"])
        assert kind(answer) == (404, "not-found")


async def test_the_same_key_gets_the_same_answer(enrolment: Enrolment) -> None:
    body = registration(enrolment.site())
    key = {"Idempotency_Key": f"register-{body['external_id']}"}
    first = await enrolment.post("/participants", body, **key)
    again = await enrolment.post("/participants", body, **key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"


async def test_who_failed_screening_is_screened_again(enrolment: Enrolment) -> None:
    site = enrolment.site()
    body = registration(site)
    first = await enrolment.made("/participants", body)
    path = f"/participants/{first['id']}"
    failed = decision(decision="screen_fail", reason="infection")
    await enrolment.made(f"{path}/enrolment", failed)
    again = await enrolment.post("/participants", body)
    repeated = await enrolment.post("/participants", body)
    read = await enrolment.get(path)
    history = (await enrolment.get(f"{path}/status")).json()["items"]
    visits = (await enrolment.get(f"{path}/schedule")).json()["visits"]
    assert wrote(again) == (200, "updated")
    assert wrote(repeated) == (200, "unchanged")
    for view in (again.json(), repeated.json(), read.json()):
        assert (view["id"], view["version"]) == (first["id"], 2)
        assert (view["screening_number"], view["status"]) == (f"{site}-002", "screening")
    assert [one["status"] for one in history] == ["screening", "screen_failed", "screening"]
    assert "cancelled" not in {visit["status"] for visit in visits}


async def test_screening_again_under_another_birth_date_is_refused(enrolment: Enrolment) -> None:
    body = registration(enrolment.site())
    path = f"/participants/{(await enrolment.made('/participants', body))['id']}"
    failed = decision(decision="screen_fail", reason="infection")
    await enrolment.made(f"{path}/enrolment", failed)
    answer = await enrolment.post("/participants", {**body, "birth_date": "1985-04-13"})
    assert kind(answer) == (409, "external-id-used")
