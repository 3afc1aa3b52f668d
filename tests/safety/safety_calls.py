"""Calls to safety as its callers make them; builders of bodies, valid in every field."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
from joserfc.jwk import ECKey

from services.kernel.exact_json import canonical_json
from services.kernel.storage import Database
from tests.tokens import signed

STUDY: Final = "NCT03745417"
SITES: Final = (
    *("OTHER", "THIRD", "SUMMARY", "PAST", "SIGNAL", "STOPS", "EMERGENT", "READ"),
    *("A1", "A2", "A3"),
)
"""Sites beside the registered one; some belong to one test alone."""


def earlier(**past: float) -> str:
    """Return a time before now, as text."""
    return (datetime.now(UTC) - timedelta(**past)).isoformat()


def seriousness(**stated: bool) -> dict[str, bool]:
    """Return all six criteria judged: false, but for those named."""
    criteria = (
        "death",
        "life_threatening",
        "hospitalization",
        "disability",
        "congenital_anomaly",
        "medically_important",
    )
    return {**dict.fromkeys(criteria, False), **stated}


def adverse_event(**stated: Any) -> dict[str, Any]:
    """Return the report of a fever that is not serious."""
    return {
        "term": "fever",
        "onset": "2021-10-03T20:00:00+08:00",
        "ctcae_grade": 1,
        "seriousness": seriousness(),
        "investigator_causality": "probable",
        "investigator_aware_at": "2021-10-04T09:00:00+08:00",
        "sponsor_aware_at": "2021-10-04T15:00:00+08:00",
        **stated,
    }


def susar(**stated: Any) -> dict[str, Any]:
    """Return the report of a hospitalisation that is suspected and unexpected."""
    serious = {"seriousness": seriousness(hospitalization=True), "ctcae_grade": 3}
    return adverse_event(**{**serious, **stated})


def laboratory_result(**stated: Any) -> dict[str, Any]:
    """Return a report of one test."""
    return {
        "collected_at": "2021-09-10T09:00:00+08:00",
        "visit": "SCR",
        "results": [{"test": "ast", "loinc": "1920-8", "value": 22, "unit": "U/L", "uln": 40}],
        **stated,
    }


@dataclass(frozen=True, slots=True)
class Tokens:
    """Signs tokens as the issuer does."""

    key: ECKey

    def sign(self, role: str, sites: list[str] | None) -> str:
        return signed(self.key, role, [STUDY], sites=sites)


@dataclass(slots=True)
class Safety:
    """The service as its callers see it, and the facts that its feed has told."""

    client: httpx.AsyncClient
    tokens: Tokens
    database: Database

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "edc",
        sites: list[str] | None = None,
        **headers: str,
    ) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given["Authorization"] = f"Bearer {self.tokens.sign(role, sites)}"
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else canonical_json(body)
            given.setdefault("Content-Type", "application/json")
        return await self.client.request(
            method, f"/v1/studies/{STUDY}{path}", content=content, headers=given
        )

    async def get(self, path: str, **caller: Any) -> httpx.Response:
        return await self.call("GET", path, **caller)

    async def post(self, path: str, body: Any, **caller: Any) -> httpx.Response:
        return await self.call("POST", path, body, **caller)

    async def put(self, path: str, body: Any, **caller: Any) -> httpx.Response:
        return await self.call("PUT", path, body, **caller)

    async def report(self, participant: UUID, **stated: Any) -> dict[str, Any]:
        """Return the answer to a report that is taken."""
        answer = await self.post(
            f"/participants/{participant}/adverse-events", adverse_event(**stated)
        )
        assert answer.status_code == 201, answer.text
        taken: dict[str, Any] = answer.json()
        return taken

    async def tell(self, participant: UUID, site: str, resource: str, **members: Any) -> None:
        """Keep a fact, as the feed would."""
        identity = participant if resource == "participant" else uuid4()
        document = {"id": str(identity), "record_status": "entered", "site": site, **members}
        async with self.database.pooled() as connection:
            await connection.execute(
                "INSERT INTO fact (study, participant, source, resource, resource_id, version, "
                "site, recorded_at, body) VALUES ($1, $2, 'enrolment', $3, $4, 1, $5, now(), $6)",
                STUDY,
                participant,
                resource,
                identity,
                site,
                document,
            )
            await connection.execute(
                "INSERT INTO followed (study, source, position, applied_at) "
                "VALUES ($1, 'enrolment', 1, now()) ON CONFLICT (study, source) "
                "DO UPDATE SET position = followed.position + 1",
                STUDY,
            )

    async def participant(
        self, site: str = "GDTCM", *, signed_at: str | None = "2021-09-01T09:00:00+08:00"
    ) -> UUID:
        """Return a new participant, who has consented unless `signed_at` is None."""
        participant = uuid4()
        external = f"EDC-{participant.hex[:12]}"
        await self.tell(
            participant,
            site,
            "participant",
            external_id=external,
            birth_date="1985-04-12",
            sex="female",
        )
        if signed_at is not None:
            scope = ["treatment", "data"]
            await self.tell(participant, site, "consent", scope=scope, signed_at=signed_at)
        return participant

    async def infuse(self, participant: UUID, started_at: str, site: str = "GDTCM") -> None:
        """Tell of an infusion."""
        await self.tell(participant, site, "infusion", visit="W0", started_at=started_at)

    async def end(self, participant: UUID, status: str, day: str, site: str = "GDTCM") -> None:
        """Tell that the participant left the study."""
        await self.tell(participant, site, "status", status=status, date=day)


def faults(answer: httpx.Response) -> set[tuple[str, str]]:
    """Return pointers and codes of a refusal."""
    return {
        (one.get("pointer") or one.get("parameter") or one.get("header") or "", one["code"])
        for one in answer.json()["errors"]
    }


def kind(answer: httpx.Response) -> tuple[int, str]:
    """Return a refusal's status and kind."""
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def record_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the record in an answer, without what a write alone says."""
    body: dict[str, Any] = answer.json()
    return {name: value for name, value in body.items() if name not in {"write", "queries"}}
