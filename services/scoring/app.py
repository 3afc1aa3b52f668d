"""The scoring service: assessments, their scores, and the outcomes that follow."""

from fastapi import FastAPI

from services.kernel.application import build_app
from services.kernel.definition import Service
from services.kernel.feeds import known_participant
from services.kernel.settings import ProcessSettings
from services.protocol.loading import load_studies
from services.scoring.domain.assessments import score_of
from services.scoring.facts import FOLLOWED
from services.scoring.routes.assessments import assessments
from services.scoring.routes.bulk import bulk, keep_bulk_writer
from services.scoring.routes.evaluations import evaluations
from services.scoring.routes.outcomes import outcomes
from services.scoring.routes.plots import plots
from services.scoring.routes.visits import visits
from services.scoring.tables import TABLES

SCORING = Service(
    name="scoring",
    title="Scoring and outcomes",
    summary="Assessments with exact scores, and outcomes that explain themselves.",
    tables=TABLES,
    routers=(assessments, bulk, visits, outcomes, plots, evaluations),
    subjects={
        "assessments": "Filled-in instruments, exactly scored.",
        "visits": "The visits of the schedule, and everything of a visit in one request.",
        "outcomes": "Week 12, response and relapse, and the registered outcome measures.",
        "evaluations": "The rules without storing anything.",
    },
    follows=FOLLOWED,
    find_participant=known_participant,
    typed={"score": score_of},
    background=(keep_bulk_writer,),
)


def create_app() -> FastAPI:
    """Return the service's application, configured by the environment."""
    settings = ProcessSettings()
    return build_app(SCORING, load_studies(*settings.studies_dir), settings)
