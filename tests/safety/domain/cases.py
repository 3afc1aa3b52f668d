"""Builders of cases, valid in every field."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.protocol.settings import EligibilitySettings, Settings
from services.safety.domain.case_updates import CaseUpdate
from services.safety.domain.seriousness import Seriousness

SITE: Final = ZoneInfo("Asia/Shanghai")
CHINA: Final = timezone(timedelta(hours=8))
SETTINGS: Final = Settings(
    dose_cells_per_kg=2_000_000,
    eligibility=EligibilitySettings(anaemia_lt_g_per_l={}, washout_days={}),
)
NOT_SERIOUS: Final = Seriousness(
    death=False,
    life_threatening=False,
    hospitalization=False,
    disability=False,
    congenital_anomaly=False,
    medically_important=False,
)
HOSPITAL: Final = replace(NOT_SERIOUS, hospitalization=True)
LIFE_THREATENING: Final = replace(NOT_SERIOUS, life_threatening=True)
FATAL: Final = replace(NOT_SERIOUS, death=True)


def at(day: int, hour: int = 9, minute: int = 0) -> datetime:
    """Return a time of October 2021 at the site."""
    return datetime(2021, 10, day, hour, minute, tzinfo=CHINA)


def susar(**changes: Any) -> CaseUpdate:
    """Return a hospitalisation that both parties suspect and none expected, 15 days."""
    stated: dict[str, Any] = {
        "investigator_aware_at": at(4),
        "sponsor_aware_at": at(4, 15),
        "seriousness": HOSPITAL,
        "investigator_causality": "possible",
        "sponsor_causality": "possible",
        "expected": False,
        "ctcae_grade": 3,
    }
    return CaseUpdate(**(stated | changes))
