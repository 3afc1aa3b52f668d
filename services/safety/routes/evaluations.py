"""The rules of safety without storing anything: the evaluations."""

from typing import Any, Final

from fastapi import Request
from pydantic.dataclasses import dataclass as form
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import Call, CallDep, may, router
from services.kernel.identity import Role
from services.protocol.loading import Studies
from services.protocol.settings import Settings, override_settings
from services.safety.domain.cases import time_zone_of
from services.safety.domain.evaluations import (
    AdverseEventInput,
    IncidenceInput,
    evaluate_adverse_event,
    evaluate_incidence,
)
from services.safety.domain.incidence import Incidence
from services.safety.routes.answered import JudgedCase
from services.safety.routes.sources import CLOSED

evaluations = router(prefix="/v1/studies/{study}/evaluations", tags=["evaluations"])
ANYONE: Final[tuple[Role, ...]] = (
    "edc",
    "coordinator",
    "investigator",
    "safety_officer",
    "statistician",
    "auditor",
    "admin",
)


@form(frozen=True, kw_only=True, config=CLOSED)
class AdverseEventQuestion(AdverseEventInput):
    """A case, and settings of the study to read otherwise."""

    settings: dict[str, Any] | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class IncidenceQuestion(IncidenceInput):
    """Adverse events to count, and settings of the study to read otherwise."""

    settings: dict[str, Any] | None = None


@evaluations.post(
    "/adverse-event", name="evaluate_adverse_event", response_model=JudgedCase, **may(*ANYONE)
)
async def answer_adverse_event(
    request: Request, body: AdverseEventQuestion, call: CallDep
) -> Response:
    """Classify a case and derive its clocks, without storing anything."""
    study = held(request, Studies)[call.study]
    settings = _settings(request, call, body.settings)
    return _answer(evaluate_adverse_event(body, settings, time_zone_of(study, None)))


@evaluations.post(
    "/ae-incidence", name="evaluate_ae_incidence", response_model=Incidence, **may(*ANYONE)
)
async def answer_incidence(request: Request, body: IncidenceQuestion, call: CallDep) -> Response:
    """Count adverse events by class and term, without storing anything."""
    return _answer(evaluate_incidence(body, _settings(request, call, body.settings)))


def _settings(request: Request, call: Call, overrides: dict[str, Any] | None) -> Settings:
    settings = held(request, Studies)[call.study].settings
    return settings if not overrides else override_settings(settings, overrides)


def _answer(found: Any) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(canonical_json(found), headers=headers, media_type="application/json")
