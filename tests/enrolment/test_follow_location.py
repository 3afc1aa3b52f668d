"""Whatever a write makes is read at its Location, under the tag that the write gave."""

from typing import Any, Final

import pytest

from tests.enrolment.enrolment_calls import (
    STUDY,
    Enrolment,
    consent,
    decision,
    infusion,
    registration,
    screening,
    visit,
)

LEFT: Final = {"status": "withdrawn", "date": "2021-09-20", "reason": "moved"}
STATED: Final = {"criterion": "E10", "result": "not_met", "stated_at": "2021-09-14T09:00:00+08:00"}
MISSED: Final = {"status": "missed", "reason": "fever"}


async def read_again(enrolment: Enrolment, answer: Any, role: str = "investigator") -> None:
    made = answer.json()
    assert (answer.status_code, made.pop("write")) == (201, "created"), answer.text
    path = answer.headers["Location"].removeprefix(f"/v1/studies/{STUDY}")
    read = await enrolment.get(path, role=role)
    assert read.status_code == 200, path
    found = read.json()
    names = ("id", "version", "recorded_at", "recorded_by", "record_status", "participant")
    assert [found[name] for name in names] == [made[name] for name in names]
    assert answer.headers["ETag"] == f'"{made["version"]}"'
    held = await enrolment.get(path, role=role, If_None_Match=read.headers["ETag"])
    assert (held.status_code, held.content) == (304, b"")
    versions = await enrolment.get(f"{path}/versions", role=role)
    assert [one["version"] for one in versions.json()["items"]] == [1]


async def test_a_participant(enrolment: Enrolment) -> None:
    answer = await enrolment.post("/participants", registration(enrolment.site()))
    await read_again(enrolment, answer)


@pytest.mark.parametrize(
    ("below", "body"),
    [
        ("consents", consent(signed_at="2021-09-02T09:00:00+08:00")),
        ("eligibility/attestations", STATED),
        ("enrolment", decision()),
        ("status", LEFT),
    ],
)
async def test_a_record_of_screening(
    enrolment: Enrolment, below: str, body: dict[str, Any]
) -> None:
    path = await enrolment.screened()
    await read_again(enrolment, await enrolment.post(f"{path}/{below}", body))


async def test_a_screening_record(enrolment: Enrolment) -> None:
    path = f"/participants/{(await enrolment.registered())['id']}"
    await read_again(enrolment, await enrolment.put(f"{path}/screening", screening()))


async def test_records_of_treatment(enrolment: Enrolment) -> None:
    path = await enrolment.enrolled()
    await read_again(enrolment, await enrolment.post(f"{path}/infusions", infusion()))
    await read_again(enrolment, await enrolment.post(f"{path}/visits/W2/plan", MISSED))
    await enrolment.made(f"{path}/visits", visit())
    [deviation, *_] = (await enrolment.get(f"{path}/deviations")).json()["items"]
    answers = f"{path}/deviations/{deviation['id']}/answer"
    await read_again(enrolment, await enrolment.post(answers, {"reason": "the clinic was shut"}))


async def test_a_sites_settings(enrolment: Enrolment) -> None:
    path = f"/sites/{enrolment.site()}"
    answer = await enrolment.put(path, {"status": "closed"}, role="admin")
    assert answer.headers["Location"] == f"/v1/studies/{STUDY}{path}"
    assert (await enrolment.get(path)).headers["ETag"] == answer.headers["ETag"]
