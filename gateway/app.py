"""The gateway: one address for three services; stateless, and no wiser than its documents."""

import asyncio
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from gateway.bulk_visits import AT_ONCE, bulk_visits
from gateway.checkpoints import Signer, load_key
from gateway.forwarding import Forwarder
from gateway.limits import Limited
from gateway.own import health, metrics_of_gateway, own
from gateway.pages import add_contract
from gateway.queries import queries
from gateway.routing import add_forwarding, read_documents
from gateway.settings import GatewaySettings
from gateway.strangers import find_participant
from gateway.trail import trail
from gateway.verification import verification
from gateway.visits import visits
from services.kernel.access import TokenVerifier
from services.kernel.application import (
    NO_TELEMETRY,
    Application,
    add_routes,
    refuse_as_problems,
)
from services.kernel.documents import described
from services.kernel.surfaces import SUBJECTS
from services.kernel.telemetry import Metrics, Observed, configure_logging
from services.kernel.tracing import add_tracing


class _AnyStudy(Container[str]):
    """The services know which studies there are; the gateway asks them."""

    def __contains__(self, study: object) -> bool:
        return True


def create_app() -> FastAPI:
    """Return the gateway, configured by the environment."""
    settings = GatewaySettings()
    configure_logging(settings.log_level)
    metrics = Metrics()
    app = Application(
        title="Trial events",
        summary="A REST system that clinical trials run on.",
        description=_DESCRIPTION,
        openapi_tags=described(_SUBJECTS),
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        telemetry=NO_TELEMETRY,
        lifespan=_lifespan,
    )
    app.state.service = SERVICE
    app.state.studies = _AnyStudy()
    app.state.metrics = metrics
    app.state.verifier = TokenVerifier(settings.issuers)
    app.state.forwarder = Forwarder(settings.url_by_service)
    app.state.find_participant = find_participant
    documents = read_documents()
    app.state.bulk_turns = asyncio.Semaphore(AT_ONCE)
    app.state.signer = Signer(load_key(settings.checkpoint_key))
    routers = (
        visits,
        bulk_visits,
        own,
        health,
        metrics_of_gateway,
        queries,
        trail,
        verification,
    )
    add_routes(app, *routers)
    add_forwarding(app, documents)
    refuse_as_problems(app)
    add_contract(app, documents)
    app.add_middleware(Limited, verifier=app.state.verifier, settings=settings)
    app.add_middleware(Observed, metrics=metrics, service=SERVICE)
    app.state.end_tracing = add_tracing(app, SERVICE)
    return app


SERVICE: Final = "gateway"
_SUBJECTS: Final = {
    **SUBJECTS,
    "me": "What the token says of its bearer, and a participant's own record.",
    "visits": "The visits of the schedule, and everything of a visit in one request.",
}
_DESCRIPTION: Final = """\
Numbers are exact decimals, times RFC 3339 with an offset, dates those of the site. Records are
never changed: a correction is a new version, and what was entered in error is retracted. Every
write says what happened (`created`, `updated`, `unchanged`), and may be sent again with the same
`Idempotency-Key`. What is odd but possible is stored with `warnings`; only the impossible is
refused, as a problem (RFC 9457) whose `type` is the address of a page about it."""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    await app.state.forwarder.open()
    yield
    await app.state.forwarder.close()
    await asyncio.to_thread(app.state.end_tracing)
