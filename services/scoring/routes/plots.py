"""Plots of a participant and of the study: as a picture, as its numbers, as a table."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Path, Request
from starlette.responses import Response

from services.kernel.exact_json import canonical_json, stamp
from services.kernel.feeds import known_participant
from services.kernel.holdings import held
from services.kernel.http import CSV, Call, CallDep, may, preferred, router, write_csv
from services.kernel.refusals import NotFound
from services.kernel.resources import AsOf, past_moment
from services.protocol.loading import Studies
from services.protocol.settings import Settings
from services.protocol.study import Study
from services.scoring.domain.participant_plots import course_plot
from services.scoring.domain.study_plots import courses_plot, survival_plot, waterfall_plot
from services.scoring.routes.answered_plots import CoursePlot, StudyPlot
from services.scoring.routes.outcomes import (
    READERS,
    Anchor,
    Definition,
    derived_response,
    read_file,
    read_scan,
    settings_of,
)
from services.scoring.scans.scanning import StudyScan

plots = router(prefix="/v1/studies/{study}", tags=["outcomes"])

JSON: Final = "application/json"
SVG: Final = "image/svg+xml"
_MADE: Final = (SVG, JSON, CSV)
_ROWS_BY_KIND: Final = {
    "course": "points",
    "courses": "visits",
    "waterfall": "bars",
    "survival": "steps",
}
_NOTES_BY_KIND: Final = {
    "survival": "relapse is dated on the day on which it is observed",
    "waterfall": "week 12 as observed",
    "courses": "at a visit: the value nearest to its target within the window",
    "course": "grey: visit windows",
}
CourseName = Annotated[str, Path(description="An instrument of the study, such as `pasi`.")]
StudyPlotName = Annotated[
    str,
    Path(description="`waterfall`, `kaplan-meier`, or an instrument of the study, as `pasi`."),
]


def _rules() -> dict[str, Any]:
    rules = may(*READERS, is_tagged=True)
    rules["responses"][200] = {
        "description": "The plot, as `Accept` has it; a picture if it does not matter.",
        "content": {
            SVG: {"schema": {"type": "string", "description": "The picture."}},
            CSV: {"schema": {"type": "string", "description": "One row a point."}},
        },
    }
    return rules


@plots.get("/participants/{participant}/plots/{name}", response_model=CoursePlot, **_rules())
async def read_participant_plot(
    request: Request, participant: str, name: CourseName, call: CallDep, as_of: AsOf = None
) -> Response:
    """Return a participant's values by one instrument over time, with windows and infusions."""
    at = past_moment(as_of)
    known = await known_participant(request, call, participant)
    study = held(request, Studies)[call.study]
    _require_instrument(study, name)
    file = await read_file(request, call, known, at)
    return await _plot_response(request, call, at, lambda: course_plot(file, study, name))


@plots.get("/plots/{name}", response_model=StudyPlot, **_rules())
async def read_study_plot(
    request: Request,
    name: StudyPlotName,
    call: CallDep,
    as_of: AsOf = None,
    week12_anchor: Anchor = None,
    relapse_definition: Definition = None,
) -> Response:
    """Return one plot of the caller's sites.

    `waterfall`: the improvement at week 12. `kaplan-meier`: time from PASI-50 to relapse, with
    the numbers at risk. An instrument: its values over time, by visit.
    """
    at = past_moment(as_of)
    study = held(request, Studies)[call.study]
    settings = settings_of(study, week12_anchor, relapse_definition)
    instrument = "pasi" if name in {"waterfall", "kaplan-meier"} else name
    _require_instrument(study, instrument)
    found = await read_scan(request, call, at, [instrument])
    return await _plot_response(
        request, call, at, lambda: _study_plot(name, found, study, settings)
    )


def _require_instrument(study: Study, name: str) -> None:
    if name not in study.instruments:
        raise NotFound


def _study_plot(name: str, found: StudyScan, study: Study, settings: Settings) -> dict[str, Any]:
    if name == "waterfall":
        return waterfall_plot(found.scan, found.owners, study, settings)
    if name == "kaplan-meier":
        return survival_plot(found.scan, study, settings)
    return courses_plot(found.scan, name, found.owners, study, settings)


async def _plot_response(
    request: Request, call: Call, at: datetime | None, derive: Callable[[], Mapping[str, Any]]
) -> Response:
    """Return the plot as the caller would rather have it; made in a thread of its own."""
    kind = preferred(request, _MADE)
    body = await asyncio.to_thread(_body, kind, call.study, at, derive)
    response = derived_response(request, body)
    response.headers["Vary"] = "Accept"
    if response.body:
        response.headers["Content-Type"] = kind if kind == JSON else f"{kind}; charset=utf-8"
    return response


def _body(
    kind: str, study: str, at: datetime | None, derive: Callable[[], Mapping[str, Any]]
) -> bytes:
    plot = derive()
    if kind == CSV:
        rows = plot[_ROWS_BY_KIND[plot["kind"]]]
        return write_csv(map(canonical_json, rows), ())
    if kind == JSON:
        return canonical_json({"study": study, "as_of": at, **plot})
    # Only who draws pays for the library: a second, and 56 MB.
    from services.scoring.figures import draw  # noqa: PLC0415

    said = [study, _NOTES_BY_KIND[plot["kind"]]]
    if at is not None:
        said.append(f"as of {stamp(at.astimezone(UTC))}")
    return draw(plot, "; ".join(said))
