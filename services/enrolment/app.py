"""The enrolment service: participants, consents, eligibility, visits, the schedule."""

from operator import itemgetter

from fastapi import FastAPI

from services.enrolment.facts import FOLLOWED
from services.enrolment.routes.arrangements import arrangements
from services.enrolment.routes.calendars import calendars, published
from services.enrolment.routes.consents import consents
from services.enrolment.routes.decisions import decisions
from services.enrolment.routes.deviations import deviations
from services.enrolment.routes.eligibility import eligibility
from services.enrolment.routes.evaluations import evaluations
from services.enrolment.routes.finding import own_id
from services.enrolment.routes.flow import flow
from services.enrolment.routes.infusions import infusions
from services.enrolment.routes.participants import participants
from services.enrolment.routes.receipts import receipts
from services.enrolment.routes.schedules import DrawnSchedules, schedules
from services.enrolment.routes.screening import screening
from services.enrolment.routes.statuses import statuses
from services.enrolment.routes.studies import studies
from services.enrolment.routes.visits import visits
from services.enrolment.tables import TABLES
from services.kernel.application import build_app
from services.kernel.definition import Service
from services.kernel.settings import ProcessSettings
from services.protocol.loading import load_studies

ENROLMENT = Service(
    name="enrolment",
    title="Enrolment and eligibility",
    summary="Participants from consent to the last visit, and why each may take part.",
    tables=TABLES,
    routers=(
        studies,
        participants,
        statuses,
        consents,
        screening,
        eligibility,
        decisions,
        schedules,
        calendars,
        published,
        visits,
        infusions,
        arrangements,
        deviations,
        flow,
        evaluations,
        receipts,
    ),
    subjects={
        "studies": "The protocol as data, its sites and their places.",
        "participants": "Who is screened and takes part, and the statuses passed through.",
        "consents": "Signed consents, and what was taken back of them.",
        "screening": "What the criteria need, each criterion explained, and the signed decision.",
        "visits": "The visits of the schedule, and everything of a visit in one request.",
        "conduct": "Deviations from the protocol, and the flow of participants.",
        "evaluations": "The rules without storing anything.",
        "receipts": "Receipts of whole visits, for the gateway.",
    },
    follows=FOLLOWED,
    find_participant=own_id,
    keeps=(DrawnSchedules,),
    typed={"since": itemgetter("date"), "held_on": itemgetter("date")},
)


def create_app() -> FastAPI:
    """Return the service's application, configured by the environment."""
    settings = ProcessSettings()
    return build_app(ENROLMENT, load_studies(*settings.studies_dir), settings)
