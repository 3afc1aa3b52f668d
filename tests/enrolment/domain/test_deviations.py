from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.enrolment.domain.deviations import (
    Conduct,
    Deviation,
    Infusion,
    Procedure,
    derive_deviations,
)
from services.enrolment.domain.schedule import (
    Course,
    VisitArranged,
    VisitHeld,
    derive_schedule,
)
from services.protocol.participation import Consent, Withdrawal
from services.protocol.settings import DoseSettings
from tests.enrolment.domain.screenings import STUDY

PARTICIPANT = UUID(int=1)
START = date(2021, 9, 15)
INFUSED_AT = datetime(2021, 9, 15, 2, 0, tzinfo=UTC)  # 10:00 in Guangzhou
CONSENT = Consent(frozenset({"treatment", "data"}), datetime(2021, 9, 1, tzinfo=UTC))
EMPTY = Course(participant=PARTICIPANT, first_infusion_on=START)


def conduct(course: Course = EMPTY) -> Conduct:
    return Conduct(
        study=STUDY.number,
        participant=PARTICIPANT,
        schedule=derive_schedule(STUDY, course, date(2021, 9, 16)),
        time_zone=ZoneInfo("Asia/Shanghai"),
        consents=[CONSENT],
    )


def derive(given: Conduct) -> tuple[Deviation, ...]:
    return derive_deviations(given, DoseSettings())


def codes(given: Conduct) -> list[str]:
    return [deviation.code for deviation in derive(given)]


def held(code: str, on: date) -> Course:
    return replace(EMPTY, held=[VisitHeld(id=UUID(int=7), code=code, held_on=on)])


def infusion(number: int, at: datetime, cells: int = 140_000_000) -> Infusion:
    return Infusion(
        id=UUID(int=number),
        visit="W0",
        started_at=at,
        cells_given=cells,
        cells_planned=140_000_000,
    )


def pasi(at: datetime) -> Procedure:
    return Procedure(record="assessment", id=UUID(int=20), done_at=at, visit="W0", activity="pasi")


def test_conduct_by_the_plan_has_no_deviations() -> None:
    given = replace(
        conduct(held("W0", START)),
        infusions=[infusion(9, INFUSED_AT)],
        procedures=[pasi(INFUSED_AT - timedelta(hours=1))],
    )
    assert derive(given) == ()


def test_visit_outside_its_window_deviates() -> None:
    (late,) = derive(conduct(held("W2", date(2021, 10, 2))))
    assert (late.code, late.date, late.visit) == (
        "visit_outside_window",
        date(2021, 10, 2),
        "W2",
    )
    assert (late.record.record, late.record.id, late.detail) == ("visit", UUID(int=7), "late")
    assert codes(conduct(held("W2", date(2021, 10, 1)))) == []


def test_missed_visit_deviates_on_the_last_day_of_its_window() -> None:
    missed = VisitArranged(code="W2", status="missed", reason="fever")
    (found,) = derive(conduct(replace(EMPTY, arranged=[missed])))
    assert (found.code, found.date, found.detail) == ("visit_missed", date(2021, 10, 1), "fever")


def test_activity_that_is_checked_and_not_done_deviates() -> None:
    schedule = derive_schedule(STUDY, held("W0", START), START)
    planned = next(visit.activities for visit in schedule.visits if visit.code == "W0")
    given = replace(conduct(held("W0", START)), checkable=frozenset(planned[:1]))
    (found,) = derive(given)
    assert (found.code, found.detail) == ("activities_missing", planned[0])
    done = Procedure(
        record="assessment",
        id=UUID(int=20),
        done_at=INFUSED_AT,
        visit="W0",
        activity=planned[0],
    )
    assert codes(replace(given, procedures=[done])) == []


def test_assessment_after_the_infusion_of_its_day_deviates() -> None:
    given = replace(conduct(), infusions=[infusion(9, INFUSED_AT)])
    after = replace(given, procedures=[pasi(INFUSED_AT + timedelta(minutes=1))])
    assert codes(after) == ["infusion_before_assessments"]
    next_day = replace(given, procedures=[pasi(INFUSED_AT + timedelta(days=1))])
    assert codes(next_day) == []


def test_consent_after_the_first_procedure_deviates() -> None:
    early = replace(conduct(), first_procedure_at=CONSENT.signed_at - timedelta(minutes=1))
    assert codes(early) == ["consent_after_first_procedure"]
    assert codes(replace(conduct(), first_procedure_at=CONSENT.signed_at)) == []


def test_what_consent_does_not_cover_deviates() -> None:
    taken_back = Withdrawal(frozenset({"treatment"}), INFUSED_AT)
    given = replace(
        conduct(),
        consents=[replace(CONSENT, withdrawals=(taken_back,))],
        infusions=[infusion(9, INFUSED_AT)],
        procedures=[pasi(CONSENT.signed_at - timedelta(days=1))],
    )
    assert [(d.code, d.record.record) for d in derive(given)] == [
        ("without_consent", "assessment"),
        ("without_consent", "infusion"),
    ]


def test_infusions_less_than_ten_days_apart_deviate() -> None:
    for days, expected in ((9, ["infusion_gap_short"]), (10, [])):
        later = infusion(10, INFUSED_AT + timedelta(days=days))
        given = replace(conduct(), infusions=[later, infusion(9, INFUSED_AT)])
        assert codes(given) == expected


def test_dose_that_differs_from_its_plan_deviates() -> None:
    given = replace(conduct(), infusions=[infusion(9, INFUSED_AT, cells=280_000_000)])
    assert codes(given) == ["dose_differs_from_plan"]
    unplanned = replace(infusion(9, INFUSED_AT), cells_planned=None)
    assert codes(replace(conduct(), infusions=[unplanned])) == []


def test_same_facts_give_the_same_ids() -> None:
    given = conduct(held("W2", date(2021, 10, 2)))
    assert derive(given) == derive(given)
    other = replace(given, participant=UUID(int=2))
    assert derive(given)[0].id != derive(other)[0].id
