"""The same thing twice, at once, out of order, or against the record."""

import asyncio
import csv
import io
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.attacks.bodies import (
    adverse_event,
    consent,
    decision,
    infusion,
    laboratory_result,
    pasi,
    registration,
    screening,
    vas,
    visit,
    withdrawal,
)
from tests.attacks.target import MARK, OTHER_SITE, SITE, Target, check_refusal


def _statuses(answers: list[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


@pytest.mark.parametrize("kind", ["adverse-events", "visits"])
async def test_the_same_key_gets_the_same_answer(target: Target, kind: str) -> None:
    path, key = f"{await target.consented()}/{kind}", uuid4().hex
    body: Any = adverse_event() if kind == "adverse-events" else visit()
    first = await target.post(path, body, role="edc", Idempotency_Key=key)
    assert first.status_code == 201
    for spelling in (key, f'"{key}"'):
        again = await target.post(path, body, role="edc", Idempotency_Key=spelling)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotency-replayed"] == "true"
    other = {**body, "source_system": "edc", "source_ref": uuid4().hex}
    await target.refuses(422, method="POST", path=path, body=other, role="edc", Idempotency_Key=key)
    said: Any = {"method": "POST", "path": path, "body": body, "Idempotency_Key": key}
    elsewhere = {"sites": [OTHER_SITE]}
    await target.refuses(403, 404, role="edc", claims=elsewhere, **said)
    await target.refuses(403, 404, role="auditor", **said)
    answer = await target.refuses(401, role=None, **said)
    assert "idempotency-replayed" not in answer.headers


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", '"', "a,b c"])
async def test_an_odd_key_is_refused(target: Target, person: str, key: str) -> None:
    path = f"{person}/adverse-events"
    try:
        answer = await target.post(path, {"term": MARK, "x": 1}, Idempotency_Key=key)
    except httpx.LocalProtocolError:
        return
    check_refusal(answer, 422)


@pytest.mark.parametrize("kind", ["adverse-events", "assessments", "visits"])
async def test_the_same_key_twenty_times_at_once_makes_one(target: Target, kind: str) -> None:
    person, key = await target.consented(), uuid4().hex
    body = {"adverse-events": adverse_event(), "assessments": vas(), "visits": visit()}[kind]
    before = await target.written()
    answers = await asyncio.gather(
        *(target.post(f"{person}/{kind}", body, role="edc", Idempotency_Key=key) for _ in range(20))
    )
    assert set(_statuses(answers)) <= {201, 409}
    assert _statuses(answers)[0] == 201
    for answer in answers:
        check_refusal(answer, 201, 409)
    made = [answer for answer in answers if answer.status_code == 201]
    if kind == "visits":
        assert len({answer.json()["visit"]["id"] for answer in made}) == 1
        assert (await target.written())["scoring"][0] == before["scoring"][0] + 4
    else:
        assert len({answer.content for answer in made}) == 1
        service = "safety" if kind == "adverse-events" else "scoring"
        assert (await target.written())[service][0] == before[service][0] + 1


async def test_the_same_visit_twenty_times_at_once_is_one(target: Target) -> None:
    person, body = await target.consented(), visit(adverse_events=[adverse_event()])
    before = await target.written()
    answers = await asyncio.gather(
        *(target.post(f"{person}/visits", body, role="edc") for _ in range(20))
    )
    assert set(_statuses(answers)) <= {200, 201, 409}
    assert [answer.json().get("write") for answer in answers].count("created") == 1
    after = await target.written()
    assert after["scoring"][0] - before["scoring"][0] == 4
    assert after["safety"][0] - before["safety"][0] == 2
    visits = (await target.get(f"{person}/visits")).json()["items"]
    assert [one["code"] for one in visits if one["status"] == "done"] == ["SCR"]


async def test_a_change_names_the_version_that_it_changes(target: Target) -> None:
    person = await target.consented()
    assessment = await target.made(f"{person}/assessments", vas())
    event = await target.made(f"{person}/adverse-events", adverse_event())
    assert (await target.send("PUT", f"{person}/screening", screening())).status_code == 201
    for path, body in (
        (f"{person}/assessments/{assessment['id']}", vas(change_reason="misread")),
        (f"{person}/adverse-events/{event['id']}", adverse_event(change_reason="more")),
        (f"{person}/screening", screening(change_reason="seen again")),
    ):
        await target.refuses(428, method="PUT", path=path, body=body)
        await target.refuses(428, method="PUT", path=path, body=body, If_Match="*")
        for tag in ('"0"', '"999"', '""', '"a", "b"', 'W/"1"', "1", '"1', "", f'"{MARK}"'):
            await target.refuses(412, method="PUT", path=path, body=body, If_Match=tag)


async def test_of_twenty_corrections_at_once_one_stands(target: Target) -> None:
    person = await target.consented()
    made = await target.made(f"{person}/assessments", vas())
    path = f"{person}/assessments/{made['id']}"
    answers = await asyncio.gather(
        *(
            target.send(
                "PUT",
                path,
                vas(answers={"value": value, "unit": "mm"}, change_reason="misread"),
                If_Match='"1"',
            )
            for value in range(20)
        )
    )
    assert _statuses(answers) == [200] + [412] * 19
    versions = (await target.get(f"{path}/versions")).json()["items"]
    assert [one["version"] for one in versions] == [1, 2]


@pytest.mark.parametrize(
    "reason", [{}, {"change_reason": None}, {"change_reason": ""}, {"change_reason": "  "}]
)
async def test_a_change_has_a_reason(target: Target, reason: dict[str, Any]) -> None:
    person = await target.consented()
    assessment = await target.made(f"{person}/assessments", vas())
    event = await target.made(f"{person}/adverse-events", adverse_event())
    for path, body in (
        (f"{person}/assessments/{assessment['id']}", {**pasi(), "instrument": "pasi", **reason}),
        (
            f"{person}/assessments/{assessment['id']}",
            vas(answers={"value": 7, "unit": "mm"}) | reason,
        ),
        (f"{person}/adverse-events/{event['id']}", adverse_event(term="chills") | reason),
    ):
        await target.refuses(422, method="PUT", path=path, body=body, If_Match='"1"')


async def _eligible(target: Target) -> str:
    person = await target.consented()
    await target.made(f"{person}/visits", visit(), role="edc")
    answer = await target.send("PUT", f"{person}/screening", screening())
    assert answer.status_code == 201
    return person


async def test_twenty_decisions_at_once_fill_the_places_exactly(target: Target) -> None:
    people = await asyncio.gather(*(_eligible(target) for _ in range(20)))
    answers = await asyncio.gather(
        *(target.post(f"{person}/enrolment", decision()) for person in people)
    )
    assert _statuses(answers) == [201] * 5 + [409] * 15, [one.text for one in answers[:3]]
    for answer in answers:
        check_refusal(answer, 201, 409)
    summary = (await target.get("/enrolment/summary")).json()
    assert (summary["enrolled"], summary["places"]) == (5, 5)
    enrolled = people[[answer.status_code for answer in answers].index(201)]
    other = decision(signed_by="dr-wang")
    await target.refuses(409, method="POST", path=f"{enrolled}/enrolment", body=other)
    failed = decision(decision="screen_fail", reason="x")
    await target.refuses(409, method="POST", path=f"{enrolled}/enrolment", body=failed)


async def test_without_consent_nothing_but_adverse_events(target: Target) -> None:
    never = await target.registered()
    gone = await target.consented()
    given = (await target.get(f"{gone}/consents")).json()["items"][0]
    path = f"{gone}/consents/{given['id']}/withdrawal"
    assert (await target.post(path, withdrawal())).status_code in {200, 201}
    later = {"assessed_at": "2021-10-02T09:00:00+08:00"}
    before = {"assessed_at": "2021-08-02T09:00:00+08:00"}
    for person, stated in ((never, {}), (gone, later), (await target.consented(), before)):
        await target.refuses(409, method="POST", path=f"{person}/assessments", body=vas(**stated))
        at = stated.get("assessed_at", "2021-09-02T09:00:00+08:00")
        drawn = laboratory_result(collected_at=at)
        await target.refuses(409, method="POST", path=f"{person}/laboratory-results", body=drawn)
        held = {"code": "SCR", "date": at[:10], "started_at": at}
        await target.refuses(409, method="POST", path=f"{person}/visits", body=visit(visit=held))
    for person in (never, gone):
        made = await target.made(
            f"{person}/adverse-events", {"term": "fever", "onset": "2021-10-03"}
        )
        assert made["warnings"]
    for body in ({"term": "fever"}, {"term": "fever", "onset": "2021"}):
        await target.made(f"{await target.consented()}/adverse-events", body)


async def test_a_refused_visit_keeps_its_adverse_events(target: Target) -> None:
    person = await target.registered()
    body = visit(adverse_events=[adverse_event()])
    before = await target.written()
    answer = await target.post(f"{person}/visits", body, role="edc")
    check_refusal(answer, 409)
    after = await target.written()
    assert {name: after[name][0] - before[name][0] for name in after} == {
        "enrolment": 0,
        "scoring": 0,
        "safety": 1,
    }
    assert [part["pointer"] for part in answer.json()["parts"]] == ["/adverse_events/0"]


async def test_nothing_happened_in_the_future(target: Target, person: str) -> None:
    later = "2099-09-02T09:00:00+08:00"
    held = {"code": "SCR", "date": "2099-09-02", "started_at": later}
    for path, body in (
        ("visits", visit(visit=held)),
        ("assessments", vas(assessed_at=later)),
        ("consents", consent(signed_at=later)),
        ("laboratory-results", laboratory_result(collected_at=later)),
        ("adverse-events", adverse_event(investigator_aware_at=later)),
    ):
        await target.refuses(409, 422, method="POST", path=f"{person}/{path}", body=body)


async def test_no_infusion_before_enrolment(target: Target, person: str) -> None:
    await target.refuses(409, method="POST", path=f"{person}/infusions", body=infusion())


@pytest.mark.parametrize(
    "value",
    ["2021-10-13T08:00:00", "2021-10-13", MARK, "1634112000", "", "now", "2099-01-01T00:00:00Z"],
)
async def test_the_past_has_an_offset(target: Target, person: str, value: str) -> None:
    for below in ("", "/eligibility", "/outcomes", "/screening"):
        answer = await target.get(f"{person}{below}?as_of={value}")
        check_refusal(answer, 400, 422)


@pytest.mark.parametrize(
    "limit", ["0", "-1", "abc", "1.5", "", "12345678901234567890", "501", "1000000000", MARK, "1e2"]
)
async def test_a_limit_is_a_small_number(target: Target, person: str, limit: str) -> None:
    study = ("/participants", "/adverse-events", "/audit", "/deviations")
    for path in (*study, f"{person}/assessments", f"{person}/consents"):
        answer = await target.get(f"{path}?limit={limit}", role="auditor")
        check_refusal(answer, *({422} if limit in {"501", "1000000000"} else {400, 422}))


async def test_no_cell_of_a_table_is_a_formula(target: Target) -> None:
    person = await target.consented()
    formulas = ("=cmd|' /C calc'!A0", "@SUM(1+1)", "+1+1", "-2+3", "\t=1", "\r=1")
    for at, formula in enumerate(formulas):
        source = {"source_system": f"={at}", "source_ref": f"{formula[:20]}{uuid4().hex[:6]}"}
        if "\t" in formula or "\r" in formula:
            source = {}
        made = await target.made(f"{person}/assessments", vas(**source))
        changed = vas(answers={"value": at, "unit": "mm"}, change_reason=formula, **source)
        path = f"{person}/assessments/{made['id']}"
        answer = await target.send("PUT", path, changed, If_Match='"1"')
        assert answer.status_code == 200, answer.text
        await target.made(f"{person}/adverse-events", adverse_event(term=f"{formula} x"))
    for path in ("/audit", "/adverse-events", f"{person}/assessments", "/participants"):
        answer = await target.get(path, role="auditor", Accept="text/csv")
        assert answer.status_code == 200
        for row in csv.reader(io.StringIO(answer.text)):
            for cell in row:
                assert cell[:1] not in tuple("=+-@\t\r") or _is_number(cell), cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


async def test_one_impossible_part_refuses_the_whole_visit(target: Target, person: str) -> None:
    body = visit(adverse_events=[adverse_event()])
    body["assessments"][0] = {**body["assessments"][0], "answers": pasi(5)["answers"]}
    answer = await target.refuses(422, method="POST", path=f"{person}/visits", body=body)
    assert answer.json()["errors"][0]["pointer"].startswith("/assessments/0/answers/regions")


async def test_an_external_id_is_taken_once(target: Target) -> None:
    body = registration(SITE)
    await target.made("/participants", body)
    other = {**body, "birth_date": "1990-01-01"}
    answer = await target.refuses(409, 422, method="POST", path="/participants", body=other)
    assert body["external_id"] not in answer.text
