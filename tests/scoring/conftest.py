"""Scoring over ASGI, on a throwaway database; facts stand for what enrolment's feed told."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from joserfc.jwk import ECKey
from pydantic import SecretStr

from services.kernel.application import build_app
from services.kernel.settings import Issuer, ProcessSettings
from services.kernel.storage import Database
from services.protocol.loading import Studies, load_studies
from services.protocol.study import Site
from services.scoring.app import SCORING
from tests.one_service import service_database, silent_feed
from tests.scoring.scoring_calls import (
    OTHER_SITE,
    STUDIES,
    STUDY,
    Scoring,
    Tokens,
    next_study,
)
from tests.tokens import AUDIENCE, ISSUER


@pytest.fixture(scope="session")
async def scoring_database(postgres_dsn: str) -> AsyncIterator[str]:
    async with service_database(postgres_dsn, "scoring") as dsn:
        yield dsn


def _studies() -> Studies:
    """The registered study with a second site, and others like it."""
    study = load_studies()[STUDY]
    second = Site(code=OTHER_SITE, name=OTHER_SITE, time_zone="Asia/Shanghai")
    study = replace(study, sites=(*study.sites, second))
    like_it = {number: replace(study, number=number) for number in STUDIES}
    return Studies({STUDY: study, **like_it})


@pytest.fixture(scope="session")
async def service(
    scoring_database: str, issuer_key: ECKey, issuer_key_set: str
) -> AsyncIterator[Scoring]:
    """The service beside an enrolment that has no news."""
    async with silent_feed() as enrolment_url:
        settings = ProcessSettings(
            database_url=scoring_database,
            issuers=[Issuer(issuer=ISSUER, audience=AUDIENCE, jwks=issuer_key_set)],
            enrolment_url=enrolment_url,
            service_token=SecretStr("service"),
            log_level="CRITICAL",
        )
        app = build_app(SCORING, _studies(), settings)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://scoring.test") as client,
        ):
            yield Scoring(client, Tokens(issuer_key), app.state.holdings[Database])


@pytest.fixture(scope="module")
def scoring(service: Scoring) -> Scoring:
    """The service, by the registered study."""
    return service


@pytest.fixture
def study_alone(service: Scoring) -> Scoring:
    """The service, by a study that no other test of this module uses."""
    return replace(service, study=next_study())
