"""Calls to enrolment as its callers make them; builders of bodies, valid in every field."""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
from joserfc.jwk import ECKey

from services.kernel.exact_json import canonical_json
from services.kernel.storage import Database
from services.kernel.writing import new_id
from tests.tokens import signed

STUDY: Final = "NCT03745417"
SMALL_STUDY: Final = "NCT09999999"
"""A study of five places."""
OTHER_STUDY: Final = "NCT00000002"
"""A study of two sites, one of them with daylight saving."""
STUDY_FILES: Final = Path(__file__).parents[1] / "studies"
VECTORS: Final = Path(__file__).parents[1] / "vectors"
SITES: Final = tuple(f"S{number:03d}" for number in range(1, 601))
"""Sites that tests take one after the other, each a fresh one."""


def vectors(suite: str) -> list[dict[str, Any]]:
    """Return the cases of a suite, numbers exact."""
    text = (VECTORS / f"{suite}.json").read_text("utf-8")
    cases: list[dict[str, Any]] = json.loads(text, parse_float=Decimal)["cases"]
    return cases


SCREENED: Final = vectors("eligibility")[0]["input"]
"""A man about whom everything is stated and whom nothing excludes."""
_OWN: Final = (
    "first_screening_procedure_datetime",
    "planned_first_infusion_date",
    "diagnosis",
    "reproductive",
    "medical",
    "other_trials",
    "therapies",
    "investigator",
)


def screening(**stated: Any) -> dict[str, Any]:
    """Return the screening record of a man whom nothing excludes."""
    own = {name: deepcopy(SCREENED[name]) for name in _OWN}
    return {**own, "psych": {"other_psychiatric_disorder": False}, **stated}


def registration(site: str, **stated: Any) -> dict[str, Any]:
    """Return a man of 36 years, under an external id of his own."""
    external = f"EDC-{uuid4().hex[:12]}"
    body = {"site": site, "external_id": external, "birth_date": "1985-04-12", "sex": "male"}
    return {**body, **stated}


def consent(**stated: Any) -> dict[str, Any]:
    """Return a consent to everything."""
    body = {"document_version": "1.2", "signed_at": "2021-09-01T09:00:00+08:00"}
    return {**body, "obtained_by": "dr-li", "scope": ["treatment", "data"], **stated}


def decision(**stated: Any) -> dict[str, Any]:
    """Return the signed decision to enrol."""
    body = {"decision": "enrol", "decided_at": "2021-09-14T09:00:00+08:00", "signed_by": "dr-li"}
    return {**body, **stated}


def infusion(visit: str = "W0", day: str = "2021-09-15", **stated: Any) -> dict[str, Any]:
    """Return an infusion of 137 million cells."""
    given = {
        "started_at": f"{day}T10:00:00+08:00",
        "stopped_at": f"{day}T10:40:00+08:00",
        "cells_given": 137_000_000,
        "batch": "UC-2021-07",
        "viability_percent": 92,
    }
    return {"visit": visit, **given, **stated}


def visit(code: str = "W0", day: str = "2021-09-15", **stated: Any) -> dict[str, Any]:
    """Return enrolment's part of a visit."""
    held = {"code": code, "date": day, "started_at": f"{day}T08:20:00+08:00"}
    return {"visit": held, "vital_signs": {"weight_kg": Decimal("68.5")}, **stated}


def ago(**past: float) -> str:
    """Return a time before now, as text."""
    return (datetime.now(UTC) - timedelta(**past)).isoformat()


def in_days(days: int) -> str:
    """Return a date counted from today in Shanghai."""
    today: date = (datetime.now(UTC) + timedelta(hours=8)).date()
    return (today + timedelta(days=days)).isoformat()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Signs tokens as the issuer does."""

    key: ECKey

    def sign(self, role: str, sites: list[str] | None, participant: str | None) -> str:
        studies = (STUDY, SMALL_STUDY, OTHER_STUDY)
        return signed(self.key, role, studies, sites=sites, participant=participant)


@dataclass(slots=True)
class Enrolment:
    """The service as its callers see it, and the facts that its feeds have told."""

    client: httpx.AsyncClient
    tokens: Tokens
    database: Database
    _sites: "count[int]" = field(default_factory=count)

    def site(self) -> str:
        """Return a site that no other test uses."""
        return SITES[next(self._sites)]

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "investigator",
        sites: list[str] | None = None,
        participant: str | None = None,
        study: str = STUDY,
        **headers: str,
    ) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given["Authorization"] = f"Bearer {self.tokens.sign(role, sites, participant)}"
        content = None
        if body is not None:
            content = canonical_json(body)
            given["Content-Type"] = "application/json"
        return await self.client.request(
            method, f"/v1/studies/{study}{path}", content=content, headers=given
        )

    async def get(self, path: str, **caller: Any) -> httpx.Response:
        return await self.call("GET", path, **caller)

    async def post(self, path: str, body: Any, **caller: Any) -> httpx.Response:
        return await self.call("POST", path, body, **caller)

    async def put(self, path: str, body: Any, **caller: Any) -> httpx.Response:
        return await self.call("PUT", path, body, **caller)

    async def made(self, path: str, body: Any, **caller: Any) -> dict[str, Any]:
        """Return the answer to a POST that makes a record."""
        answer = await self.post(path, body, **caller)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def tell(
        self,
        participant: str,
        source: str,
        resource: str,
        *,
        study: str = STUDY,
        **members: Any,
    ) -> None:
        """Keep a fact, as a feed would."""
        identity, at = new_id(), "2021-09-12T00:00:00Z"
        document = {"id": str(identity), "version": 1, "recorded_at": at, **members}
        async with self.database.pooled() as connection:
            await connection.execute(
                "INSERT INTO fact (study, participant, source, resource, resource_id, version, "
                "site, recorded_at, body) VALUES ($1, $2, $3, $4, $5, 1, 'GDTCM', now(), $6)",
                study,
                UUID(participant),
                source,
                resource,
                identity,
                {"record_status": "entered", **document},
            )

    async def assess(
        self,
        participant: str,
        instrument: str,
        derived: dict[str, Any],
        answers: dict[str, Any] | None = None,
        study: str = STUDY,
    ) -> None:
        """Tell of an assessment made at screening."""
        await self.tell(
            participant,
            "scoring",
            "assessment",
            study=study,
            instrument=instrument,
            visit="SCR",
            assessed_at="2021-09-02T09:00:00+08:00",
            derived=derived,
            answers=answers or {},
        )

    async def tell_findings(self, participant: str, study: str = STUDY) -> None:
        """Tell of scores and laboratory values that exclude nothing."""
        severity, psych = SCREENED["severity"], SCREENED["psych"]
        await self.assess(participant, "pasi", {"pasi": severity["pasi"]}, study=study)
        percent = {"percent": severity["bsa_percent"]}
        await self.assess(participant, "bsa", {}, percent, study=study)
        await self.assess(participant, "sas", {"index": psych["sas_index"]}, study=study)
        await self.assess(participant, "sds", {"index": psych["sds_index"]}, study=study)
        results = [{"test": test, **result} for test, result in SCREENED["labs"].items()]
        await self.tell(
            participant,
            "safety",
            "laboratory_result",
            study=study,
            visit="SCR",
            collected_at="2021-09-03T09:00:00+08:00",
            results=results,
        )

    async def registered(self, site: str | None = None, **stated: Any) -> dict[str, Any]:
        """Return a participant just registered."""
        study = stated.pop("study", STUDY)
        body = registration(site or self.site(), **stated)
        return await self.made("/participants", body, study=study)

    async def screened(self, site: str | None = None, *, study: str = STUDY) -> str:
        """Return the path of an eligible participant."""
        one = await self.registered(site, study=study)
        path = f"/participants/{one['id']}"
        await self.made(f"{path}/consents", consent(), study=study)
        put = await self.put(f"{path}/screening", screening(), study=study)
        assert put.status_code == 201, put.text
        await self.tell_findings(one["id"], study)
        return path

    async def enrolled(self, site: str | None = None) -> str:
        """Return the path of an enrolled participant."""
        path = await self.screened(site)
        await self.made(f"{path}/enrolment", decision())
        return path


def faults(answer: httpx.Response) -> set[tuple[str, str]]:
    """Return pointers and codes of a refusal."""
    return {
        (one.get("pointer") or one.get("parameter") or one.get("header") or "", one["code"])
        for one in answer.json()["errors"]
    }


def kind(answer: httpx.Response) -> tuple[int, str]:
    """Return a refusal's status and kind."""
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def wrote(answer: httpx.Response) -> tuple[int, str]:
    """Return a write's status and what it did."""
    assert answer.is_success, answer.text
    return answer.status_code, answer.json()["write"]
