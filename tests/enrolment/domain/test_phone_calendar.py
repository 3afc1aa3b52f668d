from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from services.enrolment.domain.participants import StatusChange
from services.enrolment.domain.phone_calendar import CalendarEntry, derive_calendar
from services.enrolment.domain.schedule import (
    Course,
    Schedule,
    VisitArranged,
    VisitHeld,
    derive_schedule,
)
from services.protocol.loading import load_studies

STUDY = load_studies()["NCT03745417"]
PARTICIPANT = UUID("018f0000-0000-7000-8000-000000000001")
START, TODAY = date(2021, 9, 15), date(2021, 9, 1)
FIRST_AT = datetime(2021, 9, 1, tzinfo=UTC)
PROJECTED = Course(participant=PARTICIPANT, planned_infusion_on=START)
BEGUN = replace(PROJECTED, first_infusion_on=START)
WEEKS = tuple(plan.code for plan in STUDY.visits if plan.offset_days is not None)


def after(*courses: Course) -> tuple[CalendarEntry, ...]:
    """Return the calendar after the participant's course was known so, one after the other."""
    return derive_calendar(
        (FIRST_AT + timedelta(hours=number), derive_schedule(STUDY, course, TODAY))
        for number, course in enumerate(courses)
    )


def on(entries: tuple[CalendarEntry, ...], day: date) -> CalendarEntry:
    return next(entry for entry in entries if entry.day == day)


def test_a_projection_is_tentative_until_the_first_infusion() -> None:
    assert {entry.status for entry in after(PROJECTED)} == {"TENTATIVE"}
    assert {entry.status for entry in after(BEGUN)} == {"CONFIRMED"}


def test_nothing_known_has_no_entries() -> None:
    assert after(Course(participant=PARTICIPANT)) == ()
    assert derive_calendar([]) == ()


def test_each_visit_with_a_day_has_one_entry() -> None:
    entries = after(BEGUN)
    assert len({entry.uid for entry in entries}) == len(entries) == len(WEEKS)
    assert [entry.day for entry in entries] == sorted(entry.day for entry in entries)


def test_the_same_again_keeps_the_sequence() -> None:
    assert after(BEGUN, BEGUN, BEGUN) == after(BEGUN)


def test_a_moved_appointment_is_the_same_entry_with_the_next_sequence() -> None:
    arranged = VisitArranged(code="W2", status="planned", planned_on=date(2021, 9, 30))
    moved = replace(BEGUN, arranged=[arranged])
    before, now = after(BEGUN), after(BEGUN, moved)
    was, found = on(before, date(2021, 9, 29)), on(now, date(2021, 9, 30))
    assert (was.uid, was.sequence) == (found.uid, 0)
    assert (found.sequence, found.changed_at) == (1, FIRST_AT + timedelta(hours=1))
    untouched = {entry.uid: entry for entry in now if entry.uid != found.uid}
    assert all(untouched[entry.uid] == entry for entry in before if entry.uid in untouched)


def test_what_is_missed_or_left_is_cancelled_and_stays() -> None:
    missed = replace(BEGUN, arranged=[VisitArranged(code="W2", status="missed", reason="ill")])
    left = StatusChange(status="withdrawn", date=date(2021, 10, 10), reason="moved")
    gone = replace(missed, statuses=[left])
    entries = after(BEGUN, missed, gone)
    assert on(entries, date(2021, 9, 29)).status == "CANCELLED"
    assert on(entries, date(2021, 9, 15)).status == "CONFIRMED"
    later = [entry for entry in entries if entry.day > date(2021, 10, 20)]
    assert {(entry.status, entry.sequence) for entry in later} == {("CANCELLED", 1)}


def test_what_loses_its_day_is_cancelled_on_the_day_last_told() -> None:
    unknown = Course(participant=PARTICIPANT)
    entries = after(PROJECTED, unknown)
    assert {entry.status for entry in entries} == {"CANCELLED"}
    assert [entry.day for entry in entries] == [entry.day for entry in after(PROJECTED)]
    assert {entry.sequence for entry in after(PROJECTED, unknown, unknown)} == {1}


def test_an_unscheduled_visit_is_an_entry_of_its_own() -> None:
    held = VisitHeld(id=uuid4(), code="unscheduled", held_on=date(2021, 9, 20))
    entries = after(BEGUN, replace(BEGUN, held=[held]))
    found = on(entries, date(2021, 9, 20))
    assert (found.status, found.first_day, found.last_day) == ("CONFIRMED", None, None)
    assert str(held.id) not in found.uid


def courses() -> st.SearchStrategy[Course]:
    days = st.dates(date(2021, 9, 1), date(2022, 3, 1))
    arranged = st.builds(
        VisitArranged,
        code=st.sampled_from(WEEKS),
        status=st.sampled_from(["missed", "cancelled", "planned"]),
        planned_on=st.none() | days,
    )
    return st.builds(
        Course,
        participant=st.just(PARTICIPANT),
        first_infusion_on=st.none() | days,
        planned_infusion_on=st.none() | days,
        arranged=st.lists(arranged, max_size=3),
    )


@given(st.lists(courses(), min_size=1, max_size=5))
def test_an_entry_once_told_of_never_vanishes_nor_counts_back(told: list[Course]) -> None:
    before: dict[str, CalendarEntry] = {}
    for number in range(1, len(told) + 1):
        now = {entry.uid: entry for entry in after(*told[:number])}
        assert set(before) <= set(now)
        for uid, entry in before.items():
            assert now[uid].sequence - entry.sequence == (not now[uid].says_same(entry))
        before = now


def test_an_empty_schedule_has_no_entries() -> None:
    assert derive_calendar([(FIRST_AT, Schedule(visits=()))]) == ()
