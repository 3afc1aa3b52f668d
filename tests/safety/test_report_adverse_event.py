from uuid import uuid4

import pytest

from tests.safety.safety_calls import (
    Safety,
    adverse_event,
    earlier,
    faults,
    kind,
    record_of,
    seriousness,
    susar,
)


async def test_a_report_is_classified_and_its_clocks_start(safety: Safety) -> None:
    participant = await safety.participant()
    await safety.infuse(participant, "2021-10-03T10:00:00+08:00")
    path = f"/participants/{participant}/adverse-events"
    answer = await safety.post(path, susar(), role="investigator")
    taken = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"].endswith(f"{path}/{taken['id']}")
    assert answer.headers["etag"] == '"1"'
    assert (taken["write"], taken["classification"]) == ("created", "SUSAR")
    assert (taken["serious"], taken["suspected"], taken["unexpected"]) == (True, True, True)
    assert (taken["treatment_emergent"], taken["within_24h_of_infusion"]) == (True, True)
    assert [(one["clock"], one.get("due") or one["due_date"]) for one in taken["clocks"]] == [
        ("SAE_TO_SPONSOR_24H", "2021-10-05T09:00:00+08:00"),
        ("SUSAR_INITIAL", "2021-10-19"),
    ]
    assert {one["status"] for one in taken["clocks"]} == {"open"}
    assert taken["unattested"] == []
    assert taken["transcribed"] == ["sponsor_aware_at"]


async def test_a_read_shows_what_the_answer_showed(safety: Safety) -> None:
    participant = await safety.participant("READ")
    path = f"/participants/{participant}/adverse-events"
    taken = await safety.post(path, susar())
    one = (await safety.get(f"{path}/{taken.json()['id']}")).json()
    listed = (await safety.get(path)).json()["items"]
    study = (await safety.get("/adverse-events", sites=["READ"])).json()["items"]
    assert one == record_of(taken)
    assert listed == [one]
    assert one in study


async def test_only_the_term_is_required(safety: Safety) -> None:
    participant = await safety.participant()
    answer = await safety.post(f"/participants/{participant}/adverse-events", {"term": "unwell"})
    taken = answer.json()
    assert answer.status_code == 201
    assert (taken["classification"], taken["serious"]) == ("UNDETERMINED", None)
    assert [one["clock"] for one in taken["clocks"]] == ["TRIAGE_SERIOUSNESS_24H"]
    assert taken["warnings"] == []


async def test_a_year_is_an_onset(safety: Safety) -> None:
    participant = await safety.participant()
    taken = await safety.report(participant, onset="2021")
    assert taken["onset"] == "2021"


async def test_an_end_before_the_onset_is_refused_by_name(safety: Safety) -> None:
    path = f"/participants/{await safety.participant()}/adverse-events"
    body = adverse_event(onset="2021-10-20", end="2021-10-19")
    answer = await safety.post(path, body)
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert (fault["pointer"], fault["code"]) == ("/end", "end_before_onset")


async def test_statements_of_an_edc_are_unattested(safety: Safety) -> None:
    taken = await safety.report(await safety.participant())
    assert taken["unattested"] == ["investigator_causality", "seriousness"]


async def test_an_unknown_participant_is_taken_at_the_tokens_site(safety: Safety) -> None:
    participant = uuid4()
    path = f"/participants/{participant}/adverse-events"
    answer = await safety.post(path, adverse_event(), sites=["GDTCM"])
    taken = answer.json()
    assert answer.status_code == 201
    assert taken["site"] == "GDTCM"
    assert [one["code"] for one in taken["warnings"]] == ["participant_unverified"]
    assert (await safety.get(path, sites=["GDTCM"])).status_code == 404
    assert (await safety.get(path, role="safety_officer", sites=["OTHER"])).status_code == 404
    shown = await safety.get(path, role="safety_officer", sites=["GDTCM"])
    assert [one["id"] for one in shown.json()["items"]] == [taken["id"]]
    everyone = (await safety.get("/adverse-events?limit=500", sites=["GDTCM"])).json()["items"]
    assert taken["id"] not in {one["id"] for one in everyone}
    officer = await safety.get("/adverse-events?limit=500", role="safety_officer", sites=["GDTCM"])
    assert taken["id"] in {one["id"] for one in officer.json()["items"]}


async def test_the_feed_confirms_a_participant(safety: Safety) -> None:
    participant = uuid4()
    path = f"/participants/{participant}/adverse-events"
    await safety.post(path, adverse_event(), sites=["GDTCM", "OTHER"])
    await safety.tell(participant, "OTHER", "participant")
    shown = (await safety.get(path, sites=["OTHER"])).json()["items"]
    assert [(one["site"], one["warnings"]) for one in shown] == [("OTHER", [])]
    assert (await safety.get(path, sites=["GDTCM"])).status_code == 404


async def test_a_token_of_several_sites_leaves_the_site_open(safety: Safety) -> None:
    path = f"/participants/{uuid4()}/adverse-events"
    answer = await safety.post(path, adverse_event(), sites=["GDTCM", "OTHER"])
    assert (answer.status_code, answer.json()["site"]) == (201, None)


async def test_a_report_is_taken_while_enrolment_is_down(alone: Safety) -> None:
    path = f"/participants/{uuid4()}/adverse-events"
    answer = await alone.post(
        path, adverse_event(), sites=["GDTCM"], X_Facts_At_Least="enrolment=9"
    )
    assert answer.status_code == 201
    shown = await alone.get(path, role="safety_officer")
    assert len(shown.json()["items"]) == 1


async def test_a_conflict_of_the_record_is_told_while_enrolment_is_down(alone: Safety) -> None:
    path = f"/participants/{uuid4()}/adverse-events"
    body = adverse_event(source_system="edc", source_ref=uuid4().hex)
    first = await alone.post(path, body, sites=["GDTCM"])
    other = await alone.post(path, {**body, "ctcae_grade": 2}, sites=["GDTCM"])
    assert kind(other) == (409, "source-already-used")
    record = f"{path}/{first.json()['id']}"
    reason = {"reason": "in error"}
    await alone.post(f"{record}/retraction", reason, sites=["GDTCM"], If_Match='"1"')
    late = {**adverse_event(ctcae_grade=3), "change_reason": "late"}
    answer = await alone.put(record, late, sites=["GDTCM"], If_Match='"2"')
    assert kind(answer) == (409, "record-retracted")


async def test_no_consent_is_a_warning(safety: Safety) -> None:
    taken = await safety.report(await safety.participant(signed_at=None))
    assert [one["code"] for one in taken["warnings"]] == ["no_consent_in_force"]


async def test_consent_after_the_onset_is_a_warning(safety: Safety) -> None:
    participant = await safety.participant(signed_at="2021-10-04T09:00:00+08:00")
    first = await safety.report(participant)
    second = await safety.report(participant, term="chills", onset="2021-10-04")
    assert [one["code"] for one in first["warnings"]] == ["no_consent_in_force"]
    assert second["warnings"] == []


async def test_a_report_after_withdrawal_is_taken_with_a_warning(safety: Safety) -> None:
    participant = await safety.participant()
    await safety.end(participant, "withdrawn", "2021-10-01")
    taken = await safety.report(participant)
    assert [one["code"] for one in taken["warnings"]] == ["after_end_of_participation"]


async def test_like_terms_are_a_warning(safety: Safety) -> None:
    participant = await safety.participant()
    first = await safety.report(participant)
    second = await safety.report(participant, term="Fever ")
    assert [one["code"] for one in second["warnings"]] == ["possible_duplicate"]
    assert first["id"] in second["warnings"][0]["detail"]


async def test_a_participant_of_another_site_is_not_found(safety: Safety) -> None:
    path = f"/participants/{await safety.participant('OTHER')}/adverse-events"
    assert kind(await safety.post(path, adverse_event(), sites=["GDTCM"])) == (404, "not-found")
    assert kind(await safety.get(path, sites=["GDTCM"])) == (404, "not-found")


async def test_an_external_id_finds_its_participant(safety: Safety) -> None:
    participant = await safety.participant()
    path = f"/participants/external:EDC-{participant.hex[:12]}/adverse-events"
    answer = await safety.post(path, adverse_event())
    assert answer.json()["participant"] == str(participant)
    unknown = await safety.post("/participants/external:nobody/adverse-events", adverse_event())
    assert kind(unknown) == (404, "not-found")


async def test_the_same_source_is_written_once(safety: Safety) -> None:
    participant = await safety.participant()
    path = f"/participants/{participant}/adverse-events"
    body = adverse_event(source_system="edc", source_ref=uuid4().hex)
    first = await safety.post(path, body)
    again = await safety.post(path, body)
    other = await safety.post(path, {**body, "ctcae_grade": 2})
    assert again.status_code == 200
    assert (again.json()["write"], record_of(again)) == ("unchanged", record_of(first))
    assert kind(other) == (409, "source-already-used")
    elsewhere = f"/participants/{await safety.participant()}/adverse-events"
    assert kind(await safety.post(elsewhere, body)) == (409, "source-already-used")


async def test_a_key_repeats_the_answer(safety: Safety) -> None:
    path = f"/participants/{await safety.participant()}/adverse-events"
    key = uuid4().hex
    first = await safety.post(path, adverse_event(), Idempotency_Key=key)
    again = await safety.post(path, adverse_event(), Idempotency_Key=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("stated", "pointer", "code"),
    [
        ({"term": " "}, "/term", "blank"),
        ({"term": None}, "/term", "TYPE"),
        ({"ctcae_grade": 0}, "/ctcae_grade", "RANGE"),
        ({"ctcae_grade": 6}, "/ctcae_grade", "RANGE"),
        ({"ctcae_grade": True}, "/ctcae_grade", "TYPE"),
        ({"onset": "2021-10-03T20:00:00"}, "/onset", "instant"),
        ({"onset": "2199"}, "/onset", "in_the_future"),
        ({"sponsor_aware_at": "2199-01-01T00:00:00Z"}, "/sponsor_aware_at", "in_the_future"),
        ({"visit": "W99"}, "/visit", "unknown_visit"),
        ({"seriousness": {"fatal": True}}, "/seriousness/fatal", "unknown_member"),
        ({"seriousness": {"death": 1}}, "/seriousness/death", "TYPE"),
        ({"investigator_causality": "sure"}, "/investigator_causality", "not_a_choice"),
        ({"version": 1}, "/version", "unknown_member"),
        ({"source_ref": "x"}, "", "source"),
    ],
)
async def test_what_cannot_be_is_refused(
    safety: Safety, stated: dict[str, object], pointer: str, code: str
) -> None:
    path = f"/participants/{await safety.participant()}/adverse-events"
    answer = await safety.post(path, adverse_event(**stated))
    assert answer.status_code == 422
    assert faults(answer) == {(pointer, code)}


async def test_four_faults_have_four_pointers(safety: Safety) -> None:
    path = f"/participants/{await safety.participant()}/adverse-events"
    wrong = {"ctcae_grade": 9, "onset": "x", "outcome": "x", "ongoing": "x"}
    answer = await safety.post(path, adverse_event(**wrong))
    assert {pointer for pointer, _ in faults(answer)} == {f"/{name}" for name in wrong}


async def test_a_report_of_just_now_is_not_in_the_future(safety: Safety) -> None:
    taken = await safety.report(await safety.participant(), onset=earlier(minutes=-4))
    assert taken["write"] == "created"


@pytest.mark.parametrize("role", ["auditor", "statistician", "safety_officer", "participant"])
async def test_other_roles_do_not_report(safety: Safety, role: str) -> None:
    path = f"/participants/{await safety.participant()}/adverse-events"
    answer = await safety.post(path, adverse_event(), role=role)
    assert kind(answer) == (403, "not-permitted")


async def test_a_filter_for_another_site_is_refused(safety: Safety) -> None:
    answer = await safety.get("/adverse-events?site=OTHER", sites=["GDTCM"])
    assert kind(answer) == (403, "not-permitted")
    own = await safety.get("/adverse-events?site=OTHER", sites=["OTHER"])
    assert {one["site"] for one in own.json()["items"]} <= {"OTHER"}


async def test_the_past_is_answered_as_it_was_known(safety: Safety) -> None:
    participant = await safety.participant()
    taken = await safety.report(participant, seriousness=seriousness(disability=True))
    path = f"/participants/{participant}/adverse-events/{taken['id']}"
    moment = taken["recorded_at"]
    body = {**adverse_event(), "change_reason": "judged again"}
    changed = await safety.put(path, body, If_Match='"1"')
    assert changed.json()["version"] == 2
    past = (await safety.get(f"{path}?as_of={moment}")).json()
    assert (past["version"], past["serious"]) == (1, True)
    before = await safety.get(f"{path}?as_of=2020-01-01T00:00:00Z")
    assert before.status_code == 404
