"""Every refusal by state that an operation documents, in the situation that gives it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.enrolment.enrolment_calls import (
    Enrolment,
    ago,
    consent,
    decision,
    infusion,
    kind,
    registration,
    screening,
    visit,
)

DOCUMENT: Final = Path(__file__).parents[2] / "openapi" / "enrolment.json"
STUDY_PATH: Final = "/v1/studies/{study}"
OF_ONE: Final = "/participants/{participant}"
CONFLICT: Final = "409"
SOURCE: Final = {"source_system": "edc", "source_ref": uuid4().hex}


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Paths of participants, each in a state of its own."""

    treated: str
    left: str
    failed: str
    bare: str
    silent: str
    closed: str
    full: str
    infusion: str
    left_infusion: str
    retracted_infusion: str
    consent: str
    retracted_consent: str
    external_id: str


@pytest.fixture(scope="module")
async def people(enrolment: Enrolment) -> People:
    treated, left = await enrolment.enrolled(), await enrolment.enrolled()
    await enrolment.made(f"{treated}/visits", visit(**SOURCE))
    given = await enrolment.made(f"{treated}/infusions", infusion(**SOURCE))
    retracted = await enrolment.made(f"{treated}/infusions", infusion("W2", "2021-09-29"))
    single = f"{treated}/infusions/{retracted['id']}"
    await enrolment.post(f"{single}/retraction", {"reason": "doubled"}, If_Match='"1"')
    before = await enrolment.made(f"{left}/infusions", infusion())
    gone = {"status": "withdrawn", "date": "2021-09-20", "reason": "moved", **SOURCE}
    await enrolment.made(f"{left}/status", gone)

    failed = await enrolment.screened()
    attestation = {"criterion": "E10", "result": "not_met", "stated_at": ago(days=1), **SOURCE}
    await enrolment.made(f"{failed}/eligibility/attestations", attestation)
    screen_fail = decision(decision="screen_fail", reason="infection", **SOURCE)
    await enrolment.made(f"{failed}/enrolment", screen_fail)

    bare = f"/participants/{(await enrolment.registered())['id']}"
    silent = f"/participants/{(await enrolment.registered(**SOURCE))['id']}"
    sourced = await enrolment.made(f"{silent}/consents", consent(**SOURCE))
    await enrolment.put(f"{silent}/screening", screening(**SOURCE))
    withdrawal = {"withdrawn_at": ago(hours=1), "scope": ["treatment", "data"]}
    await enrolment.post(f"{silent}/consents/{sourced['id']}/withdrawal", withdrawal)
    mistaken = await enrolment.made(
        f"{silent}/consents", consent(signed_at="2021-09-02T09:00:00+08:00")
    )
    retraction = f"{silent}/consents/{mistaken['id']}/retraction"
    await enrolment.post(retraction, {"reason": "another's"}, If_Match='"1"')

    sites = enrolment.site(), enrolment.site()
    closed, full = await enrolment.screened(sites[0]), await enrolment.screened(sites[1])
    await enrolment.put(f"/sites/{sites[0]}", {"status": "closed"}, role="admin")
    await enrolment.put(f"/sites/{sites[1]}", {"status": "open", "places": 0}, role="admin")
    return People(
        treated=treated,
        left=left,
        failed=failed,
        bare=bare,
        silent=silent,
        closed=closed,
        full=full,
        infusion=given["id"],
        retracted_infusion=retracted["id"],
        left_infusion=before["id"],
        consent=f"{silent}/consents/{sourced['id']}",
        retracted_consent=f"{silent}/consents/{mistaken['id']}",
        external_id=(await enrolment.get(treated)).json()["external_id"],
    )


Asked = tuple[str, str, str, Callable[[People], str], dict[str, Any]]
STATED: Final = {"criterion": "E10", "result": "not_met", "stated_at": "2021-09-14T09:00:00+08:00"}
WITHDRAWAL: Final = {"withdrawn_at": "2021-10-02T09:00:00+08:00", "scope": ["treatment"]}
LEFT: Final = {"status": "withdrawn", "date": "2021-10-01", "reason": "moved"}
CORRECTION: Final = {"change_reason": "misread"}
EARLY, LATE = "2021-08-01", "2021-10-01"

ATTEST: Final = ("POST", f"{OF_ONE}/eligibility/attestations")
CONSENTS: Final = ("POST", f"{OF_ONE}/consents")
WITHDRAW: Final = ("POST", f"{OF_ONE}/consents/{{consent}}/withdrawal")
DECIDE: Final = ("POST", f"{OF_ONE}/enrolment")
INFUSE: Final = ("POST", f"{OF_ONE}/infusions")
CORRECT: Final = ("PUT", f"{OF_ONE}/infusions/{{infusion}}")
SCREEN: Final = ("PUT", f"{OF_ONE}/screening")
MOVE: Final = ("POST", f"{OF_ONE}/status")
HOLD: Final = ("POST", f"{OF_ONE}/visits")
PLAN: Final = ("POST", f"{OF_ONE}/visits/{{visit}}/plan")
REGISTER: Final = ("POST", "/participants")

SITUATIONS: Final[list[Asked]] = [
    (*CONSENTS, "source-already-used", lambda p: f"{p.bare}/consents", consent(**SOURCE)),
    (
        *CONSENTS,
        "participation-ended",
        lambda p: f"{p.left}/consents",
        consent(signed_at=f"{LATE}T09:00:00+08:00"),
    ),
    (*WITHDRAW, "already-withdrawn", lambda p: f"{p.consent}/withdrawal", WITHDRAWAL),
    (*WITHDRAW, "record-retracted", lambda p: f"{p.retracted_consent}/withdrawal", WITHDRAWAL),
    (*ATTEST, "no-consent-in-force", lambda p: f"{p.silent}/eligibility/attestations", STATED),
    (*ATTEST, "screening-over", lambda p: f"{p.failed}/eligibility/attestations", STATED),
    (
        *ATTEST,
        "source-already-used",
        lambda p: f"{p.bare}/eligibility/attestations",
        {**STATED, **SOURCE},
    ),
    (*DECIDE, "already-enrolled", lambda p: f"{p.treated}/enrolment", decision(signed_by="dr-wu")),
    (
        *DECIDE,
        "not-eligible",
        lambda p: f"{p.silent}/enrolment",
        decision(decided_at="2021-09-15T09:00:00+08:00"),
    ),
    (*DECIDE, "no-consent-in-force", lambda p: f"{p.bare}/enrolment", decision()),
    (*DECIDE, "screening-ended", lambda p: f"{p.failed}/enrolment", decision()),
    (*DECIDE, "site-closed", lambda p: f"{p.closed}/enrolment", decision()),
    (*DECIDE, "study-full", lambda p: f"{p.full}/enrolment", decision()),
    (*DECIDE, "source-already-used", lambda p: f"{p.closed}/enrolment", decision(**SOURCE)),
    (*INFUSE, "not-enrolled", lambda p: f"{p.bare}/infusions", infusion()),
    (*INFUSE, "no-consent-in-force", lambda p: f"{p.treated}/infusions", infusion("W4", EARLY)),
    (*INFUSE, "participation-ended", lambda p: f"{p.left}/infusions", infusion("W4", LATE)),
    (*INFUSE, "infusion-recorded", lambda p: f"{p.treated}/infusions", infusion(batch="B-2")),
    (
        *INFUSE,
        "source-already-used",
        lambda p: f"{p.treated}/infusions",
        infusion("W4", "2021-10-13", **SOURCE),
    ),
    (
        *CORRECT,
        "no-consent-in-force",
        lambda p: f"{p.treated}/infusions/{p.infusion}",
        infusion("W0", EARLY, **CORRECTION),
    ),
    (
        *CORRECT,
        "participation-ended",
        lambda p: f"{p.left}/infusions/{p.left_infusion}",
        infusion("W0", LATE, **CORRECTION),
    ),
    (
        *CORRECT,
        "record-retracted",
        lambda p: f"{p.treated}/infusions/{p.retracted_infusion}",
        infusion("W2", "2021-09-30", **CORRECTION),
    ),
    (
        *CORRECT,
        "infusion-recorded",
        lambda p: f"{p.treated}/infusions/{p.retracted_infusion}",
        infusion("W0", "2021-09-30", **CORRECTION),
    ),
    (*SCREEN, "no-consent-in-force", lambda p: f"{p.silent}/screening", screening(psych=None)),
    (*SCREEN, "screening-over", lambda p: f"{p.failed}/screening", screening(psych=None)),
    (*SCREEN, "source-already-used", lambda p: f"{p.bare}/screening", screening(**SOURCE)),
    (*MOVE, "status-not-allowed", lambda p: f"{p.left}/status", {**LEFT, "status": "completed"}),
    (*MOVE, "never-consented", lambda p: f"{p.bare}/status", LEFT),
    (*MOVE, "source-already-used", lambda p: f"{p.treated}/status", {**LEFT, **SOURCE}),
    (*HOLD, "not-enrolled", lambda p: f"{p.bare}/visits", visit()),
    (*HOLD, "no-consent-in-force", lambda p: f"{p.treated}/visits", visit("W4", EARLY)),
    (*HOLD, "participation-ended", lambda p: f"{p.left}/visits", visit("W4", LATE)),
    (*HOLD, "source-already-used", lambda p: f"{p.left}/visits", visit(**SOURCE)),
    (*PLAN, "visit-held", lambda p: f"{p.treated}/visits/W0/plan", {"status": "planned"}),
    (
        *REGISTER,
        "source-already-used",
        lambda _: "/participants",
        registration("GDTCM", **SOURCE),
    ),
]


@pytest.mark.parametrize(
    ("method", "template", "problem", "path", "body"),
    SITUATIONS,
    ids=[f"{method} {template} {problem}" for method, template, problem, _, _ in SITUATIONS],
)
async def test_the_state_refuses(
    enrolment: Enrolment,
    people: People,
    method: str,
    template: str,
    problem: str,
    path: Callable[[People], str],
    body: dict[str, Any],
) -> None:
    del template
    needs_version = method == "PUT" and path(people) != f"{people.bare}/screening"
    version = 2 if people.retracted_infusion in path(people) else 1
    headers: dict[str, Any] = {"If_Match": f'"{version}"'} if needs_version else {}
    answer = await enrolment.call(method, path(people), body, **headers)
    assert kind(answer) == (409, problem), answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


async def test_a_used_external_id_is_refused(enrolment: Enrolment, people: People) -> None:
    body = registration("GDTCM", external_id=people.external_id, birth_date="1990-01-01")
    assert kind(await enrolment.post("/participants", body)) == (409, "external-id-used")


ELSEWHERE: Final = {(*REGISTER, "external-id-used")}


def test_every_documented_refusal_by_state_has_its_situation() -> None:
    documented = {
        (method.upper(), path.removeprefix(STUDY_PATH), line.split("`")[1])
        for path, operations in json.loads(DOCUMENT.read_text("utf-8"))["paths"].items()
        for method, operation in operations.items()
        for line in operation["responses"].get(CONFLICT, {}).get("description", "").splitlines()
        if line
    }
    assert {situation[:3] for situation in SITUATIONS} | ELSEWHERE == documented
