"""Studies as data, their sites, and how participants flow through them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import Request
from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass as form
from starlette.responses import Response

from services.enrolment.domain.enrolling import PutSite, decide_site
from services.enrolment.domain.participant_file import SITE
from services.enrolment.facts import load_files
from services.enrolment.routes.finding import STAFF, study_of
from services.kernel.exact_json import canonical_json
from services.kernel.holdings import held
from services.kernel.http import (
    Call,
    CallDep,
    IdempotencyKey,
    may,
    page_response,
    read_response,
    router,
)
from services.kernel.identity import Role
from services.kernel.records import ClosedBody, Page, StoredView
from services.kernel.refusals import NotFound
from services.kernel.resources import files_of_participants, versions_response
from services.kernel.storage import STUDY_STREAM, Database
from services.kernel.values import WHOLE, Code
from services.kernel.writing import submit
from services.protocol.loading import Studies
from services.protocol.study import CLOSED, Study

studies = router(prefix="/v1/studies", tags=["studies"])

READERS: tuple[Role, ...] = (*STAFF, "admin")


class SiteBody(ClosedBody):
    """Whether a site takes participants, and how many it may enrol."""

    status: Literal["open", "closed"]
    places: Annotated[int, Field(ge=0, le=100_000), WHOLE] | None = None


class StudyView(BaseModel):
    """A study that the caller's token covers."""

    study: str
    title: str
    version: str


class SettingSource(BaseModel):
    """A setting's value, and where it comes from."""

    value: Any
    source: Annotated[str, Field(description="`registry` or `assumption`.")]
    reference: str


@form(frozen=True, kw_only=True, config=CLOSED)
class Protocol(Study):
    """The study as data, and the source of each setting by its place."""

    study: Code
    sources: Mapping[str, SettingSource]  # type: ignore[assignment]


class ListedSite(BaseModel):
    """A site of the study, with what stands for it; version 0 is the study file's."""

    code: str
    name: str
    time_zone: Annotated[str, Field(description="An IANA time zone.")]
    status: Literal["open", "closed"]
    places: Annotated[int | None, Field(description="Null has no limit of its own.")]
    version: Annotated[int, Field(ge=0)]


class SiteView(StoredView):
    """A site's settings."""

    code: str
    status: Literal["open", "closed"]
    places: int | None


@studies.get("", response_model=Page[StudyView], **may(*READERS))
async def list_studies(request: Request, call: CallDep) -> Response:
    """List the studies that the caller's token covers."""
    items = [
        canonical_json({"study": study.number, "title": study.title, "version": study.version})
        for study in held(request, Studies).values()
        if study.number in call.caller.studies
    ]
    return page_response(request, items, None)


@studies.get("/{study}", response_model=Protocol, **may(*READERS, is_tagged=True))
async def read_study(request: Request, call: CallDep) -> Response:
    """Return the protocol: visits, windows, criteria, outcomes, each setting with its source."""
    study = study_of(request, call)
    body = canonical_json(study.as_document())
    return read_response(request, body, f'"{study.version}"')


@studies.get("/{study}/sites", response_model=Page[ListedSite], **may(*READERS))
async def list_sites(request: Request, call: CallDep) -> Response:
    """List the study's sites, with what an administrator has set for them."""
    return page_response(
        request, [canonical_json(one) for one in await _sites(request, call)], None
    )


@studies.get("/{study}/sites/{site}", response_model=ListedSite, **may(*READERS, is_tagged=True))
async def read_site(request: Request, site: str, call: CallDep) -> Response:
    """Return one site, with what an administrator has set for it."""
    found = next((one for one in await _sites(request, call) if one["code"] == site), None)
    if found is None:
        raise NotFound
    return read_response(request, canonical_json(found), f'"{found["version"]}"')


@studies.get("/{study}/sites/{site}/versions", response_model=Page[SiteView], **may(*READERS))
async def list_site_versions(request: Request, site: str, call: CallDep) -> Response:
    """List all that administrators have set for a site, the first first."""
    if not call.caller.covers_site(site):
        raise NotFound
    record = _site_id(call.study, site)
    return await versions_response(request, call, STUDY_STREAM, SITE, record)


async def _sites(request: Request, call: Call) -> list[dict[str, Any]]:
    """Return the sites that the caller's token covers; version 0 is the study file's."""
    async with held(request, Database).pooled() as connection:
        files = await files_of_participants(connection, call.study, [STUDY_STREAM], [SITE.name])
    stored = files.get(STUDY_STREAM, {}).get(SITE.name, {}).values()
    documents = {one.document["code"]: one.document for one in stored}
    return [
        {
            "code": site.code,
            "name": site.name,
            "time_zone": site.time_zone,
            "status": site.status,
            "places": site.places,
            "version": 0,
            **_set_by_hand(documents.get(site.code, {})),
        }
        for site in study_of(request, call).sites
        if call.caller.covers_site(site.code)
    ]


def _set_by_hand(document: Mapping[str, Any]) -> dict[str, Any]:
    shown = ("status", "places", "version")
    return {name: document[name] for name in shown if name in document}


def _site_id(study: str, site: str) -> UUID:
    """Return the id of a site's settings."""
    return uuid5(NAMESPACE_URL, f"{study}/sites/{site}")


@studies.put("/{study}/sites/{site}", response_model=SiteView, **may("admin"))
async def put_site(
    request: Request,
    site: str,
    body: SiteBody,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Open or close a site, or set how many participants it may enrol."""
    del idempotency_key
    study = study_of(request, call)
    if site not in {one.code for one in study.sites} or not call.caller.covers_site(site):
        raise NotFound
    order = PutSite(
        study=study,
        participant=STUDY_STREAM,
        id=_site_id(study.number, site),
        sites=None,
        counts_places=True,
        code=site,
        status=body.status,
        places=body.places,
    )
    return await submit(
        request, call, [order], load=load_files, decide=decide_site, location=call.path
    )
