"""Safety's operations: bodies in, commands to the writer, stored records out."""

from typing import Final

from services.safety.routes.adverse_events import adverse_events
from services.safety.routes.clocks import clocks
from services.safety.routes.deliveries import deliveries
from services.safety.routes.evaluations import evaluations
from services.safety.routes.laboratory_results import laboratory_results
from services.safety.routes.signals import signals
from services.safety.routes.summary import summary
from services.safety.routes.visits import visits
from services.safety.routes.webhooks import webhooks

ROUTERS: Final = (
    adverse_events,
    clocks,
    laboratory_results,
    visits,
    summary,
    signals,
    webhooks,
    deliveries,
    evaluations,
)
