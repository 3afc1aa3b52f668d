"""Visits as an EDC posts them, and what came of them."""

from copy import deepcopy
from typing import Any
from uuid import uuid4

import httpx

from tests.whole_system import SERVICES, WholeSystem, pasi, vas


def fever(**stated: Any) -> dict[str, Any]:
    """Return an adverse event on the day of the first infusion."""
    return {"term": "fever", "onset": "2021-09-14T13:00:00+08:00", **stated}


def laboratory(**stated: Any) -> dict[str, Any]:
    """Return a laboratory report of that day."""
    result = {"test": "ast", "loinc": "1920-8", "value": 22, "unit": "U/L", "lln": 0, "uln": 40}
    return {"collected_at": "2021-09-14T08:45:00+08:00", "results": [result], **stated}


def _part(assessment: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in assessment.items() if name != "visit"}


def w0() -> dict[str, Any]:
    """Return the visit of the first infusion, with parts of every kind."""
    at: dict[str, Any] = {"assessed_at": "2021-09-14T09:00:00+08:00"}
    return deepcopy(
        {
            "source_system": "edc",
            "source_ref": f"W0-{uuid4().hex[:12]}",
            "site": "GDTCM",
            "visit": {"code": "W0", "date": "2021-09-14"},
            "assessments": [_part(pasi(odd=False, **at)), _part(vas(**at))],
            "vital_signs": {"weight_kg": 70},
            "laboratory_results": [laboratory()],
            "infusion": {
                "started_at": "2021-09-14T11:00:00+08:00",
                "stopped_at": "2021-09-14T11:40:00+08:00",
                "cells_given": 140_000_000,
                "batch": "UC-2021-09",
            },
            "adverse_events": [fever()],
        }
    )


def unscheduled() -> dict[str, Any]:
    """Return a visit that needs no enrolment: one score, a weight and an adverse event."""
    return {
        "source_system": "edc",
        "source_ref": f"UNS-{uuid4().hex[:12]}",
        "visit": {"code": "unscheduled", "date": "2021-09-02"},
        "assessments": [_part(vas())],
        "vital_signs": {"weight_kg": 70},
        "adverse_events": [fever(onset="2021-09-01")],
    }


async def post(
    system: WholeSystem, participant: str, body: Any, query: str = "", **said: Any
) -> httpx.Response:
    path = f"/participants/{participant}/visits{query}"
    return await system.call("POST", path, body, **{"role": "edc", **said})


async def sent(
    system: WholeSystem, participant: str, body: Any, query: str = "", **said: Any
) -> httpx.Response:
    """Post a visit as an EDC does: again while the answer is 503."""
    for _ in range(5):
        answer = await post(system, participant, body, query, **said)
        if answer.status_code != 503:
            break
    return answer


async def written(system: WholeSystem, participant: str) -> dict[str, int]:
    """Return how many events each service has of a participant."""
    return {name: len(await system.events(name, participant)) for name in SERVICES}


def faults(answer: httpx.Response) -> set[tuple[str, str]]:
    """Return pointers and codes of a refusal."""
    assert answer.status_code == 422, answer.text
    return {(one["pointer"], one["code"]) for one in answer.json()["errors"]}


def kind(answer: httpx.Response) -> tuple[int, str]:
    """Return a refusal's status and kind."""
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")
