from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.values import PartialDate, read_moment
from services.safety.domain.timing import is_soon_after_infusion, is_treatment_emergent
from tests.safety.domain.cases import CHINA, SETTINGS, SITE

FIRST = datetime(2021, 9, 15, 10, tzinfo=CHINA)
INFUSIONS: list[PartialDate | datetime] = [
    datetime(2021, 10, 13, 10, tzinfo=CHINA),
    FIRST,
    datetime(2021, 9, 29, 10, tzinfo=CHINA),
]
LAST_DAY = date(2022, 3, 9)


def emergent(
    onset: str | None, infusions: list[PartialDate | datetime] | None = INFUSIONS
) -> bool | None:
    return worsened(onset, worsened=None, infusions=infusions)


def worsened(
    onset: str | None,
    *,
    worsened: bool | None,
    infusions: list[PartialDate | datetime] | None = INFUSIONS,
) -> bool | None:
    return is_treatment_emergent(
        None if onset is None else read_moment(onset),
        infusions,
        worsened=worsened,
        settings=SETTINGS.safety,
        time_zone=SITE,
    )


def soon(
    onset: str | None, infusions: list[PartialDate | datetime] | None = INFUSIONS
) -> bool | None:
    return is_soon_after_infusion(
        None if onset is None else read_moment(onset),
        infusions,
        settings=SETTINGS.safety,
        time_zone=SITE,
    )


@pytest.mark.parametrize(
    ("onset", "expected"),
    [
        ("2021-09-15T09:59:59.999999+08:00", False),
        ("2021-09-15T10:00:00+08:00", True),
        ("2021-09-15T02:00:00Z", True),
        ("2021-09-14", False),
        ("2021-09-15", True),
        ("2021-08", False),
        ("2021-09", True),
        ("2021", True),
        ("2020", False),
        (None, True),
        ("2022-03-09T23:59:59+08:00", True),
        ("2022-03-09T16:00:00Z", False),
        ("2022-03-09", True),
        ("2022-03-10", False),
        ("2022-03", True),
        ("2022-04", False),
        ("2023", False),
    ],
)
def test_onset_from_the_first_infusion_to_day_176_is_treatment_emergent(
    onset: str | None,
    expected: bool,  # noqa: FBT001 - the expected value
) -> None:
    assert (LAST_DAY - date(2021, 9, 15)).days + 1 == 176
    assert emergent(onset) is expected


def test_worsening_after_the_first_infusion_is_treatment_emergent() -> None:
    assert worsened("2021-09-10", worsened=True) is True
    assert worsened("2021-09-10", worsened=False) is False
    assert worsened("2023", worsened=True) is False


def test_without_infusion_nothing_is_treatment_emergent_unless_stated() -> None:
    assert emergent("2021-10-01", []) is False
    assert emergent(None, []) is False
    assert worsened(None, worsened=True, infusions=[]) is True
    assert worsened("2021-10-01", worsened=True, infusions=[]) is True


def test_unknown_infusions_leave_it_unknown() -> None:
    assert emergent("2021-10-01", None) is None
    assert worsened(None, worsened=True, infusions=None) is True
    assert soon("2021-10-01", None) is None


def test_infusion_without_a_time_could_be_before_an_onset_of_its_day() -> None:
    assert emergent("2021-09-15T00:00:00+08:00", [PartialDate("2021-09-15")]) is True
    assert emergent("2021-09-14T23:59:59+08:00", [PartialDate("2021-09-15")]) is False


@pytest.mark.parametrize(
    ("onset", "expected"),
    [
        ("2021-09-29T09:59:59+08:00", False),
        ("2021-09-29T10:00:00+08:00", True),
        ("2021-09-30T10:00:00+08:00", True),
        ("2021-09-30T02:00:00Z", True),
        ("2021-09-30T10:00:00.000001+08:00", False),
        ("2021-09-28", False),
        ("2021-09-29", True),
        ("2021-09-30", None),
        ("2021-10-01", False),
        ("2021-09", None),
        ("2021", None),
        ("2021-08", False),
        ("2022", False),
        (None, None),
    ],
)
def test_onset_0_to_24_hours_after_any_infusion_is_infusion_related_in_time(
    onset: str | None,
    expected: bool | None,  # noqa: FBT001 - the expected value
) -> None:
    assert soon(onset) is expected


def test_date_of_onset_is_the_site_date_of_the_infusion() -> None:
    late = [datetime(2021, 9, 29, 17, tzinfo=UTC)]
    assert soon("2021-09-30", [*late]) is True
    assert soon("2021-09-29", [*late]) is False
    assert soon("2021-10-01", [*late]) is None


def test_infusion_without_a_time_is_as_undecidable_as_an_onset_without() -> None:
    day: list[PartialDate | datetime] = [PartialDate("2021-09-29")]
    assert soon("2021-09-29T00:00:00+08:00", day) is True
    assert soon("2021-09-30T23:00:00+08:00", day) is None
    assert soon("2021-09-30", day) is None
    assert soon("2021-10-01", day) is False
    assert soon("2021-10-01T00:00:00+08:00", day) is False
    assert soon("2021-09", [PartialDate("2021-09")]) is None


def test_next_day_of_an_infusion_at_midnight_is_undecidable_too() -> None:
    midnight: list[PartialDate | datetime] = [datetime(2021, 9, 29, tzinfo=CHINA)]
    assert soon("2021-09-30", midnight) is None
    assert soon("2021-10-01", midnight) is False


def test_without_infusion_none_is_infusion_related() -> None:
    assert soon(None, []) is False
    assert soon("2021-09-29", []) is False


MINUTES = st.integers(min_value=-40 * 24 * 60, max_value=220 * 24 * 60)


@settings(max_examples=60)
@given(minutes=MINUTES)
def test_a_less_exact_onset_never_contradicts_the_exact_one(minutes: int) -> None:
    exact = FIRST + timedelta(minutes=minutes)
    text = exact.isoformat()
    for partial in (text[:7], text[:4]):
        assert soon(partial) in (soon(text), None)
        assert emergent(partial) in (emergent(text), True)
