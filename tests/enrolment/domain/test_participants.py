from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.enrolment.domain.participants import (
    AlreadyEnrolled,
    ChangeStatus,
    Departure,
    EnrolmentDecision,
    NeverConsented,
    NotEligible,
    NotEnrolled,
    Places,
    ScreeningEnded,
    SiteClosed,
    Status,
    StatusChange,
    StatusNotAllowed,
    StudyFull,
    Verdict,
    decide_enrolment,
    decide_rescreening,
    decide_status,
    derive_first_infusion,
    ended_on,
    require_enrolment,
    screening_number,
    status_of,
    was_enrolled,
)
from services.kernel.refusals import Conflict, Impossible

DAY = date(2021, 9, 14)
ROOM = Places(of_study=5, of_site=None, taken_in_study=0, taken_at_site=0)
DECISION = TypeAdapter(EnrolmentDecision)
DEPARTURES: tuple[Departure, ...] = (
    "treatment_stopped",
    "withdrawn",
    "lost_to_follow_up",
    "died",
    "completed",
)


def history(*statuses: Status) -> list[StatusChange]:
    return [StatusChange(status=status, date=DAY) for status in statuses]


def decision(what: str = "enrol", **more: str) -> EnrolmentDecision:
    body = {"decision": what, "decided_at": "2021-09-14T09:00:00+08:00", "signed_by": "dr-li"}
    return DECISION.validate_python(body | more)


def order(status: Departure, on: date = DAY, reason: str | None = "moved away") -> ChangeStatus:
    return ChangeStatus(status=status, date=on, reason=reason)


def enrol(
    past: list[StatusChange], verdict: Verdict = "eligible", places: Places = ROOM
) -> StatusChange:
    return decide_enrolment(past, decision(), decided_on=DAY, verdict=verdict, places=places)


def test_eligible_participant_in_screening_is_enrolled() -> None:
    assert enrol(history("screening")) == StatusChange(
        status="enrolled", date=DAY, reason="Enrolled by a signed decision."
    )


@pytest.mark.parametrize("status", ["enrolled", "on_treatment", "follow_up"])
def test_who_is_enrolled_is_not_enrolled_again(status: Status) -> None:
    with pytest.raises(AlreadyEnrolled):
        enrol(history("screening", status))


@pytest.mark.parametrize("status", ["screen_failed", "withdrawn", "died", "completed"])
def test_who_left_screening_is_not_enrolled(status: Status) -> None:
    with pytest.raises(ScreeningEnded):
        enrol(history("screening", status))


@pytest.mark.parametrize("verdict", ["pending", "ineligible"])
def test_only_the_eligible_are_enrolled(verdict: Verdict) -> None:
    with pytest.raises(NotEligible):
        enrol(history("screening"), verdict)


@pytest.mark.parametrize(
    "places",
    [
        Places(of_study=5, of_site=None, taken_in_study=5, taken_at_site=1),
        Places(of_study=None, of_site=2, taken_in_study=4, taken_at_site=2),
    ],
)
def test_full_study_or_site_enrols_nobody(places: Places) -> None:
    with pytest.raises(StudyFull):
        enrol(history("screening"), places=places)


def test_last_place_is_given() -> None:
    places = Places(of_study=5, of_site=2, taken_in_study=4, taken_at_site=1)
    assert enrol(history("screening"), places=places).status == "enrolled"


def test_closed_site_enrols_nobody() -> None:
    places = Places(of_study=5, of_site=None, taken_in_study=0, taken_at_site=0, is_site_open=False)
    with pytest.raises(SiteClosed):
        enrol(history("screening"), places=places)


def test_screen_failure_needs_no_verdict_and_states_its_reason() -> None:
    failed = decide_enrolment(
        history("screening"),
        decision("screen_fail", reason="consent not understood"),
        decided_on=DAY,
        verdict="eligible",
        places=ROOM,
    )
    assert failed == StatusChange(status="screen_failed", date=DAY, reason="consent not understood")


def test_screen_failure_without_a_reason_is_refused() -> None:
    with pytest.raises(Impossible) as refused:
        decide_enrolment(
            history("screening"),
            decision("screen_fail"),
            decided_on=DAY,
            verdict="ineligible",
            places=ROOM,
        )
    assert [fault.pointer for fault in refused.value.faults] == ["/reason"]


@pytest.mark.parametrize(
    ("before", "departure", "after"),
    [
        ("on_treatment", "treatment_stopped", "follow_up"),
        ("follow_up", "completed", "completed"),
        ("screening", "withdrawn", "withdrawn"),
        ("enrolled", "lost_to_follow_up", "lost_to_follow_up"),
        ("follow_up", "died", "died"),
        ("lost_to_follow_up", "died", "died"),
    ],
)
def test_departure_leads_to_its_status(before: Status, departure: Departure, after: str) -> None:
    change = decide_status(history("screening", before), order(departure), has_consented=True)
    assert (change.status, change.date, change.reason) == (after, DAY, "moved away")


@pytest.mark.parametrize(
    ("before", "departure"),
    [
        ("screening", "completed"),
        ("screening", "treatment_stopped"),
        ("enrolled", "treatment_stopped"),
        ("on_treatment", "completed"),
        ("completed", "withdrawn"),
        ("withdrawn", "lost_to_follow_up"),
        ("screen_failed", "withdrawn"),
        ("died", "died"),
    ],
)
def test_other_departures_are_refused(before: Status, departure: Departure) -> None:
    with pytest.raises(StatusNotAllowed):
        decide_status(history("screening", before), order(departure), has_consented=True)


def test_who_never_consented_does_not_leave_the_study() -> None:
    with pytest.raises(NeverConsented):
        decide_status(history("screening"), order("withdrawn"), has_consented=False)


def test_status_does_not_begin_before_the_one_that_it_follows() -> None:
    with pytest.raises(StatusNotAllowed):
        decide_status(
            history("screening"), order("withdrawn", date(2021, 9, 13)), has_consented=True
        )


@pytest.mark.parametrize("departure", ["treatment_stopped", "withdrawn", "lost_to_follow_up"])
def test_leaving_states_its_reason(departure: Departure) -> None:
    with pytest.raises(Impossible):
        decide_status(history("on_treatment"), order(departure, reason=None), has_consented=True)


def test_completion_needs_no_reason() -> None:
    change = decide_status(
        history("follow_up"), order("completed", reason=None), has_consented=True
    )
    assert change.status == "completed"


def test_first_infusion_puts_the_enrolled_on_treatment() -> None:
    change = derive_first_infusion(history("screening", "enrolled"), DAY)
    assert change is not None
    assert (change.status, change.date) == ("on_treatment", DAY)
    assert change.reason


def test_infusion_entered_late_changes_no_later_status() -> None:
    assert derive_first_infusion(history("screening", "enrolled", "withdrawn"), DAY) is None


def test_infusion_needs_enrolment() -> None:
    with pytest.raises(NotEnrolled):
        derive_first_infusion(history("screening"), DAY)
    with pytest.raises(NotEnrolled):
        require_enrolment(history("screening", "screen_failed"))


def test_who_failed_is_screened_again_under_a_new_number() -> None:
    again = decide_rescreening(history("screening", "screen_failed"), DAY)
    assert again == StatusChange(status="screening", date=DAY, reason="Screened again.")
    assert [screening_number("GDTCM", n) for n in (1, 2)] == ["GDTCM-001", "GDTCM-002"]


def test_only_failed_screenings_are_repeated() -> None:
    with pytest.raises(StatusNotAllowed):
        decide_rescreening(history("screening"), DAY)


def test_study_was_left_on_the_first_ending() -> None:
    past = [
        *history("screening", "enrolled", "lost_to_follow_up"),
        StatusChange(status="died", date=date(2021, 12, 1)),
    ]
    assert ended_on(past) == DAY
    assert ended_on(history("screening", "follow_up")) is None


@settings(max_examples=60)
@given(steps=st.lists(st.sampled_from(["enrol", "fail", "infuse", "again", *DEPARTURES])))
def test_no_sequence_of_orders_leaves_the_states_of_the_rulebook(steps: list[str]) -> None:
    past = history("screening")
    for step in steps:
        change = _step(past, step)
        if change is not None:
            past.append(change)
    statuses = [change.status for change in past]
    assert status_of(past) == statuses[-1]
    assert statuses.count("enrolled") <= 1
    assert statuses.count("died") <= 1
    for treated in ("on_treatment", "follow_up", "completed"):
        assert treated not in statuses or was_enrolled(past)
    if "completed" in statuses:
        assert statuses[-1] == "completed"


def _step(past: list[StatusChange], step: str) -> StatusChange | None:
    try:
        return _order(past, step)
    except Conflict:
        return None


def _order(past: list[StatusChange], step: str) -> StatusChange | None:
    if step == "enrol":
        return enrol(past)
    if step == "infuse":
        return derive_first_infusion(past, DAY)
    if step == "again":
        return decide_rescreening(past, DAY)
    if step == "fail":
        return decide_enrolment(
            past,
            decision("screen_fail", reason="ineligible"),
            decided_on=DAY,
            verdict="ineligible",
            places=ROOM,
        )
    departure: Departure = next(name for name in DEPARTURES if name == step)
    return decide_status(past, order(departure), has_consented=True)
