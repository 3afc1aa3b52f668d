"""What an outcome was derived from, and that no stored score is made anew."""

from typing import Any
from uuid import UUID

import pytest

from services.protocol.loading import load_studies
from services.scoring.domain.participant_files import ParticipantFile
from services.scoring.domain.participant_outcomes import participant_view

STUDY = load_studies()["NCT03745417"]
BASELINE, WEEK_12 = "2021-09-15T01:00:00+00:00", "2021-12-08T01:00:00+00:00"


def assessed(number: int, at: str, points: int, **stated: Any) -> dict[str, Any]:
    """Return a stored PASI; of its answers nothing but the derived value is there."""
    return {
        "id": str(UUID(int=number)),
        "version": 1,
        "rule": "pasi/1",
        "instrument": "pasi",
        "record_status": "entered",
        "assessed_at": at,
        "derived": {"pasi": points},
        **stated,
    }


def infused(at: str, **stated: Any) -> dict[str, Any]:
    return {
        "id": str(UUID(int=99)),
        "version": 1,
        "started_at": at,
        "record_status": "entered",
        **stated,
    }


def view(assessments: list[Any], infusions: list[Any]) -> dict[str, Any]:
    file = ParticipantFile(
        id=UUID(int=1), site="GDTCM", assessments=assessments, infusions=infusions
    )
    return participant_view(file, STUDY)


def test_a_score_of_an_earlier_rule_stands_with_that_rule() -> None:
    found = view(
        [assessed(1, BASELINE, 20, rule="pasi/0"), assessed(2, WEEK_12, 4, version=3)],
        [infused("2021-09-15T02:00:00+00:00")],
    )
    assert found["improvement_percent"] == 80
    used = found["derivation"]["improvement_percent"]["inputs"]
    assert [(one["rule"], one["version"]) for one in used] == [("pasi/0", 1), ("pasi/1", 3)]


def test_what_was_retracted_is_no_input() -> None:
    gone = {"record_status": "retracted"}
    found = view(
        [assessed(1, BASELINE, 20), assessed(2, WEEK_12, 4, **gone)],
        [infused("2021-09-01T02:00:00+00:00", **gone), infused("2021-09-15T02:00:00+00:00")],
    )
    assert found["week12"] is None
    assert found["week12_by_anchor"]["first_infusion"]["window"]["target_date"].day == 8
    assert [one["value"] for one in found["derivation"]["change"]["inputs"]] == [20]


@pytest.mark.parametrize("name", ["baseline", "week12", "relapse", "responders_nri", "locf"])
def test_every_setting_that_is_read_says_where_it_comes_from(name: str) -> None:
    found = view([assessed(1, BASELINE, 20)], [infused("2021-09-15T02:00:00+00:00")])
    for place, setting in found["derivation"][name]["settings"].items():
        assert setting["source"].startswith(("registry: ", "assumption: ")), place
        assert setting["value"] is not None
