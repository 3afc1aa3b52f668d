"""The study's safety tables over HTTP."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import Call, CallDep, may, router
from services.kernel.resources import AsOf, past_moment
from services.kernel.storage import Database
from services.protocol.loading import Studies
from services.safety.domain.dossier import Dossier
from services.safety.domain.incidence import SafetySummary
from services.safety.domain.summarising import summarise_study
from services.safety.facts import read_study
from services.safety.routes.participants import READERS

summary = router(prefix="/v1/studies/{study}", tags=["safety summary"])

OnlyEmergent = Annotated[bool, Query(description="Count only treatment-emergent events.")]


@summary.get(
    "/safety/summary",
    name="read_safety_summary",
    response_model=SafetySummary,
    **may(*READERS, "statistician"),
)
async def read_summary(
    request: Request,
    call: CallDep,
    treatment_emergent: OnlyEmergent = False,  # noqa: FBT002 - a query parameter
    as_of: AsOf = None,
) -> Response:
    """Count the adverse events of everyone with an infusion, by class and by term."""
    moment = past_moment(as_of)
    async with held(request, Database).pooled() as connection:
        dossiers = await read_study(connection, call.study, as_of=moment)
    own = {at: dossier for at, dossier in dossiers.items() if _is_covered(call, dossier)}
    study = held(request, Studies)[call.study]
    found = summarise_study(own, study, is_emergent_only=treatment_emergent)
    headers = {"Cache-Control": "no-store"}
    return Response(canonical_json(found), headers=headers, media_type="application/json")


def _is_covered(call: Call, dossier: Dossier) -> bool:
    known = dossier.participation
    return known is not None and call.caller.covers_site(known.site)
