import csv
import io
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.enrolment.enrolment_calls import (
    OTHER_STUDY,
    STUDY,
    Enrolment,
    infusion,
    registration,
    visit,
)

LISTS = (
    "",
    "/consents",
    "/screening/versions",
    "/eligibility/attestations",
    "/enrolment",
    "/status",
    "/visits",
    "/infusions",
    "/deviations",
    "/deviation-answers",
)


@pytest.fixture
async def path(enrolment: Enrolment) -> str:
    path = await enrolment.enrolled()
    await enrolment.made(f"{path}/visits", visit(day="2021-09-16"))
    await enrolment.made(f"{path}/infusions", infusion())
    return path


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


async def lists(enrolment: Enrolment) -> dict[str, Any]:
    """Return every documented list by its path below the study."""
    document = (await enrolment.client.get("/openapi.json")).json()
    return {
        at.removeprefix("/v1/studies/{study}"): operations["get"]
        for at, operations in document["paths"].items()
        if "get" in operations
        and "text/csv" in operations["get"]["responses"]["200"].get("content", {})
    }


async def test_every_list_is_documented_as_a_table(enrolment: Enrolment) -> None:
    below = "/participants/{participant}"
    documented = await lists(enrolment)
    expected = {"/participants", "/deviations", "/sites", *(below + one for one in LISTS[1:])}
    assert expected <= set(documented)


@pytest.mark.parametrize("part", LISTS[1:])
async def test_a_list_as_csv_has_the_rows_of_the_json(
    enrolment: Enrolment, path: str, part: str
) -> None:
    items = (await enrolment.get(path + part)).json()["items"]
    table = rows(await enrolment.get(path + part, Accept="text/csv"))
    named = ("id", "version", "code", "status", "document_version")
    assert [{n: row[n] for n in named if n in row} for row in table] == [
        {n: str(item[n]) if item.get(n) is not None else "" for n in named if n in table[0]}
        for item in items
    ]


async def test_participants_as_csv_keep_filter_and_link(enrolment: Enrolment) -> None:
    site = enrolment.site()
    for _ in range(3):
        await enrolment.registered(site)
    first = await enrolment.get(f"/participants?site={site}&limit=2", Accept="text/csv")
    again = await enrolment.client.get(
        first.links["next"]["url"],
        headers={"Authorization": first.request.headers["Authorization"], "Accept": "text/csv"},
    )
    numbers = [row["screening_number"] for row in (*rows(first), *rows(again))]
    assert numbers == [f"{site}-00{number}" for number in (1, 2, 3)]
    assert "next" not in again.links
    assert first.headers["vary"] == "Accept"


async def test_an_id_that_looks_like_a_formula_is_no_formula(enrolment: Enrolment) -> None:
    site = enrolment.site()
    for external in ("=HYPERLINK(1)", "+1", "-1", "@SUM"):
        body = registration(site, external_id=f"{external}{site}")
        await enrolment.made("/participants", body)
    table = rows(await enrolment.get(f"/participants?site={site}", Accept="text/csv"))
    assert [row["external_id"][:2] for row in table] == ["'=", "'+", "'-", "'@"]


async def test_sites_and_studies_are_tables_too(enrolment: Enrolment) -> None:
    sites = rows(await enrolment.get("/sites", study=OTHER_STUDY, Accept="text/csv"))
    assert [row["code"] for row in sites]
    assert all(row["time_zone"] for row in sites)
    token = f"Bearer {enrolment.tokens.sign('auditor', None, None)}"
    headers = {"Authorization": token, "Accept": "text/csv"}
    known = rows(await enrolment.client.get("/v1/studies", headers=headers))
    assert STUDY in {row["study"] for row in known}


async def test_a_statisticians_table_has_no_direct_identifiers(enrolment: Enrolment) -> None:
    site = enrolment.site()
    await enrolment.registered(site)
    [row] = rows(
        await enrolment.get(f"/participants?site={site}", role="statistician", Accept="text/csv")
    )
    assert (row["external_id"], row["birth_date"]) == ("", "")
    assert UUID(row["id"])


async def test_a_refusal_is_a_problem_whatever_was_asked_for(enrolment: Enrolment) -> None:
    answer = await enrolment.get("/participants?limit=0", Accept="text/csv")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
