from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from services.enrolment.domain.flow import Course, derive_flow
from services.enrolment.domain.participants import Status, StatusChange

COURSES: list[tuple[Status, ...]] = [
    ("screening",),
    ("screening", "screen_failed"),
    ("screening", "withdrawn"),
    ("screening", "enrolled"),
    ("screening", "enrolled", "withdrawn"),
    ("screening", "enrolled", "on_treatment"),
    ("screening", "enrolled", "on_treatment", "lost_to_follow_up"),
    ("screening", "enrolled", "on_treatment", "follow_up"),
    ("screening", "enrolled", "on_treatment", "follow_up", "completed"),
    ("screening", "enrolled", "on_treatment", "died"),
    ("screening", "screen_failed", "screening", "enrolled"),
]


def course(
    statuses: tuple[Status, ...], *, site: str = "GDTCM", failed: tuple[str, ...] = ()
) -> Course:
    history = [
        StatusChange(status=status, date=date(2021, 9, day))
        for day, status in enumerate(statuses, start=1)
    ]
    return Course(site=site, history=history, failed=failed)


def test_each_participant_is_counted_once() -> None:
    flow = derive_flow(course(statuses) for statuses in COURSES)
    assert flow["screened"] == 11
    assert (flow["in_screening"], flow["screen_failed"], flow["left_before_enrolment"]) == (1, 1, 1)
    assert (flow["enrolled"], flow["treated"], flow["awaiting_treatment"]) == (8, 5, 2)
    assert (flow["on_treatment"], flow["follow_up"], flow["completed"]) == (1, 1, 1)
    assert (flow["withdrawn"], flow["lost_to_follow_up"], flow["died"]) == (1, 1, 1)


def test_screen_failures_are_counted_by_criterion() -> None:
    flow = derive_flow(
        [
            course(("screening", "screen_failed"), failed=("I2", "E5n")),
            course(("screening", "screen_failed"), failed=("I2", "I2")),
            course(("screening",), failed=("E7",)),
        ]
    )
    assert flow["failed_by_criterion"] == {"E5n": 1, "I2": 2}


def test_sites_are_counted_apart() -> None:
    flow = derive_flow([course(("screening",), site="B"), course(("screening",), site="A")])
    assert list(flow["by_site"]) == ["A", "B"]
    assert flow["by_site"]["A"]["screened"] == 1


def test_numbers_over_time_only_grow() -> None:
    treated = course(("screening", "enrolled", "on_treatment"))
    flow = derive_flow([treated, course(("screening",), site="B")])
    steps = ("screened", "enrolled", "treated", "withdrawn")
    assert [tuple(one[step] for step in steps) for one in flow["over_time"]] == [
        (2, 0, 0, 0),
        (2, 1, 0, 0),
        (2, 1, 1, 0),
    ]
    assert [one["date"].day for one in flow["over_time"]] == [1, 2, 3]
    assert [one["screened"] for one in flow["by_site"]["B"]["over_time"]] == [1]


def test_screening_entered_late_comes_no_later_than_enrolment() -> None:
    entered = StatusChange(status="screening", date=date(2026, 11, 26))
    enrolled = StatusChange(status="enrolled", date=date(2021, 8, 31))
    flow = derive_flow([Course(site="GDTCM", history=[entered, enrolled])])
    assert [(one["date"], one["screened"], one["enrolled"]) for one in flow["over_time"]] == [
        (date(2021, 8, 31), 1, 1)
    ]


def test_study_without_participants_has_zeros() -> None:
    flow = derive_flow([])
    assert (flow["screened"], flow["by_site"], flow["over_time"]) == (0, {}, [])


@settings(max_examples=40)
@given(drawn=st.lists(st.sampled_from(COURSES), max_size=12))
def test_numbers_add_up(drawn: list[tuple[Status, ...]]) -> None:
    flow = derive_flow(course(statuses) for statuses in drawn)
    before = flow["in_screening"] + flow["screen_failed"] + flow["left_before_enrolment"]
    assert flow["screened"] == before + flow["enrolled"] == len(drawn)
    after = ("awaiting_treatment", "on_treatment", "follow_up", "completed", "withdrawn")
    left = flow["lost_to_follow_up"] + flow["died"]
    assert flow["enrolled"] == sum(flow[member] for member in after) + left
    if drawn:
        last = flow["over_time"][-1]
        same = ("screened", "screen_failed", "enrolled", "treated", "completed", "died")
        assert {step: last[step] for step in same} == {step: flow[step] for step in same}
