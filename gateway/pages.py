"""The pages that explain the contract to people, from our own files only."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

import fastapi_offline
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from gateway.contract import codes_in, merged_document, operations_in
from services.kernel.exact_json import canonical_json
from services.kernel.refusals import NotFound

_FILES: Final = Path(fastapi_offline.__file__).parent / "static"
_FILE_KINDS: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE_HEADERS: Final = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Trial events: the HTTP contract</title>
<link rel="icon" href="/docs/favicon.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="contract"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = """window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#contract",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


def add_contract(app: FastAPI, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Serve the document, its page, and a page for each kind of problem."""
    contract = merged_document(app, documents)
    app.openapi = lambda: contract  # type: ignore[method-assign]
    encoded = canonical_json(contract)
    kinds: Mapping[str, Mapping[str, Any]] = contract["x-problems"]
    places = problem_places(contract)

    async def read_document(_request: Request) -> Response:
        return Response(
            encoded, media_type="application/json", headers={"Cache-Control": "no-cache"}
        )

    async def read_page(_request: Request) -> Response:
        return Response(_PAGE, media_type="text/html", headers=_PAGE_HEADERS)

    async def read_start(_request: Request) -> Response:
        return Response(_START, media_type="text/javascript", headers=_PAGE_HEADERS)

    async def read_file(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in _FILE_KINDS:
            raise NotFound
        return FileResponse(_FILES / name, media_type=_FILE_KINDS[name], headers=_PAGE_HEADERS)

    async def list_problems(_request: Request) -> Response:
        return _page("Kinds of problem", _list_of(kinds))

    async def read_problem(request: Request) -> Response:
        code = request.path_params["code"]
        if code not in kinds:
            raise NotFound
        return _page(code, _explained(kinds[code], places.get(code, ())))

    for path, endpoint in (
        ("/openapi.json", read_document),
        ("/docs", read_page),
        ("/docs/start.js", read_start),
        ("/docs/{file}", read_file),
        ("/problems", list_problems),
        ("/problems/{code}", read_problem),
    ):
        app.router.add_route(path, endpoint, methods=["GET"])


def problem_places(contract: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the operations that give each kind of problem, as method and path."""
    places: dict[str, list[str]] = {}
    for method, path, operation in operations_in(contract):
        for response in operation["responses"].values():
            for code in codes_in(response["description"]):
                places.setdefault(code, []).append(f"{method.upper()} {path}")
    return places


def _list_of(kinds: Mapping[str, Mapping[str, Any]]) -> str:
    items = (
        f'<li>{kind["status"]} <a href="/problems/{code}">{code}</a>: {escape(kind["title"])}</li>'
        for code, kind in kinds.items()
    )
    return f"<ul>{''.join(items)}</ul>"


def _explained(kind: Mapping[str, Any], places: Mapping[str, Any] | Any) -> str:
    listed = "".join(f"<li><code>{escape(place)}</code></li>" for place in places)
    given_by = f"<h2>Given by</h2><ul>{listed}</ul>" if listed else ""
    return (
        f"<p>{escape(kind['title'])}</p><p>Status {kind['status']}.</p>"
        f"<h2>What to do</h2><p>{escape(kind['advice'])}</p>{given_by}"
    )


def _page(title: str, content: str) -> Response:
    page = (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
        f"<body><h1>{escape(title)}</h1>{content}"
        '<p><a href="/problems">All kinds of problem</a> · '
        '<a href="/docs">The whole contract</a></p></body></html>\n'
    )
    return Response(page, media_type="text/html", headers=_PAGE_HEADERS)
