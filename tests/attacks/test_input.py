"""Bodies that no honest client sends: refused with every fault named, and nothing repeated."""

import asyncio
import gzip
import json
import time
from typing import Any, Final

import pytest

from tests.attacks.bodies import (
    adverse_event,
    consent,
    infusion,
    laboratory_result,
    pasi,
    registration,
    vas,
    visit,
)
from tests.attacks.target import MARK, SITE, Target, check_refusal, statuses_in

_LARGEST: Final = 2 * 1024 * 1024
_BOMB: Final = gzip.compress(b" " * 60_000_000)
"""60 MB in 60 KB."""


async def _refused(target: Target, path: str, body: Any, *statuses: int, **said: Any) -> Any:
    begun = time.monotonic()
    answer = await target.refuses(*statuses, method="POST", path=path, body=body, **said)
    assert time.monotonic() - begun < 5
    return answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b'{"term": "MARKqz7"',
        b'{"term": "MARKqz7",}',
        b'{"term": "MARKqz7"} // said',
        b'/* said */ {"term": "MARKqz7"}',
        b'{"term": "MARKqz7"}{"term": "MARKqz7"}',
        b'{"term": "MARKqz7", "ctcae_grade": 01}',
        b'{"term": "MARKqz7", "ctcae_grade": +1}',
        b'{"term": "MARKqz7", "ctcae_grade": 1.}',
        b'{"term": "MARKqz7", "ctcae_grade": .5}',
        b"{'term': 'MARKqz7'}",
        b'{term: "MARKqz7"}',
        b'{"term": "MARKqz7\n"}',
        b'\xef\xbb\xbf{"term": "MARKqz7"}',
        b'{"term": "MARKqz7\xff"}',
        b'{"term": "MARKqz7\xed\xa0\x80"}',
        b'{"term": "MARKqz7\xc0\xaf"}',
        '{"term": "MARKqz7"}'.encode("utf-16"),
        b'{"term": "MARKqz7\\ud800"}',
        b'{"term": "MARKqz7\\udc00\\ud800"}',
        b'{"term": "MARKqz7", "ctcae_grade": NaN}',
        b'{"term": "MARKqz7", "ctcae_grade": Infinity}',
        b'{"term": "MARKqz7", "ctcae_grade": -Infinity}',
        b'{"term": "MARKqz7", "ctcae_grade": 1e999}',
        b'{"term": "MARKqz7", "ctcae_grade": -1e999}',
        b'{"term": "MARKqz7", "ctcae_grade": 1e99999999999999999999}',
        b'{"term": "MARKqz7", "ctcae_grade": -1e-99999999999999999999}',
        b'{"term": "MARKqz7", "ctcae_grade": 0e99999999999999999999}',
        b'{"term": "MARKqz7", "ctcae_grade": 1' + b"0" * 5000 + b"}",
        b'{"term": "MARKqz7", "term": "MARKqz7"}',
        b'{"term": "MARKqz7", "t\\u0065rm": "MARKqz7"}',
        b'{"term": "x", "seriousness": {"death": true, "death": false}}',
        b'{"term": "x", "seriousness": {"death": true, "d\\u0065ath": false}}',
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_what_is_not_json_is_refused(target: Target, person: str, body: bytes) -> None:
    await _refused(target, f"{person}/adverse-events", body, 400, 422)


@pytest.mark.parametrize("text", [b"null", b"[]", b'"MARKqz7"', b"1", b"true", b"[[]]"])
async def test_a_body_is_an_object(target: Target, person: str, text: bytes) -> None:
    for path in (f"{person}/adverse-events", f"{person}/visits", f"{person}/assessments"):
        await _refused(target, path, text, 400, 422)


@pytest.mark.parametrize("depth", [33, 900, 20_000, 100_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
async def test_deep_nesting_is_refused(
    target: Target, person: str, depth: int, opening: bytes
) -> None:
    inner = opening * depth + b"1" + (b"]" if opening == b"[" else b"}") * depth
    for body in (inner, b'{"term":"x","seriousness":' + inner + b"}", opening * depth):
        for path in (f"{person}/adverse-events", f"{person}/visits"):
            await _refused(target, path, body, 400, 413, 422)


async def test_ten_thousand_members_are_refused(target: Target, person: str) -> None:
    body = {"term": "fever", **{f"{MARK}{number}": number for number in range(10_000)}}
    answer = await _refused(target, f"{person}/adverse-events", body, 400, 413, 422)
    assert len(answer.content) < 200_000
    wide = visit(assessments=[vas() for _ in range(10_000)])
    await _refused(target, f"{person}/visits", wide, 400, 413, 422)
    tall = {"term": "fever", "seriousness": {f"{MARK}{number}": True for number in range(10_000)}}
    await _refused(target, f"{person}/adverse-events", tall, 400, 413, 422)


@pytest.mark.parametrize(
    "filling",
    [
        b"[" + b"1," * 1_000_000 + b"1]",
        b"[" + b"[]," * 600_000 + b"[]]",
        b'"' + b"[" * 1_900_000 + b'"',
    ],
    ids=["numbers", "lists", "a text of brackets"],
)
async def test_a_crowd_of_values_holds_nobody_up(
    target: Target, person: str, filling: bytes
) -> None:
    body = b'{"term": "fever", "narrative": ' + filling + b"}"
    crowd = [
        asyncio.create_task(target.post(f"{person}/adverse-events", body, role="edc"))
        for _ in range(8)
    ]
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    assert (await target.get(person)).status_code == 200
    assert time.monotonic() - begun < 3
    for answer in await asyncio.gather(*crowd):
        check_refusal(answer, 400, 413, 422, 503)


_TEXTS: Final = ("term", "narrative", "soc", "other_treatment", "source_ref", "outcome", "onset")


@pytest.mark.parametrize("member", _TEXTS)
async def test_no_text_holds_a_nul(target: Target, person: str, member: str) -> None:
    body = json.dumps(adverse_event(**{member: f"{MARK}\0{MARK}"})).encode()
    answer = await _refused(target, f"{person}/adverse-events", body, 422)
    assert f"/{member}" in [fault["pointer"] for fault in answer.json()["errors"]]


async def test_a_name_of_a_member_holds_no_nul(target: Target, person: str) -> None:
    body = b'{"term": "x", "a\\u0000' + MARK.encode() + b'": 1}'
    await _refused(target, f"{person}/adverse-events", body, 422)


@pytest.mark.parametrize(
    "term",
    [
        "'; DROP TABLE safety.event; --",
        '" OR 1=1 --',
        "$1; SELECT pg_sleep(5)",
        "\\'); DELETE FROM event; --",
        "<script>alert(1)</script>",
        "{{7*7}} ${jndi:ldap://x}",
        "../../etc/passwd",
        "\u202egnp.exe",
    ],
)
async def test_what_looks_like_code_is_text(target: Target, person: str, term: str) -> None:
    made = await target.made(f"{person}/adverse-events", adverse_event(term=term))
    assert made["term"] == term
    again = await target.get(f"{person}/adverse-events/{made['id']}")
    assert again.json()["term"] == term


def _impossible() -> dict[str, tuple[str, Any, str]]:
    signs = pasi(5)
    area = pasi()
    area["answers"]["regions"]["head"] = {**signs["answers"]["regions"]["head"], "area_score": 7}
    weight = {"code": "SCR", "date": "2021-09-02"}
    return {
        "grade 0": ("adverse-events", adverse_event(ctcae_grade=0), "/ctcae_grade"),
        "grade 6": ("adverse-events", adverse_event(ctcae_grade=6), "/ctcae_grade"),
        "grade true": ("adverse-events", adverse_event(ctcae_grade=True), "/ctcae_grade"),
        "grade text": ("adverse-events", adverse_event(ctcae_grade="1"), "/ctcae_grade"),
        "grade list": ("adverse-events", adverse_event(ctcae_grade=[1]), "/ctcae_grade"),
        "grade 1.5": ("adverse-events", adverse_event(ctcae_grade=1.5), "/ctcae_grade"),
        "term number": ("adverse-events", adverse_event(term=17), "/term"),
        "term true": ("adverse-events", adverse_event(term=True), "/term"),
        "term list": ("adverse-events", adverse_event(term=[MARK]), "/term"),
        "term blank": ("adverse-events", adverse_event(term="  "), "/term"),
        "term long": ("adverse-events", adverse_event(term=MARK * 100), "/term"),
        "ongoing text": ("adverse-events", adverse_event(ongoing="true"), "/ongoing"),
        "ongoing 1": ("adverse-events", adverse_event(ongoing=1), "/ongoing"),
        "sign 5": ("assessments", signs, "/answers/regions/head/erythema"),
        "area 7": ("assessments", area, "/answers/regions/head/area_score"),
        "itch 10.1 cm": (
            "assessments",
            vas(answers={"value": 10.1, "unit": "cm"}),
            "/answers/value",
        ),
        "itch text": ("assessments", vas(answers={"value": MARK, "unit": "mm"}), "/answers/value"),
        "instrument": ("assessments", vas(instrument=MARK), "/instrument"),
        "weight 0": (
            "visits",
            visit(visit=weight, vital_signs={"weight_kg": 0}),
            "/vital_signs/weight_kg",
        ),
        "weight -70": (
            "visits",
            visit(visit=weight, vital_signs={"weight_kg": -70}),
            "/vital_signs/weight_kg",
        ),
        "weight true": (
            "visits",
            visit(visit=weight, vital_signs={"weight_kg": True}),
            "/vital_signs/weight_kg",
        ),
        "viability 101": (
            "infusions",
            infusion(viability_percent=101),
            "/viability_percent",
        ),
        "stopped first": (
            "infusions",
            infusion(stopped_at="2021-09-15T09:59:00+08:00"),
            "/stopped_at",
        ),
        "scope": ("consents", consent(scope=[MARK]), "/scope/0"),
        "no scope": ("consents", consent(scope=[]), "/scope"),
    }


@pytest.mark.parametrize("name", _impossible())
async def test_the_impossible_is_refused_where_it_stands(
    target: Target, person: str, name: str
) -> None:
    path, body, pointer = _impossible()[name]
    answer = await _refused(target, f"{person}/{path}", body, 422)
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


@pytest.mark.parametrize(
    "value",
    [
        "2021-02-30",
        "0000-01-01",
        "1985-4-12",
        "1985-04",
        "19850412",
        482112000,
        "482112000",
        "1985-04-12T00:00:00Z",
        "1985-04-12 ",
        "2150-01-01",
        "1899-12-31",
        "\u0661\u0669\u0668\u0665-04-12",
        True,
        ["1985-04-12"],
        "",
        MARK,
    ],
    ids=str,
)
async def test_a_birth_date_is_a_date(target: Target, value: Any) -> None:
    body = registration(SITE, birth_date=value)
    answer = await _refused(target, "/participants", body, 422)
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/birth_date"]


@pytest.mark.parametrize(
    "value",
    [
        "2021-09-02T09:00:00",
        "2021-09-02T24:00:00+08:00",
        "2021-09-02T23:59:60+08:00",
        "2021-09-02T09:00:00+99:99",
        "2021-09-02T09:00+08:00",
        "2021-09-02",
        1630544400,
        "1630544400",
        "2021-09-02 09:00:00+08:00",
        "2021-02-30T09:00:00+08:00",
        "now",
        MARK,
        True,
        {},
    ],
    ids=str,
)
async def test_a_time_has_an_offset(target: Target, person: str, value: Any) -> None:
    for path, body, pointer in (
        ("assessments", vas(assessed_at=value), "/assessed_at"),
        ("adverse-events", adverse_event(investigator_aware_at=value), "/investigator_aware_at"),
        ("laboratory-results", laboratory_result(collected_at=value), "/collected_at"),
        ("consents", consent(signed_at=value), "/signed_at"),
    ):
        answer = await _refused(target, f"{person}/{path}", body, 422)
        assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


def _unknown() -> dict[str, tuple[str, Any, str]]:
    region = {**pasi()["answers"]["regions"]["head"], MARK.lower(): 1}
    deep = pasi()
    deep["answers"]["regions"] = {**deep["answers"]["regions"], "head": region}
    results = laboratory_result()
    results["results"][0]["unheard"] = MARK
    part = visit()
    part["assessments"][1]["answers"]["unheard"] = MARK
    return {
        "top": ("adverse-events", adverse_event(unheard=MARK), "/unheard"),
        "within": (
            "adverse-events",
            adverse_event(seriousness={"unheard": True}),
            "/seriousness/unheard",
        ),
        "region": ("assessments", deep, f"/answers/regions/head/{MARK.lower()}"),
        "row": ("laboratory-results", results, "/results/0/unheard"),
        "visit": ("visits", visit(unheard=MARK), "/unheard"),
        "visit's visit": (
            "visits",
            visit(visit={"code": "SCR", "date": "2021-09-02", "unheard": MARK}),
            "/visit/unheard",
        ),
        "part": ("visits", part, "/assessments/1/answers/unheard"),
        "vital sign": ("visits", visit(vital_signs={"unheard": 1}), "/vital_signs/unheard"),
        "prototype": ("adverse-events", adverse_event(__proto__={"a": 1}), "/__proto__"),
    }


@pytest.mark.parametrize("name", _unknown())
async def test_a_member_nobody_defined_is_refused(target: Target, person: str, name: str) -> None:
    path, body, pointer = _unknown()[name]
    async with target.writing_nothing():
        answer = await target.post(f"{person}/{path}", body)
    assert answer.status_code == 422, answer.text
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


async def test_four_faults_are_named_at_once(target: Target, person: str) -> None:
    body = adverse_event(ctcae_grade=9, term="", onset=MARK, ongoing=MARK)
    answer = await _refused(target, f"{person}/adverse-events", body, 422)
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {
        "/ctcae_grade",
        "/term",
        "/onset",
        "/ongoing",
    }


async def test_faults_of_all_services_are_named_at_once(target: Target, person: str) -> None:
    body = visit(vital_signs={"weight_kg": -1}, adverse_events=[{"term": ""}])
    body["assessments"][0]["answers"] = pasi(5)["answers"]
    answer = await _refused(target, f"{person}/visits", body, 422)
    pointers = {fault["pointer"] for fault in answer.json()["errors"]}
    assert {
        "/vital_signs/weight_kg",
        "/adverse_events/0/term",
        "/assessments/0/answers/regions/head/erythema",
    } <= pointers


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "text/json",
        "application/json, text/plain",
        "application/json-patch+json",
        "application/x-ndjson",
        "application/jsonx",
        "",
        MARK,
    ],
)
async def test_another_media_type_is_refused(target: Target, person: str, kind: str) -> None:
    for path in (f"{person}/adverse-events", f"{person}/visits"):
        await _refused(target, path, adverse_event(), 415, Content_Type=kind)


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip", "deflate", "zstd", MARK, "GZIP"])
async def test_nothing_is_unpacked(target: Target, person: str, encoding: str) -> None:
    for path in (f"{person}/adverse-events", f"{person}/visits", "/assessments/bulk"):
        await _refused(target, path, _BOMB, 400, 413, 415, 422, Content_Encoding=encoding)


async def test_one_byte_too_many_is_refused(target: Target, person: str) -> None:
    body = json.dumps(adverse_event()).encode()
    at_most = body + b" " * (_LARGEST - len(body))
    answer = await target.post(f"{person}/adverse-events", at_most)
    assert answer.status_code == 201
    for path in (f"{person}/adverse-events", f"{person}/visits"):
        await _refused(target, path, at_most + b" ", 413)
    bulk = b"[" + b" " * (16 * 1024 * 1024) + b"]"
    await _refused(target, "/assessments/bulk", bulk, 413)


async def test_three_mebibytes_in_chunks_are_refused(target: Target, person: str) -> None:
    head = (
        f"POST /v1/studies/NCT03745417{person}/adverse-events HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {target.token('edc')}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ).encode()
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    async with target.writing_nothing():
        received = await target.raw(head + chunk * 48 + b"0\r\n\r\n")
    assert not received or statuses_in(received) == [413]


async def test_a_refusal_before_the_body_leaves_no_body_unread(target: Target) -> None:
    for _ in range(3):
        answer = await target.post("/participants", b"x" * 1_000_000, role="auditor")
        check_refusal(answer, 403)
