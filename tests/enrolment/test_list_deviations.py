from typing import Any

import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    decision,
    faults,
    infusion,
    screening,
    visit,
    wrote,
)


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    path = await enrolment.enrolled()
    await enrolment.made(f"{path}/visits", visit())
    await enrolment.made(f"{path}/infusions", infusion())
    return path


async def deviations(enrolment: Enrolment, path: str, query: str = "") -> list[dict[str, Any]]:
    answer = await enrolment.get(f"{path}/deviations{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def coded(found: list[dict[str, Any]], code: str) -> list[dict[str, Any]]:
    return [one for one in found if one["code"] == code]


async def test_a_late_visit_deviates_until_it_is_corrected(enrolment: Enrolment, path: str) -> None:
    late = visit("W2", "2021-10-05")
    await enrolment.made(f"{path}/visits", late)
    [found] = coded(await deviations(enrolment, path), "visit_outside_window")
    assert (found["visit"], found["date"]) == ("W2", "2021-10-05")
    assert found["rule"]
    assert found["participant"] == path.rpartition("/")[2]
    again = coded(await deviations(enrolment, path), "visit_outside_window")
    assert [one["id"] for one in again] == [found["id"]]
    before = (await enrolment.get(f"{path}/visits/W2")).json()["recorded_at"]
    fixed = visit("W2", "2021-09-29", change_reason="wrong day")
    await enrolment.post(f"{path}/visits", fixed)
    assert coded(await deviations(enrolment, path), "visit_outside_window") == []
    then = await deviations(enrolment, path, f"?as_of={before.replace('+', '%2B')}")
    assert [one["id"] for one in coded(then, "visit_outside_window")] == [found["id"]]


async def test_missing_activities_deviate(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/visits", visit("W2", "2021-09-29", vital_signs=None))
    found = coded(await deviations(enrolment, path), "activities_missing")
    missing = {one["visit"]: set(one["detail"].split(", ")) for one in found}
    assert missing["W0"] == {"pasi", "bsa", "dlqi", "vas", "vital_signs", "laboratory"}
    assert missing["W2"] == {"pasi", "bsa", "weight", "vital_signs", "infusion"}
    signs = {"weight_kg": 68, "pulse_per_min": 70}
    weighed = visit("W2", "2021-09-29", vital_signs=signs, change_reason="entered late")
    await enrolment.post(f"{path}/visits", weighed)
    await enrolment.made(f"{path}/infusions", infusion("W2", "2021-09-29"))
    later = coded(await deviations(enrolment, path), "activities_missing")
    assert [one["detail"] for one in later if one["visit"] == "W2"] == ["pasi, bsa"]


async def test_who_stopped_treatment_misses_no_infusion(enrolment: Enrolment, path: str) -> None:
    stopped = {"status": "treatment_stopped", "date": "2021-09-20", "reason": "rash"}
    await enrolment.made(f"{path}/status", stopped)
    await enrolment.made(f"{path}/visits", visit("W2", "2021-09-29"))
    found = coded(await deviations(enrolment, path), "activities_missing")
    [missing] = [one["detail"] for one in found if one["visit"] == "W2"]
    assert "infusion" not in missing


async def test_an_assessment_after_the_infusion_deviates(enrolment: Enrolment, path: str) -> None:
    await enrolment.tell(
        path.rpartition("/")[2],
        "scoring",
        "assessment",
        instrument="pasi",
        visit="W0",
        assessed_at="2021-09-15T11:00:00+08:00",
        derived={"pasi": 3},
        answers={},
    )
    [found] = coded(await deviations(enrolment, path), "infusion_before_assessments")
    assert (found["record"]["record"], found["visit"]) == ("assessment", "W0")


async def test_what_has_no_consent_deviates(enrolment: Enrolment, path: str) -> None:
    made = (await enrolment.get(f"{path}/consents")).json()["items"][0]
    body = {"withdrawn_at": "2021-09-10T09:00:00+08:00", "scope": ["treatment", "data"]}
    await enrolment.post(f"{path}/consents/{made['id']}/withdrawal", body)
    found = coded(await deviations(enrolment, path), "without_consent")
    assert {one["record"]["record"] for one in found} == {"infusion"}


async def test_a_missed_visit_deviates(enrolment: Enrolment, path: str) -> None:
    body = {"status": "missed", "reason": "ill"}
    await enrolment.post(f"{path}/visits/W4/plan", body)
    found = coded(await deviations(enrolment, path), "visit_missed")
    assert "W4" in {one["visit"] for one in found}


async def test_a_retracted_assessment_is_not_held_against_anyone(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.tell(
        path.rpartition("/")[2],
        "scoring",
        "assessment",
        instrument="pasi",
        visit="W0",
        assessed_at="2021-09-15T11:00:00+08:00",
        derived={},
        answers={},
        record_status="retracted",
    )
    assert coded(await deviations(enrolment, path), "infusion_before_assessments") == []


async def test_the_studys_deviations_are_those_of_the_callers_sites(enrolment: Enrolment) -> None:
    site = enrolment.site()
    path = await enrolment.enrolled(site)
    await enrolment.made(f"{path}/visits", visit())
    await enrolment.made(f"{path}/infusions", infusion())
    await enrolment.made(f"{path}/visits", visit("W2", "2021-10-05"))
    own = await deviations(enrolment, path)
    at_site = await enrolment.get(f"/deviations?site={site}")
    for_site = await enrolment.get("/deviations", sites=[site])
    other = await enrolment.get(f"/deviations?site={site}", sites=["GDTCM"])
    assert at_site.json()["items"] == for_site.json()["items"] == own
    assert own
    assert other.status_code == 403


async def therapy_until(enrolment: Enrolment, path: str, day: str) -> None:
    """Let it be learnt that a cream was used until a day."""
    records = [{"class": "topical", "last_dose_date": day, "ongoing": False}]
    changed = screening(
        therapies={"history_complete": True, "records": records}, change_reason="remembered"
    )
    answer = await enrolment.put(f"{path}/screening", changed, If_Match='"1"')
    assert wrote(answer) == (200, "updated")


async def test_a_verdict_that_changes_after_enrolment_deviates(enrolment: Enrolment) -> None:
    path = await enrolment.enrolled()
    assert coded(await deviations(enrolment, path), "eligibility_changed") == []
    await therapy_until(enrolment, path, "2021-09-10")
    [found] = coded(await deviations(enrolment, path), "eligibility_changed")
    assert (found["record"]["record"], found["date"]) == ("enrolment", "2021-09-14")
    assert found["detail"] == "ineligible: E9a"
    assert (await enrolment.get(path)).json()["status"] == "enrolled"


async def test_anchors_that_move_on_day_1_may_change_the_verdict(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    await therapy_until(enrolment, path, "2021-09-01")
    await enrolment.made(f"{path}/enrolment", decision())
    await enrolment.made(f"{path}/infusions", infusion(day="2021-09-14"))
    [found] = coded(await deviations(enrolment, path), "eligibility_changed")
    judged = (await enrolment.get(f"{path}/eligibility")).json()
    washout = {value["pointer"]: value for value in judged["details"]["E9a"]["values"]}
    anchor = washout["/planned_first_infusion_date"]
    assert (found["date"], found["detail"]) == ("2021-09-14", "ineligible: E9a")
    assert judged["criteria"]["E9a"] == "met"
    assert (anchor["value"], anchor["source"]["record"]) == ("2021-09-14", "infusion")


async def test_a_later_day_1_outdates_laboratory_values(enrolment: Enrolment, path: str) -> None:
    late = await enrolment.enrolled()
    await enrolment.made(f"{late}/infusions", infusion(day="2021-10-02"))
    [found] = coded(await deviations(enrolment, late), "eligibility_changed")
    assert found["detail"].startswith("pending: ")
    assert coded(await deviations(enrolment, path), "eligibility_changed") == []


async def test_what_happens_after_day_1_changes_no_verdict(enrolment: Enrolment, path: str) -> None:
    made = (await enrolment.get(f"{path}/consents")).json()["items"][0]
    body = {"withdrawn_at": "2021-10-10T09:00:00+08:00", "scope": ["treatment", "data"]}
    await enrolment.post(f"{path}/consents/{made['id']}/withdrawal", body)
    assert coded(await deviations(enrolment, path), "eligibility_changed") == []


async def test_who_failed_screening_has_no_verdict_to_change(enrolment: Enrolment) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    failed = decision(decision="screen_fail", reason="never came")
    await enrolment.made(f"{path}/enrolment", failed)
    assert coded(await deviations(enrolment, path), "eligibility_changed") == []


async def test_a_deviation_is_answered_by_a_person(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/visits", visit("W2", "2021-10-05"))
    [late] = coded(await deviations(enrolment, path), "visit_outside_window")
    assert late["answer"] is None
    at = f"{path}/deviations/{late['id']}/answer"
    first = await enrolment.post(at, {"reason": "Storm."}, role="coordinator")
    again = await enrolment.post(at, {"reason": "Storm."}, role="coordinator")
    other = await enrolment.post(at, {"reason": "Storm; no trains."})
    [found] = coded(await deviations(enrolment, path), "visit_outside_window")
    [listed] = (await enrolment.get(f"{path}/deviation-answers")).json()["items"]
    versions = await enrolment.get(f"{path}/deviation-answers/{listed['id']}/versions")
    assert [wrote(one) for one in (first, again, other)] == [
        (201, "created"),
        (200, "unchanged"),
        (200, "updated"),
    ]
    assert found["answer"]["reason"] == "Storm; no trains."
    assert (found["answer"]["recorded_by"], found["answer"]["version"]) == ("investigator-1", 2)
    assert [one["reason"] for one in versions.json()["items"]] == ["Storm.", "Storm; no trains."]


async def test_only_a_standing_deviation_is_answered(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/visits", visit("W2", "2021-10-05"))
    [late] = coded(await deviations(enrolment, path), "visit_outside_window")
    at = f"{path}/deviations/{late['id']}/answer"
    bare = await enrolment.post(at, {})
    by_edc = await enrolment.post(at, {"reason": "Storm."}, role="edc")
    fixed = visit("W2", "2021-09-29", change_reason="wrong day")
    await enrolment.post(f"{path}/visits", fixed)
    gone = await enrolment.post(at, {"reason": "Storm."})
    assert (bare.status_code, faults(bare)) == (422, {("/reason", "required")})
    assert (by_edc.status_code, gone.status_code) == (403, 404)
    assert (await enrolment.post(f"{path}/deviations/x/answer", {"reason": "y"})).status_code == 404


async def read_all(enrolment: Enrolment, at: str, limit: int) -> list[list[str]]:
    """Return the ids of each page of a list."""
    pages: list[list[str]] = []
    after = ""
    while not pages or after:
        answer = await enrolment.get(f"{at}{'&' if '?' in at else '?'}limit={limit}{after}")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        pages.append([one["id"] for one in body["items"]])
        after = f"&after={body['next']}" if body["next"] else ""
    return pages


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
async def test_deviations_come_in_pages(enrolment: Enrolment, limit: int) -> None:
    site = enrolment.site()
    for _ in range(2):
        path = await enrolment.enrolled(site)
        for code, day in (("W0", "2021-09-16"), ("W2", "2021-10-05"), ("W4", "2021-10-20")):
            await enrolment.made(f"{path}/visits", visit(code, day))
        await enrolment.made(f"{path}/infusions", infusion())
    own = await read_all(enrolment, f"{path}/deviations", limit)
    of_site = await read_all(enrolment, f"/deviations?site={site}", limit)
    assert {len(page) for page in of_site[:-1]} <= {limit}
    listed = [one for page in of_site for one in page]
    assert len(listed) == len(set(listed)) == 12
    assert {one for page in own for one in page} == set(listed[6:])


async def test_deviations_that_vanish_hide_no_others(enrolment: Enrolment, path: str) -> None:
    for code, day in (("W2", "2021-10-05"), ("W4", "2021-10-20")):
        await enrolment.made(f"{path}/visits", visit(code, day))
    everything = [one["id"] for one in await deviations(enrolment, path)]
    first = (await enrolment.get(f"{path}/deviations?limit=2")).json()
    await enrolment.post(f"{path}/visits", visit("W2", "2021-09-29", change_reason="wrong day"))
    rest = (await enrolment.get(f"{path}/deviations?after={first['next']}")).json()["items"]
    still = {one["id"] for one in await deviations(enrolment, path)}
    seen = [one["id"] for one in (*first["items"], *rest)]
    assert set(seen) >= still & set(everything)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "after=abc"])
async def test_a_wrong_page_of_deviations_is_refused(
    enrolment: Enrolment, path: str, query: str
) -> None:
    for at in (f"{path}/deviations", "/deviations"):
        answer = await enrolment.get(f"{at}?{query}")
        assert answer.status_code == 422
        assert {where for where, _ in faults(answer)} == {query.partition("=")[0]}
