"""A story in which every operation is called once and succeeds, by who may call it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

import httpx

from launcher import trial_story
from services.kernel.exact_json import canonical_json
from tests.contract.contract import JSON, Checked
from tests.whole_system import STUDY, WholeSystem, pasi, vas

S: Final = "/v1/studies/{study}"
P: Final = f"{S}/participants/{{participant}}"
REASON: Final = {"reason": "Entered for the wrong participant"}


def _somebody() -> trial_story.Person:
    """Return a participant whose references nobody else has used."""
    return replace(trial_story.people()[-1], external_id=f"STORY-{uuid4().hex[:8]}")


@dataclass(slots=True)
class Teller:
    """Calls operations by their templates; each answer is checked against the contract."""

    system: WholeSystem
    checked: Checked
    parts: dict[str, str] = field(default_factory=lambda: {"study": STUDY})
    person: trial_story.Person = field(default_factory=_somebody)

    async def call(
        self,
        method: str,
        template: str,
        body: Any = None,
        *,
        role: str = "investigator",
        query: Mapping[str, str] | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Return a good answer."""
        own = {"participant": self.parts["participant"]} if role == "participant" else {}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if role:
            given |= self.system.headers(role, **own)
        if body is not None:
            given["Content-Type"] = JSON
        answer = await self.system.client.request(
            method,
            template.format_map(self.parts),
            params=query,
            content=None if body is None else canonical_json(body),
            headers=given,
        )
        assert answer.status_code < 400, f"{method} {template}: {answer.text}"
        self.checked.check(self.checked.operation(method, template), body, answer)
        if "Location" in answer.headers:
            await self._follow(answer.headers["Location"])
        if "ETag" in answer.headers and method == "GET":
            await self._ask_again(method, template, given, answer)
        return answer

    async def _follow(self, location: str) -> None:
        """Fail unless what was made stands where the answer says."""
        found = await self.system.get(location)
        assert found.status_code == 200, f"{location}: {found.text}"

    async def _ask_again(
        self, method: str, template: str, given: Mapping[str, str], answer: httpx.Response
    ) -> None:
        held = {**given, "If-None-Match": answer.headers["ETag"]}
        again = await self.system.client.request(method, str(answer.url), headers=held)
        assert again.status_code == 304, f"{template}: {again.status_code}"
        self.checked.check(self.checked.operation(method, template), None, again)

    async def get(self, template: str, **said: Any) -> Any:
        answer = await self.call("GET", template, **said)
        return answer.json() if answer.headers["content-type"].startswith(JSON) else answer.text

    async def post(self, template: str, body: Any = None, **said: Any) -> Any:
        return (await self.call("POST", template, body, **said)).json()

    async def put(self, template: str, body: Any, **said: Any) -> Any:
        return (await self.call("PUT", template, body, **said)).json()

    async def read_all_of(self, path: str, word: str, **said: Any) -> None:
        """Read a record, its kind's list, and its versions."""
        await self.get(path, **said)
        await self.get(f"{path}/{{{word}}}", **said)
        await self.get(f"{path}/{{{word}}}/versions", **said)


async def tell(teller: Teller) -> None:
    """Tell the whole story."""
    await tell_of_the_study(teller)
    await tell_of_screening(teller)
    await tell_of_visits(teller)
    await tell_of_assessments(teller)
    await tell_of_webhooks(teller)
    await tell_of_safety(teller)
    await tell_of_deliveries(teller)
    await tell_of_conduct(teller)
    await tell_of_the_phone(teller)
    await tell_of_queries(teller)
    await tell_of_results(teller)
    await tell_of_withdrawal(teller)


async def tell_of_the_study(teller: Teller) -> None:
    await teller.get("/health/live", role="")
    await teller.get("/health/ready", role="")
    await teller.get("/metrics", role="admin")
    await teller.get("/v1/me")
    await teller.get("/v1/studies")
    await teller.get(S)
    await teller.get(f"{S}/sites")
    teller.parts["site"] = "GDTCM"
    await teller.get(f"{S}/sites/{{site}}")
    for _ in range(2):
        await teller.put(f"{S}/sites/{{site}}", {"status": "open", "places": 30}, role="admin")
    await teller.get(f"{S}/sites/{{site}}/versions")


async def tell_of_screening(teller: Teller) -> None:
    person = teller.person
    registration = {
        "site": "GDTCM",
        "external_id": f"EDC-{uuid4().hex[:8]}",
        "birth_date": person.birth_date,
        "sex": person.sex,
    }
    path, key = f"{S}/participants", f"registration-{uuid4()}"
    one = await teller.post(path, registration, role="coordinator", Idempotency_Key=key)
    replayed = await teller.call(
        "POST", path, registration, role="coordinator", Idempotency_Key=key
    )
    assert replayed.headers["Idempotency-Replayed"] == "true"
    again = {**registration, "source_system": "openclinica", "source_ref": uuid4().hex}
    again["external_id"] = f"EDC-{uuid4().hex[:8]}"
    await teller.post(f"{S}/participants", again, role="coordinator")
    await teller.post(f"{S}/participants", again, role="coordinator")
    teller.parts["participant"] = one["id"]
    await teller.get(f"{S}/participants", query={"limit": "1"})
    await teller.get(P)
    await teller.get(f"{P}/versions")
    signed = trial_story.consent(person) | {"source_system": "paper", "source_ref": uuid4().hex}
    consent = await teller.post(f"{P}/consents", signed, role="coordinator")
    await teller.post(f"{P}/consents", signed, role="coordinator")
    teller.parts["consent"] = consent["id"]
    await teller.read_all_of(f"{P}/consents", "consent")
    await teller.put(f"{P}/screening", trial_story.screening(person))
    await teller.get(f"{P}/screening")
    await teller.get(f"{P}/screening/versions")
    await teller.put(f"{P}/screening", trial_story.screening(person), If_Match='"1"')
    await teller.post(f"{P}/visits", trial_story.visit(person, "SCR"), role="edc")
    statement = {
        "criterion": "E5o",
        "result": "not_met",
        "stated_at": person.at("SCR", 15),
        "statement": "No other condition that makes the participant unsuitable.",
        "source_system": "openclinica",
        "source_ref": uuid4().hex,
    }
    attestation = await teller.post(f"{P}/eligibility/attestations", statement)
    await teller.post(f"{P}/eligibility/attestations", statement)
    teller.parts["attestation"] = attestation["id"]
    await teller.read_all_of(f"{P}/eligibility/attestations", "attestation")
    await teller.get(f"{P}/eligibility")
    decision = {"decision": "enrol", "decided_at": person.at("SCR", 16), "signed_by": "Dr Li"}
    sourced = {**decision, "source_system": "openclinica", "source_ref": uuid4().hex}
    made = await teller.post(f"{P}/enrolment", sourced)
    await teller.post(f"{P}/enrolment", sourced)
    teller.parts["enrolment"] = made["id"]
    await teller.read_all_of(f"{P}/enrolment", "enrolment")


async def tell_of_visits(teller: Teller) -> None:
    person = teller.person
    await teller.post(f"{P}/visits", trial_story.visit(person, "W0"), role="edc")
    await teller.post(f"{P}/visits", trial_story.visit(person, "W0"), role="edc")
    await teller.get(f"{P}/visits")
    teller.parts["visit"] = "W0"
    await teller.get(f"{P}/visits/{{visit}}")
    await teller.get(f"{P}/visits/{{visit}}/versions")
    teller.parts["visit"] = "W6"
    missed = {"status": "missed", "date": None, "reason": "The participant was travelling."}
    await teller.post(f"{P}/visits/{{visit}}/plan", missed, role="coordinator")
    await teller.post(f"{P}/visits/{{visit}}/plan", missed, role="coordinator")
    await teller.get(f"{P}/visits/{{visit}}/plan")
    await teller.get(f"{P}/visits/{{visit}}/plan/versions")
    infusion = {
        "visit": "W2",
        "started_at": person.at("W2", 11),
        "stopped_at": person.at("W2", 11, 40),
        "cells_given": 132_800_000,
        "batch": "UC-2021-10",
        "viability_percent": 92,
        "source_system": "openclinica",
        "source_ref": uuid4().hex,
    }
    made = await teller.post(f"{P}/infusions", infusion)
    await teller.post(f"{P}/infusions", infusion)
    teller.parts["infusion"] = made["id"]
    changed = {**infusion, "batch": "UC-2021-09", "change_reason": "Batch was misread"}
    del changed["source_system"], changed["source_ref"]
    await teller.put(f"{P}/infusions/{{infusion}}", changed, If_Match='"1"')
    await teller.read_all_of(f"{P}/infusions", "infusion")
    await teller.post(f"{P}/infusions/{{infusion}}/retraction", REASON, If_Match='"2"')


async def tell_of_assessments(teller: Teller) -> None:
    body = vas(visit="unscheduled", source_system="openclinica", source_ref=uuid4().hex)
    body["assessed_at"] = "2021-10-01T09:00:00+08:00"
    made = await teller.post(f"{P}/assessments", body, role="edc")
    await teller.post(f"{P}/assessments", body, role="edc")
    teller.parts["assessment"] = made["id"]
    corrected = vas(14, visit="unscheduled", change_reason="Digits were swapped")
    corrected["assessed_at"] = "2021-10-01T09:00:00+08:00"
    await teller.put(f"{P}/assessments/{{assessment}}", corrected, role="edc", If_Match='"1"')
    await teller.read_all_of(f"{P}/assessments", "assessment")
    await teller.post(f"{P}/assessments/{{assessment}}/retraction", REASON, If_Match='"2"')
    row = vas(visit="unscheduled", participant=teller.parts["participant"])
    row["assessed_at"] = "2021-10-02T09:00:00+08:00"
    unknown = {**row, "participant": "external:NOBODY"}
    await teller.post(f"{S}/assessments/bulk", [row, unknown], role="edc")


async def tell_of_safety(teller: Teller) -> None:
    person = teller.person
    report = {
        "term": "pneumonia",
        "onset": "2021-10-20T08:00:00+08:00",
        "ongoing": True,
        "ctcae_grade": 4,
        "seriousness": {"hospitalization": True, "life_threatening": True},
        "investigator_causality": "possible",
        "expected": False,
        "action_taken": "withdrawn",
        "outcome": "recovering",
        "investigator_aware_at": "2021-10-20T18:00:00+08:00",
        "sponsor_aware_at": "2021-10-21T09:00:00+08:00",
        "source_system": "openclinica",
        "source_ref": uuid4().hex,
    }
    made = await teller.post(f"{P}/adverse-events", report)
    await teller.post(f"{P}/adverse-events", report)
    teller.parts["adverse_event"] = made["id"]
    known = {**report, "ctcae_grade": 3, "change_reason": "The grade was reviewed"}
    del known["source_system"], known["source_ref"]
    one = f"{P}/adverse-events/{{adverse_event}}"
    await teller.put(one, known, If_Match='"1"')
    await teller.read_all_of(f"{P}/adverse-events", "adverse_event")
    await teller.get(f"{S}/adverse-events", role="safety_officer", query={"limit": "1"})
    clocks = await teller.get(f"{one}/clocks", role="safety_officer")
    teller.parts["clock"] = clocks["items"][0]["id"]
    await teller.get(f"{one}/clocks/{{clock}}", role="safety_officer")
    await teller.get(f"{S}/safety/deadlines", role="safety_officer", query={"status": "open"})
    closure = {
        "submitted_at": "2021-10-21T10:00:00+08:00",
        "reference": "SAE-2021-7",
        "reason": "Reported to the sponsor",
    }
    await teller.post(f"{one}/clocks/{{clock}}/closure", closure, role="safety_officer")
    await teller.post(f"{one}/clocks/{{clock}}/closure", closure, role="safety_officer")
    signals = await teller.get(f"{S}/safety/signals", role="safety_officer")
    teller.parts["signal"] = signals["items"][0]["id"]
    signal = f"{S}/safety/signals/{{signal}}"
    await teller.get(signal, role="safety_officer")
    seen = {"reason": "Reviewed by the safety board"}
    for _ in range(2):
        await teller.post(f"{signal}/acknowledgement", seen, role="safety_officer")
    await teller.get(f"{S}/safety/summary", role="safety_officer")
    await tell_of_laboratory(teller, person.at("W2", 9))
    await teller.post(f"{one}/retraction", REASON, If_Match='"2"')


async def tell_of_webhooks(teller: Teller) -> None:
    path = f"{S}/webhooks"
    body = {"url": "http://127.0.0.1:1/notices", "description": "The sponsor's safety desk"}
    made = await teller.post(path, body, role="admin")
    teller.parts["webhook"] = made["id"]
    moved = {**body, "url": "http://127.0.0.1:1/safety", "change_reason": "The desk has moved"}
    one = f"{path}/{{webhook}}"
    await teller.put(one, moved, role="admin", If_Match='"1"')
    await teller.read_all_of(path, "webhook", role="admin")
    await teller.post(f"{one}/secret", {"reason": "Yearly rotation"}, role="admin")


async def tell_of_deliveries(teller: Teller) -> None:
    one, again = f"{S}/webhooks/{{webhook}}", {"reason": "The receiver is back"}
    found = await teller.get(f"{one}/deliveries", role="admin", query={"limit": "1"})
    teller.parts["delivery"] = found["items"][0]["id"]
    await teller.get(f"{one}/deliveries/{{delivery}}", role="admin")
    # Days of failure end so; the story does not wait for them.
    await teller.system.run("safety", "UPDATE delivery SET status = 'dead'")
    await teller.post(f"{one}/deliveries/{{delivery}}/replay", again, role="admin")
    await teller.post(f"{one}/replay", again, role="admin")
    await teller.post(f"{one}/end", {"reason": "No longer needed"}, role="admin", If_Match='"3"')


async def tell_of_laboratory(teller: Teller, collected_at: str) -> None:
    result = {"test": "ast", "loinc": "1920-8", "value": 22, "unit": "U/L", "lln": 0, "uln": 40}
    body = {"collected_at": collected_at, "visit": "W2", "results": [result]}
    sourced = {**body, "source_system": "laboratory", "source_ref": uuid4().hex}
    made = await teller.post(f"{P}/laboratory-results", sourced)
    await teller.post(f"{P}/laboratory-results", sourced)
    teller.parts["laboratory_result"] = made["id"]
    corrected = {**body, "results": [{**result, "value": 24}], "change_reason": "Run again"}
    one = f"{P}/laboratory-results/{{laboratory_result}}"
    await teller.put(one, corrected, If_Match='"1"')
    await teller.read_all_of(f"{P}/laboratory-results", "laboratory_result")
    await teller.post(f"{one}/retraction", REASON, If_Match='"2"')


async def tell_of_conduct(teller: Teller) -> None:
    found = await teller.get(f"{P}/deviations")
    teller.parts["deviation"] = found["items"][0]["id"]
    await teller.get(f"{S}/deviations", query={"limit": "1"})
    because = {"reason": "The participant could not come earlier."}
    made = await teller.post(f"{P}/deviations/{{deviation}}/answer", because)
    await teller.post(f"{P}/deviations/{{deviation}}/answer", because)
    teller.parts["deviation_answer"] = made["id"]
    await teller.read_all_of(f"{P}/deviation-answers", "deviation_answer")
    await teller.get(f"{S}/enrolment/summary")


async def tell_of_the_phone(teller: Teller) -> None:
    await teller.get(f"{P}/schedule")
    await teller.get(f"{P}/schedule.ics")
    await teller.get("/v1/me/schedule", role="participant")
    await teller.get("/v1/me/visits", role="participant")
    await teller.get("/v1/me/consents", role="participant")
    made = await teller.post(f"{P}/schedule/address", role="participant")
    teller.parts["secret"] = made["address"].removeprefix("/v1/calendars/").removesuffix(".ics")
    await teller.get("/v1/calendars/{secret}.ics", role="")
    await teller.post(f"{P}/schedule/address/revocation", role="participant")


async def tell_of_queries(teller: Teller) -> None:
    day = {"code": "unscheduled", "date": "2021-09-28"}
    odd = {**pasi(), "assessed_at": "2021-09-28T09:00:00+08:00"}
    del odd["visit"]
    row = {"participant": teller.parts["participant"], "visit": day, "assessments": [odd]}
    (told,) = await teller.post(f"{S}/visits/bulk", [row], role="edc")
    teller.parts["query"] = told["receipt"]["queries"]["raised"][0]["id"]
    await teller.get(f"{S}/queries", role="edc")
    await teller.get(f"{S}/queries/{{query}}", role="edc")
    answered = {"reason": "The assessor confirms it."}
    await teller.post(f"{S}/queries/{{query}}/answer", answered, role="coordinator")
    await teller.get(f"{S}/audit/reads", role="auditor")


async def tell_of_results(teller: Teller) -> None:
    await teller.get(f"{P}/outcomes", role="statistician")
    await teller.get(f"{S}/outcomes", role="statistician")
    teller.parts["name"] = "pasi"
    await teller.get(f"{P}/plots/{{name}}", role="statistician", Accept="application/json")
    await teller.get(f"{S}/plots/{{name}}", role="statistician", Accept="application/json")
    await teller.get(f"{S}/audit", role="auditor", query={"limit": "2"})
    await teller.get(f"{S}/audit/verification", role="auditor")
    await teller.get(f"{S}/audit/checkpoint", role="auditor")
    event = {"service": "scoring", "seq": "1"}
    await teller.get(f"{S}/audit/proof", role="auditor", query=event)
    for name, question in QUESTIONS.items():
        await teller.post(f"{S}/evaluations/{name}", question, role="statistician")


async def tell_of_withdrawal(teller: Teller) -> None:
    left = {"status": "withdrawn", "date": "2021-11-02", "reason": "Moved away"}
    sourced = {**left, "source_system": "openclinica", "source_ref": uuid4().hex}
    moved = await teller.post(f"{P}/status", sourced, role="coordinator")
    await teller.post(f"{P}/status", sourced, role="coordinator")
    teller.parts["status"] = moved["id"]
    await teller.read_all_of(f"{P}/status", "status")
    withdrawn = {
        "withdrawn_at": "2021-11-02T09:00:00+08:00",
        "scope": ["treatment"],
        "reason": "Moved away",
    }
    one = f"{P}/consents/{{consent}}"
    await teller.post(f"{one}/withdrawal", withdrawn, role="coordinator")
    await teller.post(f"{one}/retraction", REASON, role="coordinator", If_Match='"2"')


_SIGN: Final = {"erythema": 2, "induration": 1, "desquamation": 1, "area_score": 2}
_REGIONS: Final = dict.fromkeys(("head", "upper_limbs", "trunk", "lower_limbs"), _SIGN)
_COURSE: Final = {
    "first_infusion_datetime": "2021-09-15T10:00:00+08:00",
    "assessments": [
        {"datetime": "2021-09-15T08:00:00+08:00", "pasi": 20},
        {"datetime": "2021-10-13T08:00:00+08:00", "pasi": 9.5},
        {"datetime": "2021-12-08T08:00:00+08:00", "pasi": 4.6},
        {"datetime": "2022-02-02T08:00:00+08:00", "pasi": 12},
    ],
}
QUESTIONS: Final[Mapping[str, Any]] = {
    "adverse-event": {
        "updates": [
            {
                "seriousness": {"hospitalization": True},
                "investigator_causality": "possible",
                "expected": False,
                "sponsor_aware_at": "2021-10-21T09:00:00+08:00",
            }
        ]
    },
    "ae-incidence": {
        "n_at_risk": 5,
        "events": [
            {"subject": "1", "pt": "fever", "soc": None, "serious": False},
            {"subject": "2", "pt": "fever", "soc": None, "serious": True},
        ],
    },
    "cohort-outcomes": {"participants": [{**_COURSE, "id": "1"}]},
    "dlqi": {"items": {str(item): 1 for item in (1, 2, 3, 4, 5, 6, 8, 9, 10)}},
    "dose": {"weight_kg": 68.5},
    "eligibility": {
        "demographics": {"birth_date": "1985-04-12", "sex": "female"},
        "severity": {"pasi": 20.4, "bsa_percent": 16},
    },
    "improvement": {"baseline_pasi": 20.4, "pasi": 5.1},
    "kaplan-meier": {"rows": [{"days": 28, "event": True}, {"days": 84, "event": False}]},
    "outcomes": _COURSE,
    "pasi": {"regions": _REGIONS},
    "proportion-ci": {"n": 5, "k": 3},
    "relapse-definitions": {"baseline_pasi": 20, "values": [9, 2, 10.5, 11.5]},
    "sas-sds": {"scale": "SAS", "answers": [2, 1, 1, 1, 4] * 4},
    "schedule": {"first_infusion_date": "2021-09-15"},
    "signed-rank": {"differences": [15.4, 8.1, 3.2, 12, 6.6]},
    "study-day": {"reference_date": "2021-09-15", "date": "2021-10-13"},
    "summary": {"values": [20.4, 17.6, 13.6, 8.1, None]},
    "vas": {"value": 4.1, "unit": "cm"},
    "visit-window": {
        "first_infusion_date": "2021-09-15",
        "visit": "W4",
        "actual_date": "2021-10-14",
    },
    "week-12": {"first_infusion_date": "2021-09-15", "last_infusion_date": "2021-11-10"},
}
