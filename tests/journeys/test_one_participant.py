"""One participant goes all the way through the running system, through its gateway."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from launcher import trial_story as story
from tests.journeys.callers import Callers
from tests.running_system import running_system

VISITS: Final = ["SCR", "W0", "W2", "W4", "W6", "W8", "W12"]
INFUSED: Final = ["W0", "W2", "W4", "W6", "W8"]
FIRST: Final = story.people()[0]
PERSON: Final = replace(
    FIRST,
    external_id="JOURNEY-4711",
    birth_date="1983-07-19",
    visits={code: FIRST.visits[code] for code in VISITS},
    adverse_events=(),
)
PHYSICIAN: Final = "Dr Li"
TERM: Final = "shivering of a marked kind"
NARRATIVE: Final = "told in confidence"
UNKNOWN: Final = "019f0000-0000-7000-8000-00000000beef"


@dataclass(frozen=True, slots=True)
class Journey:
    """The participant, what each step was answered, and how to ask for more."""

    participant: str
    answers: Mapping[str, Any]
    callers: Callers
    logs: Path

    @property
    def path(self) -> str:
        """Where the participant's record is, below the study."""
        return f"/participants/{self.participant}"


@pytest.fixture(scope="module")
def journey() -> Iterator[Journey]:
    with running_system("--empty", until="ready") as system:
        callers = Callers(system)
        participant, answers = taken(callers)
        yield Journey(participant, answers, callers, system.data / "logs")
        callers.client.close()


def taken(callers: Callers) -> tuple[str, dict[str, Any]]:
    """Take the participant from registration to week 12; return its id and every answer."""
    ask = callers.ask
    registration = {
        "site": story.SITE,
        "external_id": PERSON.external_id,
        "birth_date": PERSON.birth_date,
        "sex": PERSON.sex,
    }
    decision = {"decision": "enrol", "decided_at": PERSON.at("SCR", 16), "signed_by": PHYSICIAN}
    registered = ask("coordinator", "POST", "/participants", registration)
    path = f"/participants/{registered['id']}"
    answers = {
        "registered": registered,
        "consent": ask("coordinator", "POST", f"{path}/consents", story.consent(PERSON)),
        "screening": ask("investigator", "PUT", f"{path}/screening", story.screening(PERSON)),
        "SCR": posted(callers, path, "SCR"),
        "eligibility": ask("investigator", "GET", f"{path}/eligibility"),
        "enrolment": ask("investigator", "POST", f"{path}/enrolment", decision),
    }
    answers |= {code: posted(callers, path, code) for code in VISITS[1:]}
    answers["event"] = ask("investigator", "POST", f"{path}/adverse-events", adverse_event())
    return registered["id"], answers


def posted(callers: Callers, path: str, code: str) -> Any:
    """Post a whole visit as the EDC does; return its receipt."""
    body = story.visit(PERSON, code)
    return callers.ask("edc", "POST", f"{path}/visits", body, key=f"visit-{code}")


def adverse_event() -> dict[str, Any]:
    """Return a serious adverse event, four days after the first infusion."""
    return {
        "term": TERM,
        "onset": "2021-09-18T15:00:00+08:00",
        "ctcae_grade": 3,
        "seriousness": {"hospitalization": True},
        "investigator_causality": "possible",
        "expected": False,
        "investigator_aware_at": "2021-09-19T08:00:00+08:00",
        "sponsor_aware_at": "2021-09-19T10:00:00+08:00",
        "narrative": NARRATIVE,
    }


def test_every_step_is_written_once_and_says_so(journey: Journey) -> None:
    steps = {name: one["write"] for name, one in journey.answers.items() if name != "eligibility"}
    assert set(steps.values()) == {"created"}
    assert journey.answers["registered"]["screening_number"] == "GDTCM-001"


def test_screening_visit_comes_in_one_request(journey: Journey) -> None:
    receipt = journey.answers["SCR"]
    derived = [part["derived"] for part in receipt["parts"]]
    assert {part["write"] for part in receipt["parts"]} == {"created"}
    assert [part["pointer"] for part in receipt["parts"]] == [
        *(f"/assessments/{at}" for at in range(6)),
        "/vital_signs",
        "/laboratory_results/0",
    ]
    assert (derived[0]["pasi"], derived[1]["bsa_percent"]) == (20.4, 40)
    assert (derived[4]["index"], derived[5]["index"]) == (26, 26)
    assert [event["service"] for event in receipt["events"]] == ["enrolment", "scoring", "safety"]


def test_eligibility_is_explained_by_47_criteria(journey: Journey) -> None:
    found = journey.answers["eligibility"]
    assert (found["verdict"], found["failed"], found["unknown"]) == ("eligible", [], [])
    assert len(found["criteria"]) == len(found["details"]) == 47
    assert all(detail["rule"] for detail in found["details"].values())
    [score, *_] = found["details"]["I1b"]["values"]
    assert score["source"]["id"] in {part["id"] for part in journey.answers["SCR"]["parts"]}


def test_enrolment_is_signed_on_what_was_judged(journey: Journey) -> None:
    signed = journey.answers["enrolment"]
    assert (signed["status"], signed["verdict"], signed["signed_by"]) == (
        "enrolled",
        "eligible",
        PHYSICIAN,
    )
    assert signed["recorded_by"] == "demo-investigator"
    assert signed["criteria"] == journey.answers["eligibility"]["criteria"]


def test_infusions_start_the_treatment_and_the_calendar(journey: Journey) -> None:
    given = journey.callers.ask("auditor", "GET", f"{journey.path}/infusions")["items"]
    assert [one["visit"] for one in given] == INFUSED
    assert {one["cells_given"] for one in given} == {140_000_000}
    assert journey.callers.ask("auditor", "GET", journey.path)["status"] == "follow_up"
    visits = [journey.answers[code]["visit"] for code in VISITS[1:]]
    assert {(one["timing"], one["days_from_target"]) for one in visits} == {("in_window", 0)}
    assert visits[-1]["target_date"] == "2021-12-07"
    assert journey.callers.ask("auditor", "GET", f"{journey.path}/deviations")["items"] == []


def test_outcomes_come_with_their_derivation(journey: Journey) -> None:
    found = journey.callers.ask("statistician", "GET", f"{journey.path}/outcomes")
    assert (found["baseline"]["pasi"], found["change"]) == (20.4, -15.3)
    derivation = found["derivation"]
    assert derivation["week12"]["rule"]
    assert derivation["week12"]["settings"]["week12.anchor"]["value"] == "first_infusion"
    followed = [one for one in derivation["relapse"]["inputs"] if one["record"] == "assessment"]
    values = {one["date"]: one["value"] for one in followed}
    assert [values[on] for on in sorted(values)] == [20.4, 20.4, 17.6, 13.6, 8.1, 5.1]
    scored = {part["id"] for code in VISITS for part in journey.answers[code]["parts"]}
    assert {one["id"] for one in followed} <= scored
    study = journey.callers.ask("statistician", "GET", "/outcomes")["measures"]
    [primary] = [measure for measure in study if measure["type"] == "primary"]
    assert (primary["summary"]["n"], primary["summary"]["mean"]) == (1, 75)


def test_serious_adverse_event_starts_its_clocks(journey: Journey) -> None:
    event = journey.answers["event"]
    assert (event["classification"], event["treatment_emergent"]) == ("SUSAR", True)
    assert event["within_24h_of_infusion"] is False
    where = f"{journey.path}/adverse-events/{event['id']}/clocks"
    clocks = journey.callers.ask("safety_officer", "GET", where)["items"]
    dues = {one["clock"]: one.get("due") or one["due_date"] for one in clocks}
    assert dues == {
        "SAE_TO_SPONSOR_24H": "2021-09-20T08:00:00+08:00",
        "SUSAR_INITIAL": "2021-10-04",
    }
    deadlines = journey.callers.ask("safety_officer", "GET", "/safety/deadlines")["items"]
    assert {one["id"] for one in deadlines} == {one["id"] for one in clocks}


def test_phone_sees_its_owners_visits_and_nothing_else(journey: Journey) -> None:
    own = {"participant": journey.participant}
    schedule = journey.callers.ask("participant", "GET", "/v1/me/schedule", **own)
    assert schedule["time_zone"] == "Asia/Shanghai"
    states = {visit["code"]: visit["status"] for visit in schedule["visits"]}
    assert {code for code, status in states.items() if status == "done"} == set(VISITS)
    assert {states[code] for code in ("W16", "W20", "W24")} == {"overdue"}
    for path in (f"{journey.path}/eligibility", f"{journey.path}/adverse-events", "/participants"):
        refused = journey.callers.send("participant", "GET", path, **own)
        assert refused.status_code in {403, 404}


def test_audit_trail_tells_all_and_verifies(journey: Journey) -> None:
    query = f"/audit?participant={journey.participant}&limit=500"
    items = journey.callers.ask("auditor", "GET", query)["items"]
    assert {item["service"] for item in items} == {"enrolment", "scoring", "safety"}
    kinds = [item["resource"] for item in items]
    assert (kinds.count("assessment"), kinds.count("infusion")) == (28, 5)
    [decision] = [item for item in items if item["resource"] == "enrolment"]
    assert (decision["actor"], decision["role"]) == ("demo-investigator", "investigator")
    verified = journey.callers.ask("auditor", "GET", "/audit/verification")
    assert (verified["verified"], verified["first_broken"]) == (True, None)
    assert (verified["events"], verified["participants"]) == (len(items), 1)


def test_visit_sent_again_is_answered_byte_for_byte(journey: Journey) -> None:
    body, where = story.visit(PERSON, "W12"), f"{journey.path}/visits"
    again = journey.callers.send("edc", "POST", where, body, key="visit-W12")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.json()) == (201, journey.answers["W12"])
    once_more = journey.callers.send("edc", "POST", where, body, key="visit-W12")
    assert once_more.content == again.content
    unkeyed = journey.callers.ask("edc", "POST", where, body)
    assert unkeyed["write"] == "unchanged"
    assert {part["write"] for part in unkeyed["parts"]} == {"unchanged"}


def test_logs_hold_no_personal_data(journey: Journey) -> None:
    stumble(journey)
    written = {log.name: log.read_text() for log in journey.logs.glob("*.log")}
    together = "".join(written.values())
    secrets = [
        *(PERSON.external_id, PERSON.birth_date, PHYSICIAN, TERM, NARRATIVE, UNKNOWN),
        *(journey.participant, *journey.callers.tokens.values()),
        *(part["id"] for code in VISITS for part in journey.answers[code]["parts"]),
    ]
    assert [secret for secret in secrets if secret in together] == []
    for service in ("gateway", "enrolment", "scoring", "safety"):
        lines = [json.loads(line) for line in written[f"{service}.log"].splitlines()]
        routes = {line["route"] for line in lines if line["event"] == "request"}
        assert any("/v1/studies/{study}/participants/{participant}/" in route for route in routes)
        assert {line["event"] for line in lines} <= {"request", "follow", "catch_up"}


def stumble(journey: Journey) -> None:
    """Send what is refused, with personal data in every place that a log might show."""
    send, path = journey.callers.send, journey.path
    token = next(iter(journey.callers.tokens.values()))
    wrong = {"site": PERSON.external_id, "external_id": PERSON.external_id * 9, "sex": TERM}
    assert send("coordinator", "POST", "/participants", wrong).status_code == 422
    assert send("edc", "POST", f"{path}/visits", {"visit": {"code": TERM}}).status_code == 422
    assert send("auditor", "GET", f"{path}/infusions?after={TERM}").status_code == 422
    assert send("auditor", "GET", f"/participants/{UNKNOWN}").status_code == 404
    assert send("auditor", "GET", f"/participants/external:{TERM}").status_code == 404
    assert send("auditor", "GET", f"/{PERSON.external_id}/{TERM}").status_code == 404
    queried = journey.callers.client.get(f"/v1/me/schedule?access_token={token}")
    assert queried.status_code == 401
