from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.enrolment.domain.participants import Status, StatusChange
from services.enrolment.domain.schedule import (
    Course,
    Schedule,
    ScheduleEntry,
    VisitArranged,
    VisitHeld,
    derive_schedule,
    scheduled_visit_id,
)
from services.protocol.loading import load_studies

STUDY = load_studies()["NCT03745417"]
PARTICIPANT = UUID(int=1)
START = date(2021, 9, 15)
TREATED = Course(participant=PARTICIPANT, first_infusion_on=START, planned_infusion_on=START)
CODES = [plan.code for plan in STUDY.visits]


def held(code: str, on: date, number: int = 7) -> VisitHeld:
    return VisitHeld(id=UUID(int=number), code=code, held_on=on)


def left(status: Status, on: date, reason: str | None = None) -> StatusChange:
    return StatusChange(status=status, date=on, reason=reason)


def entry(schedule: Schedule, code: str) -> ScheduleEntry:
    return next(visit for visit in schedule.visits if visit.code == code)


def statuses(course: Course, today: date) -> dict[str, str]:
    return {visit.code: visit.status for visit in derive_schedule(STUDY, course, today).visits}


def test_visit_is_planned_then_due_then_overdue() -> None:
    for today, expected in (
        (date(2021, 9, 26), "planned"),
        (date(2021, 9, 27), "due"),
        (date(2021, 10, 1), "due"),
        (date(2021, 10, 2), "overdue"),
    ):
        assert statuses(TREATED, today)["W2"] == expected


def test_visit_held_is_done_and_timed_by_its_window() -> None:
    for on, timing in (
        (date(2021, 9, 26), "early"),
        (date(2021, 9, 27), "in_window"),
        (date(2021, 10, 1), "in_window"),
        (date(2021, 10, 2), "late"),
    ):
        course = replace(TREATED, held=[held("W2", on)])
        visit = entry(derive_schedule(STUDY, course, date(2021, 12, 1)), "W2")
        assert (visit.status, visit.timing, visit.actual_date) == ("done", timing, on)
        assert visit.id == UUID(int=7)


def test_before_the_first_infusion_targets_are_projections() -> None:
    planned = Course(participant=PARTICIPANT, planned_infusion_on=START)
    visit = entry(derive_schedule(STUDY, planned, START), "W4")
    assert (visit.target_date, visit.is_projection) == (date(2021, 10, 13), True)
    given = entry(derive_schedule(STUDY, TREATED, START), "W4")
    assert (given.target_date, given.is_projection) == (date(2021, 10, 13), False)


def test_targets_follow_the_infusion_given_and_not_the_plan() -> None:
    course = replace(TREATED, first_infusion_on=START + timedelta(days=3))
    visit = entry(derive_schedule(STUDY, course, START), "W0")
    assert visit.target_date == START + timedelta(days=3)


def test_without_a_planned_date_visits_have_no_dates() -> None:
    schedule = derive_schedule(STUDY, Course(participant=PARTICIPANT), START)
    assert {visit.status for visit in schedule.visits} == {"planned"}
    assert [visit.code for visit in schedule.visits] == CODES
    assert all(visit.window_start is None and visit.timing is None for visit in schedule.visits)


def test_screening_has_a_window_and_no_target() -> None:
    visit = entry(derive_schedule(STUDY, TREATED, START), "SCR")
    assert (visit.target_date, visit.window_start) == (None, date(2021, 8, 18))
    assert visit.window_end == date(2021, 9, 14)


def test_missed_and_cancelled_visits_keep_their_reason() -> None:
    arranged = [
        VisitArranged(code="W2", status="missed", reason="fever"),
        VisitArranged(code="W4", status="cancelled", reason="site closed"),
    ]
    schedule = derive_schedule(STUDY, replace(TREATED, arranged=arranged), date(2021, 9, 20))
    assert (entry(schedule, "W2").status, entry(schedule, "W2").reason) == ("missed", "fever")
    assert entry(schedule, "W4").status == "cancelled"


def test_moved_visit_shows_its_appointment_and_keeps_its_target() -> None:
    arranged = [
        VisitArranged(code="W2", status="missed", reason="error"),
        VisitArranged(code="W2", status="planned", planned_on=date(2021, 9, 30), reason="holiday"),
    ]
    visit = entry(
        derive_schedule(STUDY, replace(TREATED, arranged=arranged), date(2021, 9, 28)), "W2"
    )
    assert (visit.status, visit.reason) == ("due", "holiday")
    assert (visit.target_date, visit.planned_date) == (date(2021, 9, 29), date(2021, 9, 30))


def test_what_was_held_is_done_whatever_was_arranged() -> None:
    course = replace(
        TREATED,
        held=[held("W2", date(2021, 9, 29))],
        arranged=[VisitArranged(code="W2", status="missed", reason="fever")],
    )
    assert statuses(course, date(2021, 10, 1))["W2"] == "done"


def test_visits_open_on_leaving_or_after_it_are_cancelled() -> None:
    course = replace(
        TREATED,
        held=[held("W0", START)],
        statuses=[left("on_treatment", START), left("withdrawn", date(2021, 10, 12), "moved")],
    )
    found = statuses(course, date(2021, 12, 1))
    assert (found["W0"], found["W2"]) == ("done", "overdue")
    assert {found[code] for code in CODES[3:]} == {"cancelled"}
    schedule = derive_schedule(STUDY, course, date(2021, 12, 1))
    assert entry(schedule, "W4").reason == "moved"
    assert schedule.next is None


def test_screen_failure_cancels_all_that_was_projected() -> None:
    course = Course(participant=PARTICIPANT, statuses=[left("screen_failed", START)])
    schedule = derive_schedule(STUDY, course, START)
    assert {visit.status for visit in schedule.visits} == {"cancelled"}
    assert {visit.reason for visit in schedule.visits} == {"screen_failed"}


def test_leaving_treatment_cancels_no_visit() -> None:
    course = replace(TREATED, statuses=[left("follow_up", date(2021, 9, 20), "rash")])
    assert "cancelled" not in statuses(course, date(2021, 9, 21)).values()
    schedule = derive_schedule(STUDY, course, date(2021, 9, 21))
    assert "infusion" in entry(schedule, "W0").activities
    assert "infusion" not in entry(schedule, "W2").activities
    assert "pasi" in entry(schedule, "W2").activities


def test_unscheduled_visits_stand_among_the_others_by_date() -> None:
    course = replace(TREATED, held=[held("unscheduled", date(2021, 9, 20))])
    schedule = derive_schedule(STUDY, course, date(2021, 9, 21))
    codes = [visit.code for visit in schedule.visits]
    assert codes[codes.index("unscheduled") - 1 : codes.index("unscheduled") + 2] == [
        "W0",
        "unscheduled",
        "W2",
    ]
    visit = entry(schedule, "unscheduled")
    assert (visit.status, visit.timing, visit.window_start) == ("done", None, None)


def test_second_visit_of_a_code_is_listed_besides() -> None:
    course = replace(
        TREATED,
        held=[held("W2", date(2021, 9, 29), 7), held("W2", date(2021, 9, 30), 8)],
    )
    visits = derive_schedule(STUDY, course, date(2021, 10, 5)).visits
    assert [visit.id.int for visit in visits if visit.code == "W2"] == [7, 8]


def test_next_is_what_is_due_and_else_what_is_planned() -> None:
    course = replace(TREATED, held=[held("W0", START)])
    waiting = derive_schedule(STUDY, course, date(2021, 9, 20))
    assert waiting.next is not None
    assert (waiting.next.code, waiting.next.status) == ("W2", "planned")
    open_today = derive_schedule(STUDY, course, date(2021, 9, 28))
    assert open_today.next is not None
    assert (open_today.next.code, open_today.next.status) == ("W2", "due")


def test_digest_follows_records_and_statuses_only() -> None:
    digest = derive_schedule(STUDY, TREATED, date(2021, 9, 20)).digest
    assert derive_schedule(STUDY, TREATED, date(2021, 9, 21)).digest == digest
    assert derive_schedule(STUDY, TREATED, date(2021, 9, 27)).digest != digest
    course = replace(TREATED, held=[held("unscheduled", date(2021, 9, 20))])
    assert derive_schedule(STUDY, course, date(2021, 9, 20)).digest != digest


def test_who_stopped_treatment_comes_without_an_infusion() -> None:
    stopped = left("follow_up", date(2021, 9, 20))
    course = replace(TREATED, statuses=[stopped], held=[held("W0", START), held("W2", START, 8)])
    schedule = derive_schedule(STUDY, course, date(2021, 10, 1))
    assert "infusion" in entry(schedule, "W0").activities
    assert "infusion" not in entry(schedule, "W4").activities
    late = replace(course, held=[held("W2", date(2021, 9, 29))])
    assert "infusion" not in entry(derive_schedule(STUDY, late, START), "W2").activities
    unplanned = Course(participant=PARTICIPANT, statuses=[stopped])
    assert "infusion" in entry(derive_schedule(STUDY, unplanned, START), "W2").activities


def test_visit_has_an_id_before_it_is_held() -> None:
    visit = entry(derive_schedule(STUDY, TREATED, START), "W12")
    assert visit.id == scheduled_visit_id(STUDY.number, PARTICIPANT, "W12")


@settings(max_examples=60)
@given(
    today=st.dates(min_value=date(2021, 8, 1), max_value=date(2022, 5, 1)),
    done=st.dictionaries(st.sampled_from(CODES), st.integers(-3, 9), max_size=4),
    days_until_left=st.none() | st.integers(0, 200),
)
def test_every_visit_of_the_plan_is_listed_once(
    today: date, done: dict[str, int], days_until_left: int | None
) -> None:
    gone = (
        []
        if days_until_left is None
        else [left("withdrawn", START + timedelta(days=days_until_left))]
    )
    course = replace(
        TREATED,
        held=[
            held(code, START + timedelta(days=day), i) for i, (code, day) in enumerate(done.items())
        ],
        statuses=gone,
    )
    schedule = derive_schedule(STUDY, course, today)
    assert sorted(visit.code for visit in schedule.visits) == sorted(CODES)
    for visit in schedule.visits:
        assert (visit.status == "done") == (visit.code in done)
        assert (visit.timing is not None) == (visit.status == "done")
        assert visit.status != "cancelled" or gone
