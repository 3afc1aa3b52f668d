from typing import Any

import pytest

from tests.enrolment.domain.screenings import MAN, judge, result


@pytest.mark.parametrize(
    ("born", "signed_at", "expected"),
    [
        ("2004-02-29", "2022-02-28T12:00:00+08:00", "not_met"),
        ("2004-02-29", "2022-03-01T12:00:00+08:00", "met"),
        ("1956-02-29", "2022-02-28T12:00:00+08:00", "met"),
        ("1956-02-29", "2022-03-01T12:00:00+08:00", "not_met"),
        ("2003-09-02", "2021-09-01T17:00:00Z", "met"),  # already 2 September in Guangzhou
        ("2003-09-02", "2021-09-01T15:59:59Z", "not_met"),
        ("1985", "2021-09-01T09:00:00+08:00", "met"),
        ("2003", "2021-09-01T09:00:00+08:00", "unknown"),
        ("2003-08", "2021-09-01T09:00:00+08:00", "met"),
        ("2003-09", "2021-09-01T09:00:00+08:00", "unknown"),
        ("2003-10", "2021-09-01T09:00:00+08:00", "not_met"),
        ("1955", "2021-09-01T09:00:00+08:00", "unknown"),
        ("1950", "2021-09-01T09:00:00+08:00", "not_met"),
        (None, "2021-09-01T09:00:00+08:00", "unknown"),
        ("1985-04-12", None, "unknown"),
    ],
)
def test_age_in_completed_years_at_consent(
    born: str | None, signed_at: str | None, expected: str
) -> None:
    changes = {"/demographics/birth_date": born, "/consent/datetime": signed_at}
    assert result("I2", changes) == expected


PROCEDURE = "/first_screening_procedure_datetime"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({PROCEDURE: "2021-09-01T09:00:00+08:00"}, "met"),
        ({PROCEDURE: "2021-09-01T01:00:00Z"}, "met"),
        ({PROCEDURE: "2021-09-01T00:59:59Z"}, "not_met"),
        ({PROCEDURE: None}, "unknown"),
        ({"/consent/signed": False}, "not_met"),
        ({"/consent/signed": None}, "unknown"),
        ({"/consent/datetime": None}, "unknown"),
        ({"/consent/signed": False, "/consent/datetime": None}, "not_met"),
        ({"/consent/signed": None, PROCEDURE: "2021-09-01T00:59:59Z"}, "not_met"),
    ],
)
def test_consent_is_signed_and_not_after_the_first_procedure(
    changes: dict[str, Any], expected: str
) -> None:
    assert result("I3", changes) == expected


def test_late_consent_is_flagged() -> None:
    found = judge(MAN, {PROCEDURE: "2021-09-01T08:59:00+08:00"})
    assert found.details["I3"]["flags"] == ["consent_after_first_procedure"]
