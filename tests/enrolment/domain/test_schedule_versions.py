"""The version of a schedule, at sites of which one has daylight saving."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.enrolment.domain.schedule import Course, VisitArranged, VisitHeld, derive_schedule
from services.enrolment.domain.schedule_versions import count_versions
from services.protocol.loading import load_studies
from services.protocol.visit_calendar import site_date

STUDY = load_studies()["NCT03745417"]
SHANGHAI = "Asia/Shanghai"
BERLIN = "Europe/Berlin"
START = date(2021, 9, 15)
PLANNED = Course(participant=UUID(int=1), planned_infusion_on=START)
TREATED = replace(PLANNED, first_infusion_on=START)
AT = datetime(2021, 9, 1, 9, tzinfo=UTC)


def versions(*history: tuple[datetime, Course], today: date, zone: str = SHANGHAI) -> int:
    return count_versions(STUDY, history, zone, today)


def test_the_first_content_is_version_1() -> None:
    assert versions((AT, PLANNED), today=date(2021, 9, 1)) == 1


def test_a_record_that_changes_no_content_does_not_count() -> None:
    again = (AT + timedelta(minutes=1), PLANNED)
    assert versions((AT, PLANNED), again, today=date(2021, 9, 1)) == 1


def test_a_record_that_changes_the_content_counts() -> None:
    moved = replace(PLANNED, planned_infusion_on=date(2021, 9, 16))
    assert versions((AT, PLANNED), (AT, moved), today=date(2021, 9, 1)) == 2
    back = (AT + timedelta(hours=1), PLANNED)
    assert versions((AT, PLANNED), (AT, moved), back, today=date(2021, 9, 1)) == 3


def test_windows_that_open_and_close_count_at_midnight() -> None:
    """Screening closes and day 1 opens in one night; day 1 is over in the next."""
    assert [versions((AT, PLANNED), today=date(2021, 9, day)) for day in (14, 15, 16, 17)] == [
        1,
        2,
        3,
        3,
    ]


def test_what_happened_between_two_records_counts() -> None:
    late = datetime(2021, 10, 20, 9, tzinfo=UTC)
    held = replace(TREATED, held=[VisitHeld(id=UUID(int=7), code="W2", held_on=date(2021, 9, 29))])
    known = [(AT, PLANNED), (late, held)]
    before = versions(known[0], today=date(2021, 10, 20))
    assert versions(*known, today=date(2021, 10, 20)) == before + 1


@pytest.mark.parametrize(
    ("at", "day"),
    [
        ("2024-03-30T22:59:59+00:00", date(2024, 3, 30)),
        ("2024-03-30T23:00:00+00:00", date(2024, 3, 31)),  # midnight before the clocks go on
        ("2024-03-31T21:59:59+00:00", date(2024, 3, 31)),
        ("2024-03-31T22:00:00+00:00", date(2024, 4, 1)),  # a day of 23 hours
        ("2024-10-26T22:00:00+00:00", date(2024, 10, 27)),
        ("2024-10-27T22:59:59+00:00", date(2024, 10, 27)),
        ("2024-10-27T23:00:00+00:00", date(2024, 10, 28)),  # a day of 25 hours
        ("2024-02-29T22:59:59+00:00", date(2024, 2, 29)),
        ("2024-02-29T23:00:00+00:00", date(2024, 3, 1)),
        ("2023-02-28T23:00:00+00:00", date(2023, 3, 1)),
        ("2024-12-31T23:00:00+00:00", date(2025, 1, 1)),
    ],
)
def test_the_version_turns_at_the_sites_own_midnight(at: str, day: date) -> None:
    """A visit of one day is due from midnight to midnight by the clocks of its site."""
    moment = datetime.fromisoformat(at)
    course = replace(PLANNED, planned_infusion_on=day)
    began = (moment - timedelta(days=40), course)
    today = site_date(moment, BERLIN)
    assert today == day
    entries = derive_schedule(STUDY, course, today).visits
    assert {one.code: one.status for one in entries}["W0"] == "due"
    eve = versions(began, today=day - timedelta(days=1), zone=BERLIN)
    assert versions(began, today=today, zone=BERLIN) == eve + 1


ARRANGED = st.builds(
    VisitArranged,
    code=st.sampled_from(["W2", "W4", "W12"]),
    status=st.sampled_from(["missed", "cancelled", "planned"]),
    planned_on=st.none() | st.dates(date(2021, 9, 1), date(2022, 1, 1)),
)
COURSES = st.lists(
    st.builds(
        Course,
        participant=st.just(UUID(int=1)),
        planned_infusion_on=st.none() | st.just(START),
        first_infusion_on=st.none() | st.just(START),
        arranged=st.lists(ARRANGED, max_size=2),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(told=COURSES, gaps=st.lists(st.integers(0, 40), min_size=4, max_size=4))
def test_the_version_grows_exactly_when_the_content_changes(
    told: list[Course], gaps: list[int]
) -> None:
    moments = [AT + timedelta(days=sum(gaps[:at])) for at in range(len(told))]
    history = list(zip(moments, told, strict=True))
    last = site_date(moments[-1], SHANGHAI)
    days = [last + timedelta(days=day) for day in range(0, 60, 7)]
    seen = [(versions(*history, today=day), derive_schedule(STUDY, told[-1], day)) for day in days]
    for (version, content), (later, other) in pairwise(seen):
        assert later >= version
        assert (later == version) == (content == other)
