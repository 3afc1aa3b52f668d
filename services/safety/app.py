"""The safety service: adverse events, reporting clocks, laboratory results."""

import asyncio
from operator import itemgetter

from fastapi import FastAPI

from services.kernel.application import build_app
from services.kernel.definition import Service
from services.kernel.feeds import known_participant
from services.kernel.holdings import Holdings
from services.kernel.settings import ProcessSettings
from services.protocol.loading import Studies, load_studies
from services.safety.domain.ucum import is_ucum_unit
from services.safety.facts import FOLLOWED
from services.safety.routes import ROUTERS
from services.safety.routes.adverse_events import UNVERIFIED
from services.safety.routes.participants import SAFETY_ROLES
from services.safety.settings import WebhookSettings
from services.safety.tables import TABLES
from services.safety.webhooks.ticker import tick


async def prepare_units(_holdings: Holdings) -> None:
    """Build the parser of units before a laboratory result has to wait for it."""
    await asyncio.to_thread(is_ucum_unit, "g/L")


SAFETY = Service(
    name="safety",
    title="Safety",
    summary="Adverse events with their reporting clocks, and laboratory results.",
    tables=TABLES,
    routers=ROUTERS,
    subjects={
        "adverse events": "Reports that pass every gate, with their follow-up information.",
        "reporting clocks": "By when what has to be reported, and what was.",
        "laboratory results": "Laboratory reports, with values and units as they came.",
        "safety summary": "The study's tables of adverse events.",
        "signals": "Stopping rules that hold, and who reviewed the facts that raised them.",
        "webhooks": "Who is told of what is urgent, what was delivered, and what is sent again.",
        "visits": "The visits of the schedule, and everything of a visit in one request.",
        "evaluations": "The rules without storing anything.",
    },
    follows=FOLLOWED,
    find_participant=known_participant,
    typed={"is_serious": itemgetter("serious"), "is_suspected": itemgetter("suspected")},
    background=(prepare_units, tick),
    until_known=frozenset({UNVERIFIED}),
    shown_unverified=SAFETY_ROLES,
)


def build_safety(studies: Studies, settings: ProcessSettings, webhooks: WebhookSettings) -> FastAPI:
    """Return the service's application for these studies."""
    app = build_app(SAFETY, studies, settings)
    app.state.holdings.add(webhooks)
    return app


def create_app() -> FastAPI:
    """Return the service's application, configured by the environment."""
    settings = ProcessSettings()
    return build_safety(load_studies(*settings.studies_dir), settings, WebhookSettings())
