from typing import Any

import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    ago,
    consent,
    faults,
    kind,
    screening,
    vectors,
    wrote,
)

ATTESTED = {"criterion": "E5o", "result": "not_met", "stated_at": "2021-09-10T09:00:00+08:00"}


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    return f"/participants/{(await enrolment.registered())['id']}"


async def judged(enrolment: Enrolment, path: str, query: str = "") -> dict[str, Any]:
    answer = await enrolment.get(f"{path}/eligibility{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


async def test_all_47_criteria_are_judged_and_explained(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    found = await judged(enrolment, path)
    expected = vectors("eligibility")[0]["expected"]
    catalogue = {one["id"]: one["text"] for one in (await _criteria(enrolment))}
    assert len(catalogue) == 47
    assert found["criteria"] == expected["criteria"]
    assert (found["verdict"], found["failed"], found["unknown"]) == ("eligible", [], [])
    assert {code: one["rule"] for code, one in found["details"].items()} == catalogue


async def _criteria(enrolment: Enrolment) -> list[dict[str, Any]]:
    study: dict[str, Any] = (await enrolment.get("")).json()
    criteria: list[dict[str, Any]] = study["criteria"]
    return criteria


async def test_every_value_names_unit_and_source(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    details = (await judged(enrolment, path))["details"]
    values = [value for one in details.values() for value in one["values"]]
    sources = {value["source"]["record"] for value in values if value["source"]}
    assert sources == {"screening", "participant", "consent", "assessment", "laboratory_result"}
    stamps = {"service", "record", "id", "version", "recorded_at", "at"}
    assert {frozenset(value["source"]) for value in values} == {frozenset(stamps)}
    found_at = {value["pointer"]: value["source"]["at"] for value in values}
    assert found_at["/labs/alt/value"] == "2021-09-03T09:00:00+08:00"
    assert found_at["/severity/pasi"] == "2021-09-02T09:00:00+08:00"
    assert found_at["/consent/datetime"] == "2021-09-01T09:00:00+08:00"
    units = {value["pointer"]: value["unit"] for value in values}
    assert (units["/labs/alt/value"], units["/labs/alt/uln"]) == ("U/L", "U/L")
    bsa = {value["pointer"]: value["unit"] for value in details["I1b"]["values"]}
    assert bsa["/severity/bsa_percent"] == "%"


async def test_the_setting_that_applied_is_shown(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    details = (await judged(enrolment, path))["details"]
    assert details["I1b"]["settings"]["pasi_gt"] == 7
    assert any("renal_rule" in one["settings"] for one in details.values())


async def test_what_is_missing_names_who_supplies_it(enrolment: Enrolment, path: str) -> None:
    found = await judged(enrolment, path)
    assert found["verdict"] == "pending"
    suppliers = {
        missing["supplied_by"]
        for code in found["unknown"]
        for missing in found["details"][code]["missing"]
    }
    assert {"coordinator", "investigator", "assessor", "laboratory"} <= suppliers
    for code in found["unknown"]:
        assert found["details"][code]["missing"], code


async def test_what_a_coordinator_enters_waits_for_the_investigator(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.made(f"{path}/consents", consent())
    await enrolment.put(f"{path}/screening", screening(), role="coordinator")
    await enrolment.tell_findings(path.rpartition("/")[2])
    entered = await judged(enrolment, path)
    await enrolment.made(f"{path}/eligibility/attestations", ATTESTED)
    attested = await judged(enrolment, path)
    assert entered["verdict"] == "pending"
    assert entered["criteria"]["E5o"] == "unknown"
    assert entered["details"]["E5o"]["flags"] == ["entered_but_not_attested"]
    assert attested["criteria"]["E5o"] == "not_met"
    assert attested["details"]["E5o"]["attestation"]["stated_by"] == "investigator-1"
    assert "E5o" not in attested["unknown"]


async def test_a_coordinators_change_voids_the_attestation(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    await enrolment.made(f"{path}/eligibility/attestations", ATTESTED)
    medical = {**screening()["medical"], "any_allergy_history": None}
    investigator = {"other_lab_abnormality_unsuitable": True, "other_condition_unsuitable": False}
    changed = screening(medical=medical, investigator=investigator, change_reason="new report")
    answer = await enrolment.put(f"{path}/screening", changed, role="coordinator", If_Match='"1"')
    assert wrote(answer) == (200, "updated")
    found = await judged(enrolment, path)
    assert found["criteria"]["E5o"] == "unknown"
    assert found["details"]["E5o"]["attestation"] is None


async def test_an_attestation_keeps_who_and_what(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    body = {**ATTESTED, "statement": "No other finding."}
    answer = await enrolment.post(f"{path}/eligibility/attestations", body)
    again = await enrolment.post(f"{path}/eligibility/attestations", body)
    made = answer.json()
    one = await enrolment.get(f"{path}/eligibility/attestations/{made['id']}")
    listed = await enrolment.get(f"{path}/eligibility/attestations")
    assert wrote(answer) == (201, "created")
    assert wrote(again) == (200, "unchanged")
    assert one.json()["stated_by"] == one.json()["recorded_by"] == "investigator-1"
    assert listed.json()["items"] == [one.json()]


async def test_a_source_attests_once(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    source = {"source_system": "edc", "source_ref": path[-12:]}
    at = f"{path}/eligibility/attestations"
    await enrolment.made(at, {**ATTESTED, **source})
    again = await enrolment.post(at, {**ATTESTED, **source})
    changed = await enrolment.post(at, {**ATTESTED, **source, "result": "met"})
    assert wrote(again) == (200, "unchanged")
    assert kind(changed) == (409, "source-already-used")


@pytest.mark.parametrize(
    ("stated", "fault"),
    [
        ({"criterion": "I2"}, ("/criterion", "computed_criterion")),
        ({"criterion": "E99"}, ("/criterion", "unknown_criterion")),
        ({"stated_at": ago(hours=-1)}, ("/stated_at", "in_the_future")),
    ],
)
async def test_an_impossible_attestation_is_refused(
    enrolment: Enrolment, path: str, stated: dict[str, Any], fault: tuple[str, str]
) -> None:
    answer = await enrolment.post(f"{path}/eligibility/attestations", {**ATTESTED, **stated})
    assert answer.status_code == 422
    assert faults(answer) == {fault}


async def test_unknown_is_no_attestation(enrolment: Enrolment, path: str) -> None:
    body = {**ATTESTED, "result": "unknown"}
    answer = await enrolment.post(f"{path}/eligibility/attestations", body)
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {"/result"}


@pytest.mark.parametrize("role", ["coordinator", "edc", "auditor", "safety_officer", "admin"])
async def test_only_investigators_attest(enrolment: Enrolment, path: str, role: str) -> None:
    answer = await enrolment.post(f"{path}/eligibility/attestations", ATTESTED, role=role)
    assert answer.status_code == 403


async def test_eligibility_is_read_as_it_stood(enrolment: Enrolment, path: str) -> None:
    await enrolment.made(f"{path}/consents", consent())
    put = (await enrolment.put(f"{path}/screening", screening())).json()
    at = put["recorded_at"].replace("+", "%2B")
    await enrolment.tell_findings(path.rpartition("/")[2])
    assert (await judged(enrolment, path))["verdict"] == "eligible"
    assert (await judged(enrolment, path, f"?as_of={at}"))["verdict"] == "pending"


async def test_the_future_cannot_be_asked_for(enrolment: Enrolment, path: str) -> None:
    at = ago(hours=-1).replace("+", "%2B")
    answer = await enrolment.get(f"{path}/eligibility?as_of={at}")
    assert answer.status_code == 422
    assert faults(answer) == {("as_of", "in_the_future")}


async def test_services_that_are_down_are_named(alone: Enrolment, path: str) -> None:
    facts = (await judged(alone, path))["facts"]
    assert facts == {"are_newest": False, "not_reached": ["scoring", "safety"]}


async def test_the_latest_assessment_of_screening_counts(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    participant = path.rpartition("/")[2]
    await enrolment.assess(participant, "bsa", {}, {"percent": 2})
    retracted: dict[str, Any] = {"instrument": "pasi", "visit": "SCR", "derived": {"pasi": 50}}
    await enrolment.tell(
        participant,
        "scoring",
        "assessment",
        **retracted,
        answers={},
        assessed_at="2021-09-05T09:00:00+08:00",
        record_status="retracted",
    )
    found = await judged(enrolment, path)
    values = {value["pointer"]: value["value"] for value in found["details"]["I1b"]["values"]}
    assert values == {"/severity/pasi": 14.2, "/severity/bsa_percent": 2}


@pytest.mark.parametrize(
    ("collected_at", "stated", "expected"),
    [
        ("2021-09-04T09:00:00+08:00", {}, "met"),
        ("2021-08-17T09:00:00+08:00", {}, "not_met"),
        ("2021-09-16T09:00:00+08:00", {}, "not_met"),
        ("2021-09-04T09:00:00+08:00", {"record_status": "retracted"}, "not_met"),
    ],
)
async def test_only_results_of_the_screening_window_count(
    enrolment: Enrolment, collected_at: str, stated: dict[str, Any], expected: str
) -> None:
    path = await enrolment.screened()
    results = [
        {"test": "alt", "value": 900, "unit": "U/L", "uln": 50},
        {"test": "lipase", "value": 1, "unit": "U/L"},
    ]
    await enrolment.tell(
        path.rpartition("/")[2],
        "safety",
        "laboratory_result",
        visit="SCR",
        collected_at=collected_at,
        results=results,
        **stated,
    )
    found = await judged(enrolment, path)
    by_alt = {
        code
        for code, one in found["details"].items()
        if any(value["pointer"] == "/labs/alt/value" for value in one["values"])
    }
    assert {found["criteria"][code] for code in by_alt} == {expected}


async def test_a_withdrawn_consent_does_not_include(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    made = (await enrolment.get(f"{path}/consents")).json()["items"][0]
    body = {"withdrawn_at": "2021-09-05T09:00:00+08:00", "scope": ["treatment"]}
    await enrolment.post(f"{path}/consents/{made['id']}/withdrawal", body)
    found = await judged(enrolment, path)
    assert (found["criteria"]["I3"], found["failed"]) == ("not_met", ["I3"])


@pytest.mark.parametrize("role", ["statistician", "participant", "admin"])
async def test_eligibility_is_clinical(enrolment: Enrolment, path: str, role: str) -> None:
    one = path.rpartition("/")[2]
    answer = await enrolment.get(f"{path}/eligibility", role=role, participant=one)
    assert answer.status_code == 403


async def test_a_record_that_states_nothing_decides_nothing(
    enrolment: Enrolment, path: str
) -> None:
    await enrolment.put(f"{path}/screening", {"investigator": {}})
    found = await judged(enrolment, path)
    assert found["verdict"] == "pending"
    assert found["criteria"]["I1a"] == "unknown"


async def test_anchors_move_to_the_first_infusion(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    therapies = {
        "history_complete": True,
        "records": [{"class": "topical", "last_dose_date": "2021-08-31", "ongoing": False}],
    }
    changed = screening(therapies=therapies, change_reason="remembered")
    await enrolment.put(f"{path}/screening", changed, If_Match='"1"')
    assert (await judged(enrolment, path))["verdict"] == "eligible"


async def test_other_statements_on_a_criterion_are_kept_beside(enrolment: Enrolment) -> None:
    path = await enrolment.screened()
    at = f"{path}/eligibility/attestations"
    await enrolment.made(at, ATTESTED)
    await enrolment.made(at, {**ATTESTED, "result": "met"})
    found = await judged(enrolment, path)
    assert len((await enrolment.get(at)).json()["items"]) == 2
    assert found["details"]["E5o"]["attestation"]["result"] == "met"
    assert (found["criteria"]["E5o"], found["verdict"]) == ("met", "ineligible")
