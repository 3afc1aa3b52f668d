from typing import Any

import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    ago,
    consent,
    decision,
    faults,
    kind,
    screening,
    wrote,
)

CHANGED = {"planned_first_infusion_date": "2021-09-16", "change_reason": "moved"}


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    return f"/participants/{(await enrolment.registered())['id']}"


async def test_the_first_screening_record_needs_no_version(enrolment: Enrolment, path: str) -> None:
    answer = await enrolment.put(f"{path}/screening", screening())
    read = await enrolment.get(f"{path}/screening")
    assert wrote(answer) == (201, "created")
    assert answer.headers["etag"] == read.headers["etag"] == '"1"'
    assert read.json() == {name: at for name, at in answer.json().items() if name != "write"}
    assert read.json()["diagnosis"]["psoriasis_vulgaris"] is True
    assert read.json()["attested"] is True


async def test_a_later_screening_record_names_the_version(enrolment: Enrolment, path: str) -> None:
    await enrolment.put(f"{path}/screening", screening())
    changed = screening(**CHANGED)
    bare = await enrolment.put(f"{path}/screening", changed)
    stale = await enrolment.put(f"{path}/screening", changed, If_Match='"2"')
    weak = await enrolment.put(f"{path}/screening", changed, If_Match='W/"1"')
    silent = screening(planned_first_infusion_date="2021-09-16")
    unexplained = await enrolment.put(f"{path}/screening", silent, If_Match='"1"')
    done = await enrolment.put(f"{path}/screening", changed, If_Match='"1"')
    assert [one.status_code for one in (bare, stale, weak)] == [428, 412, 412]
    assert unexplained.status_code == 422
    assert faults(unexplained) == {("/change_reason", "change_reason_required")}
    assert wrote(done) == (200, "updated")
    versions = (await enrolment.get(f"{path}/screening/versions")).json()["items"]
    planned = [one["planned_first_infusion_date"] for one in versions]
    assert planned == ["2021-09-15", "2021-09-16"]


async def test_a_version_of_no_record_is_stale(enrolment: Enrolment, path: str) -> None:
    answer = await enrolment.put(f"{path}/screening", screening(), If_Match='"1"')
    assert answer.status_code == 412


async def test_the_same_screening_record_again_is_unchanged(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.put(f"{path}/screening", screening())
    again = await enrolment.put(f"{path}/screening", screening(), If_Match='"1"')
    assert wrote(again) == (200, "unchanged")
    assert again.headers["etag"] == '"1"'


async def test_put_replaces_the_whole_record(enrolment: Enrolment, path: str) -> None:
    await enrolment.put(f"{path}/screening", screening())
    await enrolment.put(f"{path}/screening", {"change_reason": "all wrong"}, If_Match='"1"')
    assert (await enrolment.get(f"{path}/screening")).json()["diagnosis"] is None


async def test_screening_is_read_as_it_stood(enrolment: Enrolment, path: str) -> None:
    made = (await enrolment.put(f"{path}/screening", screening())).json()
    await enrolment.put(f"{path}/screening", screening(**CHANGED), If_Match='"1"')
    then = await enrolment.get(f"{path}/screening?as_of={_quoted(made['recorded_at'])}")
    before = await enrolment.get(f"{path}/screening?as_of=2021-01-01T00:00:00Z")
    assert then.json()["planned_first_infusion_date"] == "2021-09-15"
    assert before.status_code == 404


def _quoted(at: str) -> str:
    return at.replace("+", "%2B")


async def test_no_screening_record_is_not_found(enrolment: Enrolment, path: str) -> None:
    assert (await enrolment.get(f"{path}/screening")).status_code == 404
    assert (await enrolment.get(f"{path}/screening/versions")).status_code == 404


@pytest.mark.parametrize("day", ["1900-01-28", "2199-08-01", "2199-12-31"])
async def test_a_plan_that_leaves_the_calendar_is_refused(
    enrolment: Enrolment, path: str, day: str
) -> None:
    planned = screening(planned_first_infusion_date=day)
    answer = await enrolment.put(f"{path}/screening", planned)
    assert answer.status_code == 422
    assert faults(answer) == {("/planned_first_infusion_date", "RANGE")}


@pytest.mark.parametrize("day", ["1900-01-29", "2199-07-08"])
async def test_the_furthest_plan_is_kept_and_read(
    enrolment: Enrolment, path: str, day: str
) -> None:
    furthest = screening(planned_first_infusion_date=day)
    furthest["other_trials"]["participation_end_dates"] = ["2199-12-31", "2199-12", "1900", day]
    furthest["therapies"]["records"] = [
        {"class": "topical", "last_dose_date": end, "ongoing": False}
        for end in ("2199-12-31", "2199", "1900-01-01")
    ]
    assert wrote(await enrolment.put(f"{path}/screening", furthest)) == (201, "created")
    for part in ("schedule", "schedule.ics", "visits", "eligibility", "deviations"):
        assert (await enrolment.get(f"{path}/{part}")).status_code == 200, part


@pytest.mark.parametrize(
    ("stated", "pointer"),
    [
        (
            {"first_screening_procedure_datetime": ago(hours=-1)},
            "/first_screening_procedure_datetime",
        ),
        ({"diagnosis": {"psoriasis_vulgaris": "yes"}}, "/diagnosis/psoriasis_vulgaris"),
        ({"diagnosis": {"eczema": True}}, "/diagnosis/eczema"),
        ({"severity": {"pasi": 12}}, "/severity"),
        ({"demographics": {"sex": "male"}}, "/demographics"),
        ({"psych": {"sas_index": 30}}, "/psych/sas_index"),
        ({"therapies": {"records": [{"class": "magic"}]}}, "/therapies/records/0/class"),
        ({"planned_first_infusion_date": "2021-09"}, "/planned_first_infusion_date"),
        (
            {"other_trials": {"participation_end_dates": ["2021-13"]}},
            "/other_trials/participation_end_dates/0",
        ),
    ],
)
async def test_an_impossible_screening_record_is_refused(
    enrolment: Enrolment, path: str, stated: dict[str, Any], pointer: str
) -> None:
    answer = await enrolment.put(f"{path}/screening", screening(**stated))
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {pointer}


async def test_who_failed_screening_is_not_screened_on(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    failed = decision(decision="screen_fail", reason="changed his mind")
    await enrolment.made(f"{path}/enrolment", failed)
    answer = await enrolment.put(f"{path}/screening", screening(**CHANGED), If_Match='"1"')
    assert kind(answer) == (409, "screening-over")


async def test_earlier_screening_stays_readable_when_screened_again(enrolment: Enrolment) -> None:
    one = await enrolment.registered()
    path = f"/participants/{one['id']}"
    await enrolment.put(f"{path}/screening", screening())
    failed = decision(decision="screen_fail", reason="infection")
    await enrolment.made(f"{path}/enrolment", failed)
    names = ("site", "external_id", "birth_date", "sex")
    again = await enrolment.post("/participants", {name: one[name] for name in names})
    assert again.json()["screening_number"] != one["screening_number"]
    await enrolment.put(f"{path}/screening", screening(**CHANGED), If_Match='"1"')
    versions = (await enrolment.get(f"{path}/screening/versions")).json()["items"]
    decisions = (await enrolment.get(f"{path}/enrolment")).json()["items"]
    assert len(versions) == 2
    assert [one["decision"] for one in decisions] == ["screen_fail"]
    assert decisions[0]["reason"] == "infection"


async def test_screening_again_begins_anew(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    one = (await enrolment.get(path)).json()
    attestation = {"criterion": "E10", "result": "not_met", "stated_at": decision()["decided_at"]}
    await enrolment.made(f"{path}/eligibility/attestations", attestation)
    failed = decision(decision="screen_fail", reason="infection")
    await enrolment.made(f"{path}/enrolment", failed)
    ended = (await enrolment.get(f"{path}/status")).json()["items"][-1]["recorded_at"]
    names = ("site", "external_id", "birth_date", "sex")
    await enrolment.post("/participants", {name: one[name] for name in names})
    waiting = await enrolment.post(f"{path}/enrolment", decision())
    assert kind(waiting) == (409, "not-eligible")
    then = await enrolment.get(f"{path}/eligibility?as_of={ended.replace('+', '%2B')}")
    assert then.json()["verdict"] == "eligible"
    bare = await enrolment.put(f"{path}/screening", screening(), If_Match='"1"')
    assert faults(bare) == {("/change_reason", "change_reason_required")}
    again = screening(change_reason="screened again")
    assert wrote(await enrolment.put(f"{path}/screening", again, If_Match='"1"')) == (
        200,
        "updated",
    )
    restated = await enrolment.post(f"{path}/eligibility/attestations", attestation)
    assert wrote(restated) == (201, "created")
    assert wrote(await enrolment.post(f"{path}/enrolment", decision())) == (201, "created")


async def test_a_source_makes_one_screening_record(enrolment: Enrolment, path: str) -> None:
    source = {"source_system": "edc", "source_ref": path[-12:]}
    await enrolment.put(f"{path}/screening", screening(**source))
    other = f"/participants/{(await enrolment.registered())['id']}"
    answer = await enrolment.put(f"{other}/screening", screening(**source))
    assert kind(answer) == (409, "source-already-used")


@pytest.mark.parametrize("role", ["edc", "auditor", "statistician", "safety_officer", "admin"])
async def test_only_site_staff_screen(enrolment: Enrolment, path: str, role: str) -> None:
    answer = await enrolment.put(f"{path}/screening", screening(), role=role)
    assert answer.status_code == 403


async def test_late_consent_fails_the_criterion_and_deviates(enrolment: Enrolment) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    late = consent(signed_at="2021-09-02T09:00:00+08:00")
    await enrolment.made(f"{path}/consents", late)
    await enrolment.put(f"{path}/screening", screening())
    judged = (await enrolment.get(f"{path}/eligibility")).json()
    found = (await enrolment.get(f"{path}/deviations")).json()["items"]
    assert judged["criteria"]["I3"] == "not_met"
    assert [one["code"] for one in found] == ["consent_after_first_procedure"]
    assert found[0]["date"] == "2021-09-01"
