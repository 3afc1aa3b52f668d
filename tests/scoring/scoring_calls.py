"""Calls to scoring as its callers make them; builders of bodies, valid in every field."""

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
from joserfc.jwk import ECKey

from services.kernel.exact_json import canonical_json
from services.kernel.storage import Database
from tests.tokens import signed

STUDY: Final = "NCT03745417"
SITE: Final = "GDTCM"
OTHER_SITE: Final = "SECOND"
REGIONS: Final = ("head", "upper_limbs", "trunk", "lower_limbs")
_TENTHS: Final = {"head": 1, "upper_limbs": 2, "trunk": 3, "lower_limbs": 4}


def region(erythema: int = 2, area_score: int = 3, **stated: Any) -> dict[str, Any]:
    """Return one region, graded."""
    signs = {"erythema": erythema, "induration": 0, "desquamation": 0}
    return {**signs, "area_score": area_score, **stated}


def pasi(sign: int = 2, area: int = 3, **stated: Any) -> dict[str, Any]:
    """Return a PASI of sign times area points."""
    answers = {"regions": {name: region(sign, area) for name in REGIONS}}
    return assessment("pasi", answers, **stated)


def assessment(instrument: str, answers: dict[str, Any], **stated: Any) -> dict[str, Any]:
    """Return one filled-in instrument of the screening visit."""
    body = {"instrument": instrument, "visit": "SCR", "assessed_at": "2021-09-02T09:00:00+08:00"}
    return {**body, "answers": answers, "assessor": "dr-li", **stated}


ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "pasi": pasi()["answers"],
    "bsa": {"percent": 16},
    "dlqi": {"items": {str(item): 1 for item in range(1, 11) if item != 7} | {"7": None}},
    "vas": {"value": 41, "unit": "mm"},
    "sas": {"answers": [1] * 20},
    "sds": {"answers": [1] * 20},
}


def valid(instrument: str, **stated: Any) -> dict[str, Any]:
    """Return a valid assessment by an instrument."""
    return assessment(instrument, deepcopy(ANSWERS[instrument]), **stated)


def source(ref: str | None = None) -> dict[str, str]:
    """Return a source reference of one's own."""
    return {"source_system": "openclinica", "source_ref": ref or f"form-{uuid4().hex[:12]}"}


@dataclass(frozen=True, slots=True)
class Tokens:
    """Signs tokens as the issuer does."""

    key: ECKey

    def sign(self, role: str, sites: list[str] | None, study: str = STUDY) -> str:
        return signed(self.key, role, [study], sites=sites)


@dataclass(slots=True)
class Scoring:
    """The service as its callers see it, and the facts that enrolment's feed has told.

    `study`: each test module has a study of its own, so that cohorts do not mix.
    """

    client: httpx.AsyncClient
    tokens: Tokens
    database: Database
    study: str = STUDY

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "investigator",
        sites: list[str] | None = None,
        content: bytes | None = None,
        **headers: str,
    ) -> httpx.Response:
        given = {"Content-Type": "application/json"} if body is not None else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        given["Authorization"] = f"Bearer {self.tokens.sign(role, sites, self.study)}"
        raw = content if body is None else canonical_json(body)
        url = f"/v1/studies/{self.study}{path}"
        return await self.client.request(method, url, content=raw, headers=given)

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

    async def assessed(self, path: str, body: Any, **caller: Any) -> dict[str, Any]:
        """Return an assessment just recorded."""
        return await self.made(f"{path}/assessments", body, **caller)

    async def tell(
        self,
        participant: UUID,
        resource: str,
        *,
        site: str = SITE,
        resource_id: UUID | None = None,
        version: int = 1,
        **members: Any,
    ) -> None:
        """Keep a fact, as enrolment's feed would."""
        identity = participant if resource == "participant" else resource_id or uuid4()
        document = {"id": str(identity), "site": site, "record_status": "entered", **members}
        async with self.database.pooled() as connection:
            await connection.execute(
                "INSERT INTO fact (study, participant, source, resource, resource_id, version, "
                "site, recorded_at, body) VALUES ($1, $2, 'enrolment', $3, $4, $5, $6, $7, $8)",
                self.study,
                participant,
                resource,
                identity,
                version,
                site,
                datetime.now(UTC),
                {**document, "version": version},
            )

    async def known(self, site: str = SITE, **external: Any) -> str:
        """Return the path of a participant of whom only the registration is known."""
        participant = uuid4()
        await self.tell(participant, "participant", site=site, **external)
        return f"/participants/{participant}"

    async def consented(self, site: str = SITE, **external: Any) -> str:
        """Return the path of a participant who consented to everything on 1 September."""
        path = await self.known(site, **external)
        scope = ["treatment", "data"]
        signed = "2021-09-01T09:00:00+08:00"
        await self.tell(identity(path), "consent", site=site, scope=scope, signed_at=signed)
        return path

    async def treated(self, *days: str, site: str = SITE) -> str:
        """Return the path of a participant who was infused on these days at ten."""
        path = await self.consented(site)
        for day in days or ("2021-09-15",):
            at = f"{day}T10:00:00+08:00"
            await self.tell(identity(path), "infusion", site=site, started_at=at, visit="W0")
        return path

    async def course(self, path: str, **points_by_day: int) -> list[dict[str, Any]]:
        """Record PASI values: `d2021_09_15=20`; each number of points is sign times area."""
        made = []
        for day, points in points_by_day.items():
            at = f"{day[1:].replace('_', '-')}T08:30:00+08:00"
            body = pasi_of(points, visit="unscheduled", assessed_at=at)
            made.append(await self.assessed(path, body))
        return made


def pasi_of(tenths: int, **stated: Any) -> dict[str, Any]:
    """Return a PASI of so many tenths of a point, of those that signs of one kind reach."""
    regions = {name: region(0, 0) for name in REGIONS}
    left = tenths
    for name in reversed(REGIONS):
        area = min(6, left // (_TENTHS[name] * 4))
        regions[name] = region(4 if area else 0, area)
        left -= 4 * area * _TENTHS[name]
        if left and not area and left % _TENTHS[name] == 0 and left // _TENTHS[name] < 4:
            regions[name] = region(left // _TENTHS[name], 1)
            left = 0
    assert left == 0, f"{tenths} cannot be reached"
    return assessment("pasi", {"regions": regions}, **stated)


def identity(path: str) -> UUID:
    """Return the participant's id of a path."""
    return UUID(path.rpartition("/")[2])


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


STUDIES: Final = tuple(f"NCT090000{number:02}" for number in range(40))
"""Studies like the registered one, of two sites."""
next_study: Final = cycle(STUDIES).__next__
