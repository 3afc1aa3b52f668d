"""Every operation with every role, at the gateway and at the service itself."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from joserfc.jwk import ECKey

from services.kernel.identity import ROLES
from tests.whole_system import SERVICES, STUDY, WholeSystem, pasi, screening_visit, token

DOCUMENTS: Final = Path(__file__).parents[2] / "openapi"
HAND: Final = {"coordinator", "investigator"}
SENDERS: Final = {"edc", *HAND}
EVALUATORS: Final = ROLES - {"participant", "service"}
NOBODY: Final = "01a20000-0000-7000-8000-000000000000"
P: Final = "/v1/studies/{study}/participants/{participant}"
S: Final = "/v1/studies/{study}"

WRITERS: Final[Mapping[str, set[str]]] = {
    f"POST {S}/participants": HAND,
    f"POST {P}/consents": HAND,
    f"POST {P}/consents/{{consent}}/withdrawal": HAND,
    f"POST {P}/consents/{{consent}}/retraction": HAND,
    f"PUT {P}/screening": HAND,
    f"POST {P}/status": HAND,
    f"POST {P}/eligibility/attestations": {"investigator"},
    f"POST {P}/enrolment": {"investigator"},
    f"POST {P}/visits": SENDERS,
    f"POST {P}/visits/{{visit}}/plan": SENDERS,
    f"POST {P}/infusions": SENDERS,
    f"PUT {P}/infusions/{{infusion}}": SENDERS,
    f"POST {P}/infusions/{{infusion}}/retraction": SENDERS,
    f"POST {P}/assessments": SENDERS,
    f"PUT {P}/assessments/{{assessment}}": SENDERS,
    f"POST {P}/assessments/{{assessment}}/retraction": SENDERS,
    f"POST {S}/assessments/bulk": SENDERS,
    f"POST {P}/adverse-events": SENDERS,
    f"PUT {P}/adverse-events/{{adverse_event}}": {*SENDERS, "safety_officer"},
    f"POST {P}/adverse-events/{{adverse_event}}/retraction": SENDERS,
    f"POST {P}/adverse-events/{{adverse_event}}/clocks/{{clock}}/closure": {"safety_officer"},
    f"POST {P}/laboratory-results": SENDERS,
    f"PUT {P}/laboratory-results/{{laboratory_result}}": SENDERS,
    f"POST {P}/laboratory-results/{{laboratory_result}}/retraction": SENDERS,
    f"PUT {S}/sites/{{site}}": {"admin"},
    f"POST {P}/schedule/address": {*HAND, "participant"},
    f"POST {P}/schedule/address/revocation": {*HAND, "participant"},
}
"""Who writes what, as the contract says it."""
READERS: Final[Mapping[str, set[str]]] = {
    f"GET {S}/audit": {"auditor"},
    f"GET {S}/audit/verification": {"auditor"},
    "GET /metrics": {"admin"},
    "GET /v1/me/schedule": {"participant"},
    "GET /v1/me": set(ROLES) - {"service"},
}
PARTICIPANTS_OWN: Final = ("/v1/me", f"{P}/schedule", f"{P}/visits", f"{P}/consents")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, where it is served, and who may call it."""

    document: str
    method: str
    path: str
    roles: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def path_for(self, participant: str) -> str:
        """Return a path of the operation; what stands below the participant does not exist."""
        known = {"study": STUDY, "participant": participant}
        parts = self.path.split("/")
        return "/".join(
            known.get(part.strip("{}"), NOBODY) if part.startswith("{") else part for part in parts
        )


def operations(document: str) -> list[Operation]:
    """Return the operations of a document for which a role is needed."""
    described = json.loads((DOCUMENTS / f"{document}.json").read_text())
    return [
        Operation(document, method.upper(), path, frozenset(operation["x-roles"]))
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if "x-roles" in operation
    ]


@dataclass(slots=True)
class Inside:
    """Each application without a network before it, and a participant to ask for."""

    key: ECKey
    participant: str
    clients: Mapping[str, httpx.AsyncClient]
    _tokens: dict[str, str] = field(default_factory=dict)

    async def answer(self, operation: Operation, role: str | None, **claims: Any) -> httpx.Response:
        """Return what an operation answers to a role, or to nobody."""
        headers = {}
        if role is not None:
            stated = f"{role} {claims}"
            if stated not in self._tokens:
                self._tokens[stated] = token(self.key, role, **claims)
            headers["Authorization"] = f"Bearer {self._tokens[stated]}"
        path = operation.path_for(self.participant)
        client = self.clients[operation.document]
        return await client.request(operation.method, path, headers=headers)


EVERY: Final = [
    operation for document in ("gateway", *SERVICES) for operation in operations(document)
]
OFFERED: Final = {operation.name: operation for operation in operations("gateway")}


@pytest.fixture(scope="session")
async def inside(system: WholeSystem) -> AsyncIterator[Inside]:
    async with AsyncExitStack() as clients:
        found = {
            document: await clients.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(process.app), base_url="http://inside.test"
                )
            )
            for document, process in system.processes.items()
        }
        yield Inside(system.key, await _followed(system), found)


async def _followed(system: WholeSystem) -> str:
    """Return a participant of whom every list has something to show."""
    participant = await system.registered()
    await system.made(f"/participants/{participant}/visits", screening_visit(), role="edc")
    await system.made(f"/participants/{participant}/assessments", pasi(odd=True))
    await system.reported(participant, seriousness={"death": True}, ctcae_grade=5)
    return participant


def _id(operation: Operation) -> str:
    return f"{operation.document} {operation.name}"


@pytest.mark.parametrize("operation", EVERY, ids=_id)
async def test_every_operation_with_every_role(inside: Inside, operation: Operation) -> None:
    assert (await inside.answer(operation, None)).status_code == 401
    for role in sorted(ROLES):
        own = {"participant": inside.participant} if role == "participant" else {}
        answer = await inside.answer(operation, role, **own)
        if role in operation.roles:
            assert answer.status_code not in {401, 403}, (role, answer.text)
        else:
            assert answer.status_code == 403, (role, answer.status_code, answer.text)
    assert (await inside.answer(operation, "none", roles=[])).status_code == 403


@pytest.mark.parametrize("operation", [one for one in EVERY if "{study}" in one.path], ids=_id)
async def test_every_operation_is_of_the_tokens_study(inside: Inside, operation: Operation) -> None:
    role = min(operation.roles - {"participant"})
    answer = await inside.answer(operation, role, studies=["NCT00000002"])
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "operation",
    [
        one
        for one in EVERY
        if "{participant}" in one.path and one.method == "GET" and one.document != "gateway"
    ],
    ids=_id,
)
async def test_every_service_knows_whose_record_it_is(inside: Inside, operation: Operation) -> None:
    role = min(operation.roles - {"participant"})
    assert (await inside.answer(operation, role, sites=["ELSEWHERE"])).status_code == 404
    if "participant" in operation.roles:
        another = await inside.answer(operation, "participant", participant=NOBODY)
        assert another.status_code == 404


@pytest.mark.parametrize(
    "operation",
    [
        one
        for one in OFFERED.values()
        if one.method == "GET" and one.path.startswith(f"{S}/") and one.path.count("{") == 1
    ],
    ids=_id,
)
async def test_no_list_shows_another_sites_participants(
    inside: Inside, operation: Operation
) -> None:
    role = min(operation.roles - {"participant"})
    answer = await inside.answer(operation, role, sites=["ELSEWHERE"])
    assert answer.status_code not in {401, 500}
    assert inside.participant not in answer.text


@pytest.mark.parametrize(("name", "roles"), [*WRITERS.items(), *READERS.items()])
def test_the_contract_says_who_may(name: str, roles: set[str]) -> None:
    assert OFFERED[name].roles == roles


def test_whoever_reads_everything_reads_everything() -> None:
    for name, operation in OFFERED.items():
        if operation.method == "GET" and operation.path.startswith("/v1/studies"):
            assert "auditor" in operation.roles, name


def test_whoever_only_reads_writes_nothing() -> None:
    for name, operation in OFFERED.items():
        if operation.method == "GET":
            continue
        if "/evaluations/" in operation.path:
            assert operation.roles == EVALUATORS, name
        else:
            assert not operation.roles & {"auditor", "statistician"}, name


def test_a_participant_reaches_its_own_schedule_visits_and_consents_only() -> None:
    for name, operation in OFFERED.items():
        if "participant" in operation.roles:
            assert operation.path.startswith(PARTICIPANTS_OWN), name


def test_nothing_offered_is_for_services() -> None:
    for name, operation in OFFERED.items():
        assert "service" not in operation.roles, name


def test_a_service_says_of_an_operation_what_the_gateway_says() -> None:
    for service in SERVICES:
        for operation in operations(service):
            offered = OFFERED.get(operation.name)
            if offered is not None and operation.path != "/metrics":
                assert operation.roles >= offered.roles, operation.name
