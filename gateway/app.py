"""The gateway: one address for three services; stateless, and no wiser than its documents."""

import asyncio
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from gateway.bulk_visits import BulkTurns, bulk_visits
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
from services.kernel.application import (
    KERNEL_SUBJECTS,
    NO_TELEMETRY,
    Application,
    add_routes,
    refuse_as_problems,
)
from services.kernel.holdings import Holdings
from services.kernel.http import Guard
from services.kernel.identity import TokenVerifier
from services.kernel.observing import Metrics, Observed, Tracing, add_tracing, configure_logging
from services.kernel.openapi import described


class _AnyStudy(Container[str]):
    """The services know which studies there are; the gateway asks them."""

    def __contains__(self, study: object) -> bool:
        return True


def create_app() -> FastAPI:
    """Return the gateway, configured by the environment."""
    settings = GatewaySettings()
    configure_logging(settings.log_level)
    verifier = TokenVerifier(settings.issuers)
    holdings = Holdings(
        Metrics(),
        Forwarder(settings.url_by_service),
        BulkTurns(),
        Signer(load_key(settings.checkpoint_key)),
        Guard(verifier=verifier, studies=_AnyStudy(), find_participant=find_participant),
    )
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
        lifespan=lambda _app: _running(holdings),
    )
    app.state.holdings = holdings
    documents = read_documents()
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
    app.add_middleware(Limited, verifier=verifier, settings=settings)
    app.add_middleware(Observed, metrics=holdings[Metrics], service=SERVICE)
    holdings.add(add_tracing(app, SERVICE))
    return app


SERVICE: Final = "gateway"
_SUBJECTS: Final = {
    **KERNEL_SUBJECTS,
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
async def _running(holdings: Holdings) -> AsyncIterator[None]:
    await holdings[Forwarder].open()
    yield
    await holdings[Forwarder].close()
    await asyncio.to_thread(holdings[Tracing].end)
