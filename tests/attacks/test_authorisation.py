"""Who may not, cannot; and what one may not know looks like what does not exist."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.attacks.bodies import (
    adverse_event,
    attestation,
    consent,
    decision,
    infusion,
    laboratory_result,
    registration,
    screening,
    vas,
    visit,
    withdrawal,
)
from tests.attacks.target import OTHER_SITE, SITE, STUDY, Target, check_refusal

OTHER_STUDY: Final = "NCT00000002"
NOWHERE: Final = str(uuid4())
STATUS: Final = {"status": "withdrawn", "date": "2021-11-02", "reason": "moved away"}
CLOSURE: Final = {"submitted_at": "2021-10-05T09:00:00+08:00", "reference": "r", "reason": "sent"}
ROLES: Final = (
    "edc",
    "coordinator",
    "investigator",
    "safety_officer",
    "statistician",
    "auditor",
    "participant",
    "admin",
)
_UNDER_P: Final = (
    "",
    "/consents",
    "/screening",
    "/eligibility",
    "/enrolment",
    "/status",
    "/schedule",
    "/visits",
    "/infusions",
    "/deviations",
    "/assessments",
    "/outcomes",
    "/adverse-events",
    "/laboratory-results",
)


def _posts(record: str = NOWHERE) -> dict[str, tuple[str, str, Any]]:
    """Every POST and PUT: its name, method, path below P or S, and a valid body."""
    return {
        "visit": ("POST", "P/visits", visit()),
        "assessment": ("POST", "P/assessments", vas()),
        "adverse event": ("POST", "P/adverse-events", adverse_event()),
        "laboratory result": ("POST", "P/laboratory-results", laboratory_result()),
        "infusion": ("POST", "P/infusions", infusion()),
        "correction": ("PUT", f"P/assessments/{record}", vas(change_reason="misread")),
        "follow-up": ("PUT", f"P/adverse-events/{record}", adverse_event(change_reason="more")),
        "retraction": ("POST", f"P/assessments/{record}/retraction", {"reason": "twice"}),
        "registration": ("POST", "S/participants", registration(SITE)),
        "consent": ("POST", "P/consents", consent()),
        "withdrawal": ("POST", f"P/consents/{record}/withdrawal", withdrawal()),
        "screening": ("PUT", "P/screening", screening()),
        "enrolment": ("POST", "P/enrolment", decision()),
        "attestation": ("POST", "P/eligibility/attestations", attestation()),
        "status": ("POST", "P/status", STATUS),
        "closure": ("POST", f"P/adverse-events/{record}/clocks/susar/closure", CLOSURE),
        "bulk": ("POST", "S/assessments/bulk", [{"participant": record, **vas()}]),
        "site": ("PUT", f"S/sites/{SITE}", {"status": "open", "places": None}),
    }


def _path(template: str, person: str) -> str:
    return person + template[1:] if template[0] == "P" else template[1:]


_NOT_FOR_EDC: Final = (
    "registration",
    "consent",
    "withdrawal",
    "screening",
    "enrolment",
    "attestation",
    "status",
    "closure",
    "site",
)


@pytest.mark.parametrize("name", _NOT_FOR_EDC)
async def test_an_edc_does_not_do_a_persons_work(target: Target, person: str, name: str) -> None:
    method, template, body = _posts()[name]
    await target.refuses(
        403, 404, method=method, path=_path(template, person), body=body, role="edc", If_Match='"1"'
    )


async def test_an_edc_does_not_read_the_trail(target: Target) -> None:
    await target.refuses(403, 404, method="GET", path="/audit", role="edc")


@pytest.mark.parametrize("name", _posts())
async def test_an_auditor_changes_nothing(target: Target, person: str, name: str) -> None:
    method, template, body = _posts()[name]
    await target.refuses(
        403,
        method=method,
        path=_path(template, person),
        body=body,
        role="auditor",
        If_Match='"1"',
        Idempotency_Key=uuid4().hex,
        X_HTTP_Method_Override="GET",
    )


@pytest.mark.parametrize("path", ["", "/assessments", "/outcomes"])
async def test_a_statistician_sees_no_identifier(target: Target, person: str, path: str) -> None:
    answer = await target.get(f"{person}{path}", role="statistician")
    assert answer.status_code in {200, 403, 404, 409}
    assert "external_id" not in answer.text
    assert "birth_date" not in answer.text


@pytest.mark.usefixtures("person")
async def test_a_statistician_sees_no_identifier_in_lists(target: Target) -> None:
    for accept in ("application/json", "text/csv"):
        for path in ("/participants", "/outcomes"):
            answer = await target.get(path, role="statistician", Accept=accept)
            assert answer.status_code == 200
            assert "EDC-" not in answer.text
            assert "1985" not in answer.text


@pytest.mark.parametrize("below", _UNDER_P)
async def test_a_participant_sees_nothing_of_another(
    target: Target, person: str, below: str
) -> None:
    own = (await target.registered()).rpartition("/")[2]
    claims = {"participant": own}
    await target.refuses(
        403, 404, method="GET", path=f"{person}{below}", role="participant", claims=claims
    )


@pytest.mark.parametrize(
    "path",
    [
        "/participants",
        "/deviations",
        "/adverse-events",
        "/outcomes",
        "/audit",
        "/audit/verification",
        "/enrolment/summary",
        "/safety/summary",
        "/safety/deadlines",
        "P",
        "P/eligibility",
        "P/assessments",
        "P/outcomes",
        "P/adverse-events",
        "P/laboratory-results",
        "P/screening",
        "P/enrolment",
        "P/status",
        "P/deviations",
    ],
)
async def test_a_participant_sees_schedule_visits_and_consents_only(
    target: Target, person: str, path: str
) -> None:
    claims = {"participant": person.rpartition("/")[2]}
    found = person + path[1:] if path[0] == "P" else path
    await target.refuses(403, 404, method="GET", path=found, role="participant", claims=claims)


@pytest.mark.parametrize("name", _posts())
async def test_a_participant_records_nothing(target: Target, person: str, name: str) -> None:
    method, template, body = _posts()[name]
    claims = {"participant": person.rpartition("/")[2]}
    await target.refuses(
        403,
        404,
        method=method,
        path=_path(template, person),
        body=body,
        role="participant",
        claims=claims,
        If_Match='"1"',
    )


@pytest.mark.parametrize("role", ["coordinator", "edc"])
@pytest.mark.parametrize("below", _UNDER_P)
async def test_another_site_reads_nothing(
    target: Target, person: str, below: str, role: str
) -> None:
    claims = {"sites": [OTHER_SITE]}
    await target.refuses(403, 404, method="GET", path=f"{person}{below}", role=role, claims=claims)


@pytest.mark.parametrize("role", ["coordinator", "edc", "investigator"])
@pytest.mark.parametrize("name", [name for name in _posts() if name not in {"bulk", "site"}])
async def test_another_site_writes_nothing(
    target: Target, person: str, name: str, role: str
) -> None:
    method, template, body = _posts()[name]
    await target.refuses(
        403,
        404,
        method=method,
        path=_path(template, person),
        body=body,
        role=role,
        claims={"sites": [OTHER_SITE]},
        If_Match='"1"',
    )


@pytest.mark.parametrize("name", [name for name in _posts() if name not in {"bulk", "site"}])
async def test_another_site_learns_nothing_from_a_later_check(
    target: Target, person: str, name: str
) -> None:
    method, template, _ = _posts()[name]
    if template[0] == "S":
        return
    said: Any = {"role": "investigator", "claims": {"sites": [OTHER_SITE]}}
    said = {**said, "role": "safety_officer"} if name == "closure" else said
    spoilt: Any
    for spoilt in (
        {"body": {"unheard": 1}},
        {"body": b"{", "If_Match": '"1"'},
        {"body": b"x", "Content_Type": "text/plain"},
        {"body": {}, "If_Match": '"a", "b"'},
        {"body": {}, "Idempotency_Key": "x" * 300},
    ):
        told = []
        for whose in (person, f"/participants/{NOWHERE}"):
            path = _path(template, whose)
            answer = await target.refuses(404, method=method, path=path, **said, **spoilt)
            document = answer.json()
            told.append([document[one] for one in ("type", "title", "detail")])
        assert told[0] == told[1]


async def test_another_site_writes_nothing_in_bulk(target: Target, person: str) -> None:
    row = {"participant": person.rpartition("/")[2], **vas()}
    async with target.writing_nothing():
        answer = await target.post(
            "/assessments/bulk", [row], role="edc", claims={"sites": [OTHER_SITE]}
        )
    assert answer.status_code == 200
    assert answer.json()[0]["problem"]["status"] == 404


async def test_another_site_lists_none_of_it(target: Target, person: str) -> None:
    known = (await target.get(person)).json()
    claims = {"sites": [OTHER_SITE]}
    for query in ("", f"?external_id={known['external_id']}", f"?site={SITE}"):
        for path in ("/participants", "/adverse-events", "/deviations"):
            answer = await target.get(f"{path}{query}", role="coordinator", claims=claims)
            assert known["id"] not in answer.text
            if "site=" in query:
                check_refusal(answer, 403, 404, 422)


@pytest.mark.parametrize("role", ["investigator", "auditor"])
async def test_another_studys_token_opens_nothing(target: Target, person: str, role: str) -> None:
    claims = {"studies": [OTHER_STUDY]}
    for below in _UNDER_P:
        await target.refuses(
            403, 404, method="GET", path=f"{person}{below}", role=role, claims=claims
        )
    for method, template, body in _posts().values():
        await target.refuses(
            403,
            404,
            method=method,
            path=_path(template, person),
            body=body,
            role=role,
            claims=claims,
            If_Match='"1"',
        )


async def test_a_record_is_below_its_own_participant_only(target: Target) -> None:
    owner, other = await target.consented(), await target.consented()
    for kind, body in (
        ("assessments", vas()),
        ("adverse-events", adverse_event()),
        ("laboratory-results", laboratory_result()),
    ):
        made = await target.made(f"{owner}/{kind}", body)
        below = f"{other}/{kind}/{made['id']}"
        for tail in ("", "/versions"):
            await target.refuses(404, method="GET", path=f"{below}{tail}")
        changed = {**body, "change_reason": "misread"}
        await target.refuses(404, method="PUT", path=below, body=changed, If_Match='"1"')
        gone = {"reason": "wrong"}
        retraction = f"{below}/retraction"
        await target.refuses(404, method="POST", path=retraction, body=gone, If_Match='"1"')
    given = (await target.get(f"{owner}/consents")).json()["items"][0]
    path = f"{other}/consents/{given['id']}/withdrawal"
    await target.refuses(404, method="POST", path=path, body=withdrawal())


@pytest.mark.parametrize(
    "member",
    ["id", "version", "status", "hash", "screening_number", "recorded_by", "study", "participant"],
)
async def test_the_servers_own_members_are_not_taken(target: Target, member: str) -> None:
    body = registration(SITE, **{member: "MARKqz7"})
    answer = await target.refuses(422, method="POST", path="/participants", body=body)
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/{member}"]


@pytest.mark.parametrize(
    "name",
    [
        "..%2F..%2Fparticipants",
        "*",
        "%25",
        "'%20OR%20'1'='1",
        "x';DROP%20TABLE%20event;--",
        "%00",
        "",
        "EDC-1%20",
        "x" * 5000,
        "%ff%fe",
        "..",
        "%2e%2e",
    ],
)
async def test_no_trick_names_a_participant(target: Target, person: str, name: str) -> None:
    del person
    for below in ("", "/consents", "/assessments", "/adverse-events"):
        path = f"/participants/external:{name}{below}"
        await target.refuses(400, 404, 422, method="GET", path=path)
    path = f"/participants/external:{name}/adverse-events"
    await target.refuses(400, 404, 422, method="POST", path=path, body=adverse_event())


@pytest.mark.parametrize("role", [*ROLES, "service", None])
async def test_feeds_are_not_for_callers(target: Target, role: str | None) -> None:
    await target.refuses(401, 403, 404, method="GET", path="/events", role=role)


async def test_a_stranger_cannot_tell_other_from_unknown(target: Target, person: str) -> None:
    unknown = f"/participants/{uuid4()}"
    said: Mapping[str, Any] = {"role": "coordinator", "claims": {"sites": [OTHER_SITE]}}
    for name, (method, template, body) in _posts().items():
        # A report about somebody of whom safety has not heard yet is never turned away.
        if template[0] == "S" or name == "adverse event":
            continue
        told = []
        for whose in (person, unknown):
            answer = await target.send(method, _path(template, whose), body, If_Match='"1"', **said)
            document = answer.json()
            told.append(
                (answer.status_code, document["type"], document["title"], document["detail"])
            )
        assert told[0] == told[1], template
    for below in _UNDER_P:
        first, second = [await target.get(f"{whose}{below}", **said) for whose in (person, unknown)]
        kept = [
            {**answer.json(), "request_id": None, "sent": sorted(answer.headers)}
            for answer in (first, second)
        ]
        assert kept[0] == kept[1], below


async def test_another_sites_external_id_is_not_said_whose(target: Target, person: str) -> None:
    external = (await target.get(person)).json()["external_id"]
    claims = {"sites": [OTHER_SITE]}
    body = registration(SITE, external_id=external)
    await target.refuses(403, 404, method="POST", path="/participants", body=body, claims=claims)
    await target.refuses(
        403, 404, 409, 422,
        method="POST",
        path="/participants",
        body={**body, "site": OTHER_SITE},
        claims=claims,
    )  # fmt: skip
    answer = await target.refuses(
        409, 422, method="POST", path="/participants", body={**body, "birth_date": "1970-01-01"}
    )
    assert external not in answer.text


async def test_the_study_in_the_path_is_the_one_in_the_token(target: Target) -> None:
    for study in (f"{STUDY}x", STUDY.lower(), OTHER_STUDY, "..", "%2e%2e", "*"):
        await target.refuses(400, 404, method="GET", path=f"/v1/studies/{study}/participants")
