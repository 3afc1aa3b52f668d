"""From a participant's records to the verdict, whatever the order in which they arrived."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.enrolment.domain.judging_file import Gathered, judge_file
from tests.enrolment.domain.screenings import MAN, STUDY

AT = datetime(2021, 9, 14, 1, tzinfo=UTC)
OWN = (
    "first_screening_procedure_datetime",
    "planned_first_infusion_date",
    "diagnosis",
    "reproductive",
    "medical",
    "other_trials",
    "therapies",
    "investigator",
)


def document(number: int, **members: Any) -> dict[str, Any]:
    stamps = {"id": str(UUID(int=number)), "version": 1, "recorded_at": "2021-09-10T00:00:00Z"}
    return {**stamps, "record_status": "entered", **members}


def assessment(number: int, instrument: str, at: str, **members: Any) -> dict[str, Any]:
    return document(
        number, instrument=instrument, assessed_at=at, **{"derived": {}, "answers": {}, **members}
    )


def report(number: int, at: str, **values: Any) -> dict[str, Any]:
    results = [{"test": test, **result} for test, result in values.items()]
    return document(number, collected_at=at, results=results)


SCREENING = document(
    2,
    **{name: MAN[name] for name in OWN},
    psych={"other_psychiatric_disorder": False},
    attested=True,
)
CONSENT = document(
    3, scope=["treatment", "data"], signed_at="2021-09-01T09:00:00+08:00", withdrawals=[]
)
ASSESSMENTS = (
    assessment(10, "pasi", "2021-09-02T09:00:00+08:00", derived={"pasi": 14}),
    assessment(11, "pasi", "2021-09-08T09:00:00+08:00", derived={"pasi": 6}),
    assessment(12, "bsa", "2021-09-02T09:00:00+08:00", answers={"percent": 16}),
    assessment(13, "bsa", "2021-09-02T09:00:00+08:00", answers={"percent": 9}),
    assessment(14, "sas", "2021-09-02T09:00:00+08:00", derived={"index": 38}),
    assessment(15, "sds", "2021-09-02T09:00:00+08:00", derived={"index": 41}),
    assessment(16, "sas", "2021-09-03T09:00:00+08:00", derived={"index": 60}, version=2),
)
REPORTS = (
    report(20, "2021-09-03T09:00:00+08:00", **MAN["labs"]),
    report(21, "2021-09-04T09:00:00+08:00", wbc={"value": 2, "unit": "10*9/L"}),
    report(22, "2021-09-04T09:00:00+08:00", wbc={"value": 4, "unit": "10*9/L"}),
    report(23, "2021-09-05T09:00:00+08:00", afp={"value": 40, "unit": "ng/mL", "uln": 9}),
)
GATHERED = Gathered(
    study=STUDY,
    site="GDTCM",
    profile=document(1, birth_date="1985-04-12", sex="male"),
    consents=(CONSENT,),
    screenings=((AT, SCREENING),),
    attestations=(),
    assessments=ASSESSMENTS,
    laboratory_results=REPORTS,
    first_infusion=None,
    at=AT,
)


def reconsented() -> Gathered:
    later = {**CONSENT, "id": str(UUID(int=4)), "signed_at": "2021-09-09T09:00:00+08:00"}
    return replace(GATHERED, consents=(CONSENT, later))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_order_of_arrival_does_not_change_the_verdict(data: st.DataObject) -> None:
    whole = reconsented()
    shuffled = replace(
        whole,
        consents=tuple(data.draw(st.permutations(whole.consents))),
        assessments=tuple(data.draw(st.permutations(whole.assessments))),
        laboratory_results=tuple(data.draw(st.permutations(whole.laboratory_results))),
    )
    assert judge_file(shuffled) == judge_file(whole)


def test_the_latest_of_each_counts() -> None:
    found = judge_file(GATHERED)
    assert set(found.failed) == {"I1b", "E4a"}
    assert found.criteria["E5n"] == "not_met"
    values = {one["pointer"]: one for one in found.details["I1b"]["values"]}
    source = values["/severity/pasi"]["source"]
    assert (source["service"], source["record"]) == ("scoring", "assessment")
    assert source["id"] == str(UUID(int=11))
    assert source["at"] == "2021-09-08T09:00:00+08:00"
    assert source["version"] == 1


def test_markers_of_the_panel_are_shown_with_their_report() -> None:
    shown = judge_file(GATHERED).details["E6b"]
    assert shown["flags"] == ["tumour_marker_above_uln"]
    sources = {one["source"]["id"] for one in shown["values"] if "/labs/" in one["pointer"]}
    assert sources == {str(UUID(int=23))}


def test_without_a_plan_the_screening_window_ends_today() -> None:
    unplanned = {**SCREENING, "planned_first_infusion_date": None}
    early = replace(GATHERED, screenings=((AT, unplanned),))
    assert judge_file(early).criteria["E5m"] == "not_met"
    late = replace(early, at=datetime(2021, 10, 20, tzinfo=UTC))
    assert judge_file(late).criteria["E5m"] == "unknown"


def test_statements_of_an_earlier_screening_wait_for_the_investigator() -> None:
    again = replace(GATHERED, screened_again_at=datetime(2021, 9, 15, tzinfo=UTC))
    found = judge_file(again)
    assert {"I1a", "E10", "E9a"} <= set(found.unknown)
    assert "entered_but_not_attested" in found.details["E10"]["flags"]
    assert found.criteria["I2"] == "met"
    before = replace(GATHERED, screened_again_at=datetime(2021, 9, 13, tzinfo=UTC))
    assert judge_file(before) == judge_file(GATHERED)
