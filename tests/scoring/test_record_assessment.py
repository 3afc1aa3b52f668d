from decimal import Decimal
from typing import Any

import pytest

from tests.scoring.scoring_calls import (
    OTHER_SITE,
    REGIONS,
    Scoring,
    assessment,
    faults,
    identity,
    kind,
    pasi,
    region,
    source,
    valid,
    wrote,
)

DLQI = {str(item): 1 for item in range(1, 11) if item != 7}


@pytest.fixture(scope="module")
async def path(scoring: Scoring) -> str:
    return await scoring.consented()


@pytest.mark.parametrize(
    ("instrument", "derived"),
    [
        ("pasi", {"pasi": 6, "pasi_tenths": 60, "complete": True, "meets_trial_pasi_gt_7": False}),
        ("bsa", {"bsa_percent": 16}),
        ("dlqi", {"total": 9, "band": "moderate", "missing_items": [7], "item7_score": None}),
        ("vas", {"vas_mm": 41, "category": "moderate"}),
        ("sas", {"raw": 35, "index": 43, "exceeds_cutoff": False}),
        ("sds", {"raw": 50, "index": 62, "exceeds_cutoff": True}),
    ],
)
async def test_each_instrument_is_scored_and_keeps_its_answers(
    scoring: Scoring, path: str, instrument: str, derived: dict[str, Any]
) -> None:
    body = valid(instrument)
    made = await scoring.assessed(path, body)
    assert {name: made["derived"][name] for name in derived} == derived
    assert made["answers"] == body["answers"]
    assert made["rule"].endswith("/1")
    assert made["warnings"] == []
    assert (made["version"], made["record_status"], made["assessor"]) == (1, "entered", "dr-li")
    assert (made["recorded_by"], made["site"]) == ("investigator-1", "GDTCM")


async def test_a_new_record_says_where_it_stands(scoring: Scoring, path: str) -> None:
    answer = await scoring.post(f"{path}/assessments", pasi())
    assert wrote(answer) == (201, "created")
    location = answer.headers["Location"]
    assert location.endswith(f"{path}/assessments/{answer.json()['id']}")
    assert answer.headers["ETag"] == '"1"'
    read = await scoring.get(location.partition(scoring.study)[2])
    of_the_write = {"write", "queries"}
    assert read.json() == {k: v for k, v in answer.json().items() if k not in of_the_write}
    held = await scoring.get(location.partition(scoring.study)[2], If_None_Match='"1"')
    assert held.status_code == 304


async def test_a_region_left_out_leaves_the_score_unknown(scoring: Scoring, path: str) -> None:
    body = pasi()
    del body["answers"]["regions"]["trunk"]
    made = await scoring.assessed(path, body)
    assert made["derived"]["pasi"] is None
    assert made["derived"]["missing"] == ["trunk"]


async def test_contradictory_regions_are_kept_with_warnings(scoring: Scoring, path: str) -> None:
    body = pasi()
    body["answers"]["regions"]["head"] = region(3, 0)
    body["answers"]["regions"]["trunk"] = region(0, 2)
    made = await scoring.assessed(path, body)
    assert {(one["pointer"], one["code"]) for one in made["warnings"]} == {
        ("/answers/regions/head", "AREA_ZERO_WITH_SEVERITY"),
        ("/answers/regions/trunk", "AREA_WITHOUT_SEVERITY"),
    }
    assert made["derived"]["pasi_tenths"] == 36


async def test_percents_give_the_area_scores_and_the_body_surface(
    scoring: Scoring, path: str
) -> None:
    body = pasi()
    for one in body["answers"]["regions"].values():
        one["area_percent"], one["area_score"] = Decimal("29.5"), None
    made = await scoring.assessed(path, body)
    assert made["derived"]["pasi_tenths"] == 40
    assert made["derived"]["bsa_percent_from_regions"] == 29.5


async def test_values_not_stated_are_unknown_and_never_zero(scoring: Scoring, path: str) -> None:
    vas = await scoring.assessed(path, assessment("vas", {"value": None, "unit": "mm"}))
    bsa = await scoring.assessed(path, assessment("bsa", {}))
    sas = await scoring.assessed(path, assessment("sas", {"answers": [None] + [1] * 19}))
    assert vas["derived"]["vas_mm"] is None
    assert bsa["derived"]["bsa_percent"] is None
    assert sas["derived"]["index"] is None


@pytest.mark.parametrize(("ticked", "codes"), [(2, []), (3, ["SDS_ITEM_19"]), (4, ["SDS_ITEM_19"])])
async def test_item_19_of_the_sds_alerts_from_3(
    scoring: Scoring, path: str, ticked: int, codes: list[str]
) -> None:
    body = valid("sds")
    body["answers"]["answers"][18] = ticked
    made = await scoring.assessed(path, body, role="edc")
    assert [one["code"] for one in made["warnings"]] == codes
    assert all(one["pointer"] == "/answers/answers/18" for one in made["warnings"])
    assert len(made["queries"]["raised"]) == len(codes)
    query = f"/queries?participant={identity(path)}&code=SDS_ITEM_19&status=open"
    listed = (await scoring.get(query, role="investigator")).json()["items"]
    assert (made["id"] in {one["record"]["id"] for one in listed}) is bool(codes)


async def test_item_19_alerts_whatever_else_is_missing(scoring: Scoring, path: str) -> None:
    made = await scoring.assessed(
        path, assessment("sds", {"answers": [*[None] * 18, 4, None]}), role="edc"
    )
    assert made["derived"]["index"] is None
    assert [one["code"] for one in made["warnings"]] == ["SDS_ITEM_19"]
    (query,) = made["queries"]["raised"]
    one = f"{path}/assessments/{made['id']}"
    milder = assessment("sds", {"answers": [1] * 20}, change_reason="ticked wrongly")
    corrected = (await scoring.put(one, milder, If_Match='"1"')).json()
    assert (corrected["warnings"], corrected["queries"]["closed"]) == ([], [query])


async def test_item_19_of_the_sas_is_no_alert(scoring: Scoring, path: str) -> None:
    made = await scoring.assessed(path, assessment("sas", {"answers": [4] * 20}))
    assert made["warnings"] == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            assessment("pasi", {"regions": {"head": region(5, 7)}}),
            {
                ("/answers/regions/head/erythema", "head.erythema:RANGE"),
                ("/answers/regions/head/area_score", "head.area_score:RANGE"),
            },
        ),
        (
            assessment("pasi", {"regions": {"head": region(1, 2, area_percent=50)}}),
            {("/answers/regions/head/area_percent", "head.area:MISMATCH")},
        ),
        (
            assessment("pasi", {"regions": {"head": {**region(), "erythema": Decimal("1.5")}}}),
            {("/answers/regions/head/erythema", "head.erythema:NOT_INTEGER")},
        ),
        (
            assessment("pasi", {"regions": {"head": region(True, 2)}}),  # noqa: FBT003
            {("/answers/regions/head/erythema", "head.erythema:TYPE")},
        ),
        (assessment("pasi", {}), {("/answers/regions", "MISSING")}),
        (
            assessment("pasi", {"regions": {"neck": region()}}),
            {("/answers/regions/neck", "unknown_member")},
        ),
        (assessment("vas", {"value": 7}), {("/answers/unit", "unit:MISSING")}),
        (
            assessment("vas", {"value": Decimal("10.1"), "unit": "cm"}),
            {("/answers/value", "value:RANGE")},
        ),
        (assessment("bsa", {"percent": 101}), {("/answers/percent", "percent:RANGE")}),
        (
            assessment("dlqi", {"items": {**DLQI, "1": "NR", "3": 4}}),
            {
                ("/answers/items/1", "1:NOT_RELEVANT_NOT_OFFERED"),
                ("/answers/items/3", "3:RANGE"),
            },
        ),
        (assessment("sas", {"answers": [1] * 19}), {("/answers/answers", "LENGTH")}),
        (
            assessment("sds", {"answers": [0] + [1] * 19}),
            {("/answers/answers/0", "1:RANGE")},
        ),
        (
            pasi(visit="W99") | {"instrument": "pain"},
            {("/visit", "unknown_visit"), ("/instrument", "unknown_instrument")},
        ),
        (pasi(visit="W99"), {("/visit", "unknown_visit")}),
        (pasi(assessed_at="2021-09-02"), {("/assessed_at", "instant")}),
        (pasi(assessed_at="2100-01-01T00:00:00Z"), {("/assessed_at", "in_the_future")}),
        (pasi() | {"score": 3}, {("/score", "unknown_member")}),
        (pasi(assessor=" "), {("/assessor", "blank")}),
        (pasi(source_ref="alone"), {("", "source")}),
    ],
)
async def test_impossible_values_are_all_named(
    scoring: Scoring, path: str, body: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    refused = await scoring.post(f"{path}/assessments", body)
    assert refused.status_code == 422
    assert faults(refused) == expected


async def test_the_same_source_and_content_is_unchanged(scoring: Scoring, path: str) -> None:
    body = pasi() | source()
    first = await scoring.assessed(path, body)
    again = await scoring.post(f"{path}/assessments", body)
    assert wrote(again) == (200, "unchanged")
    assert (again.json()["id"], again.json()["version"]) == (first["id"], 1)


async def test_the_same_source_with_other_content_names_the_record(
    scoring: Scoring, path: str
) -> None:
    body = pasi() | source()
    first = await scoring.assessed(path, body)
    other = await scoring.post(f"{path}/assessments", {**pasi(1, 1), **source(body["source_ref"])})
    assert kind(other) == (409, "source-already-used")
    assert first["id"] in other.json()["detail"]


async def test_a_source_belongs_to_one_participant(scoring: Scoring, path: str) -> None:
    body = pasi() | source()
    await scoring.assessed(path, body)
    other = await scoring.post(f"{await scoring.consented()}/assessments", body)
    assert kind(other) == (409, "source-already-used")


async def test_a_key_gives_the_first_answer_again(scoring: Scoring, path: str) -> None:
    first = await scoring.post(f"{path}/assessments", pasi(), Idempotency_Key="same-1")
    again = await scoring.post(f"{path}/assessments", pasi(), Idempotency_Key='"same-1"')
    other = await scoring.post(f"{path}/assessments", pasi(1, 1), Idempotency_Key="same-1")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert kind(other) == (422, "key-reused")


async def test_without_consent_nothing_is_recorded(scoring: Scoring) -> None:
    refused = await scoring.post(f"{await scoring.known()}/assessments", pasi())
    assert kind(refused) == (409, "no-consent-in-force")


async def test_what_was_before_the_consent_is_refused(scoring: Scoring, path: str) -> None:
    early = pasi(assessed_at="2021-09-01T08:59:59+08:00")
    assert kind(await scoring.post(f"{path}/assessments", early)) == (409, "no-consent-in-force")


async def test_after_the_end_only_what_happened_before_it_is_taken(scoring: Scoring) -> None:
    path = await scoring.consented()
    await scoring.tell(identity(path), "status", status="withdrawn", date="2021-09-20")
    late = pasi(assessed_at="2021-09-21T00:00:00+08:00")
    assert kind(await scoring.post(f"{path}/assessments", late)) == (409, "participation-ended")
    on_the_day = pasi(assessed_at="2021-09-20T23:59:59+08:00")
    assert wrote(await scoring.post(f"{path}/assessments", on_the_day)) == (201, "created")


async def test_consent_to_treatment_alone_is_none_to_data(scoring: Scoring) -> None:
    path = await scoring.known()
    signed = "2021-09-01T09:00:00+08:00"
    await scoring.tell(identity(path), "consent", scope=["treatment"], signed_at=signed)
    refused = await scoring.post(f"{path}/assessments", pasi())
    assert kind(refused) == (409, "no-consent-in-force")


@pytest.mark.parametrize(
    "role", ["statistician", "auditor", "safety_officer", "admin", "participant", "service"]
)
async def test_only_edc_and_site_staff_write(scoring: Scoring, path: str, role: str) -> None:
    refused = await scoring.post(f"{path}/assessments", pasi(), role=role)
    assert kind(refused) == (403, "not-permitted")


@pytest.mark.parametrize("role", ["edc", "coordinator", "investigator"])
async def test_edc_and_site_staff_write(scoring: Scoring, path: str, role: str) -> None:
    assert (await scoring.assessed(path, pasi(), role=role))["recorded_by"] == f"{role}-1"


async def test_another_sites_participant_looks_unknown(scoring: Scoring, path: str) -> None:
    stranger = "/participants/00000000-0000-4000-8000-000000000000/assessments"
    hidden = await scoring.post(f"{path}/assessments", pasi(), sites=[OTHER_SITE])
    unknown = await scoring.post(stranger, pasi(), sites=[OTHER_SITE])
    for one in (hidden, unknown):
        assert kind(one) == (404, "not-found")
    assert {**hidden.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


async def test_a_participant_is_found_by_the_external_id(scoring: Scoring) -> None:
    path = await scoring.consented(external_id="EDC-17")
    made = await scoring.assessed("/participants/external:EDC-17", pasi())
    assert made["participant"] == str(identity(path))
    unknown = await scoring.post("/participants/external:EDC-18/assessments", pasi())
    assert kind(unknown) == (404, "not-found")


def by_percent(percent: int, **stated: Any) -> dict[str, Any]:
    """Return a PASI whose regions are each affected to so many percent."""
    one = {"erythema": 1, "induration": 1, "desquamation": 1, "area_percent": percent}
    return assessment("pasi", {"regions": dict.fromkeys(REGIONS, one)}, **stated)


def codes(made: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in made["warnings"]]


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(20, []), (25, []), (25.1, ["BSA_DIFFERS_FROM_REGIONS"]), (14, ["BSA_DIFFERS_FROM_REGIONS"])],
)
async def test_a_bsa_far_from_that_of_the_regions_is_warned_of(
    scoring: Scoring, percent: float, expected: list[str]
) -> None:
    path = await scoring.consented()
    assert codes(await scoring.assessed(path, by_percent(20))) == []
    body = assessment("bsa", {"percent": percent}, assessed_at="2021-09-02T15:00:00+08:00")
    made = await scoring.assessed(path, body)
    assert codes(made) == expected
    assert made["derived"]["bsa_percent"] == percent


async def test_the_later_of_the_two_is_warned_of(scoring: Scoring) -> None:
    path = await scoring.consented()
    assert codes(await scoring.assessed(path, assessment("bsa", {"percent": 50}))) == []
    made = await scoring.assessed(path, by_percent(20))
    assert made["warnings"] == [
        {
            "pointer": "/answers/regions",
            "code": "BSA_DIFFERS_FROM_REGIONS",
            "detail": made["warnings"][0]["detail"],
        }
    ]
    one = f"{path}/assessments/{made['id']}"
    better = by_percent(50) | {"change_reason": "typing error"}
    assert codes((await scoring.put(one, better, If_Match='"1"')).json()) == []


async def test_another_visit_another_day_or_what_was_retracted_is_not_compared(
    scoring: Scoring,
) -> None:
    path = await scoring.consented()
    made = await scoring.assessed(path, by_percent(20))
    others = (
        {"visit": "unscheduled"},
        {"assessed_at": "2021-09-03T00:00:00+08:00"},
        {"assessed_at": "2021-09-01T23:59:59+08:00"},
    )
    for other in others:
        body = assessment("bsa", {"percent": 50}, **other)
        assert codes(await scoring.assessed(path, body)) == []
    assert codes(await scoring.assessed(path, assessment("bsa", {}))) == []
    assert codes(await scoring.assessed(path, pasi())) == []
    gone = f"{path}/assessments/{made['id']}/retraction"
    await scoring.post(gone, {"reason": "wrong participant"}, If_Match='"1"')
    assert codes(await scoring.assessed(path, assessment("bsa", {"percent": 50}))) == []


@pytest.mark.parametrize("regions", [None, [], {"head": 3}, {"head": {"area_percent": "x"}}])
async def test_regions_that_cannot_be_read_are_refused_as_ever(
    scoring: Scoring, regions: Any
) -> None:
    path = await scoring.consented()
    body = assessment("pasi", {"regions": regions})
    assert (await scoring.post(f"{path}/assessments", body)).status_code == 422
