"""The pages about the contract: the document itself, and one for each kind of problem."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Final

import httpx
import pytest

from gateway.app import create_app
from services.kernel.problems import problem_code, problem_title
from services.kernel.refusals import Refusal
from tests.contract.contract import GATEWAY, ROOT


def _modules() -> Iterator[str]:
    for room in ("services", "gateway"):
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if "migrations" not in name:
                yield name.removesuffix(".__init__")


def _kinds() -> dict[str, type[Refusal]]:
    for module in _modules():
        import_module(module)
    found: dict[str, type[Refusal]] = {}
    waiting = Refusal.__subclasses__()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith(("services.", "gateway.")):
            found[problem_code(kind)] = kind
    return found


KINDS: Final = _kinds()


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    monkeypatch.setenv("TRIAL_ISSUERS", "[]")
    monkeypatch.setenv("TRIAL_LOG_LEVEL", "CRITICAL")
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app()), base_url="http://gateway.test"
    )


async def test_every_kind_of_problem_has_a_page_that_says_what_to_do(
    gateway: httpx.AsyncClient,
) -> None:
    for code, kind in KINDS.items():
        page = await gateway.get(f"/problems/{code}")
        assert page.status_code == 200, code
        assert problem_title(kind)[:20].split("'")[0] in page.text
        assert len(GATEWAY["x-problems"][code]["advice"]) > 20, code
        assert f"Status {kind.status}" in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]


async def test_no_page_tells_of_a_problem_that_there_is_not(gateway: httpx.AsyncClient) -> None:
    assert GATEWAY["x-problems"].keys() == KINDS.keys()
    assert (await gateway.get("/problems/none-of-ours")).status_code == 404
    listed = await gateway.get("/problems")
    assert set(re.findall(r'href="/problems/([a-z0-9-]+)"', listed.text)) == KINDS.keys()


async def test_page_of_the_contract_names_nothing_on_another_host(
    gateway: httpx.AsyncClient,
) -> None:
    page = await gateway.get("/docs")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert named
    for address in named:
        assert address.startswith("/")
        assert (await gateway.get(address)).status_code == 200
    assert "'self'" in page.headers["Content-Security-Policy"]


async def test_served_document_is_the_one_checked_in(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/openapi.json")).json() == GATEWAY
