"""What is odd about an adverse event's report, and the little that cannot be.

A report passes no gate (the contract's "One visit"): what refuses any other record is a
warning here. Only times to come and visits that do not exist are refused.
"""

from datetime import datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from services.kernel.refusals import Fault
from services.kernel.values import PartialDate
from services.protocol.participation import CLOCK_LEEWAY, Participation
from services.protocol.study import Study
from services.safety.domain.adverse_events import AdverseEventReport
from services.safety.domain.dossier import visits_of

HAPPENED: Final = (
    "onset",
    "end",
    "investigator_aware_at",
    "sponsor_aware_at",
    "new_information_at",
    "handling_completed_at",
)
"""Members that tell of what has happened."""

Warnings = list[dict[str, str]]


def report_faults(
    report: AdverseEventReport, study: Study, now: datetime, time_zone: ZoneInfo
) -> list[Fault]:
    """Return a fault for each member that cannot be."""
    latest = now + CLOCK_LEEWAY
    faults = [
        Fault(f"/{name}", "in_the_future", "What is recorded must have happened.")
        for name in HAPPENED
        if _is_after(getattr(report, name), latest, time_zone)
    ]
    if report.visit is not None and report.visit not in visits_of(study):
        faults.append(Fault("/visit", "unknown_visit", "The study has no visit of this code."))
    return faults


def report_circumstances(
    known: Participation | None,
    onset: PartialDate | datetime | None,
    now: datetime,
    time_zone: ZoneInfo,
) -> Warnings:
    """Return warnings about consent and participation, at onset and at the report."""
    if known is None:
        return [_warning("participant_unverified", "The participant is not known here yet.")]
    warnings = []
    times = (_latest(onset, now, time_zone), now)
    if not all(_has_consent(known, at) for at in times):
        detail = "No consent for data was in force at the onset, or none is now."
        warnings.append(_warning("no_consent_in_force", detail))
    if known.ended_on is not None and known.ended_on <= now.astimezone(time_zone).date():
        detail = "It is reported after the participant left the study."
        warnings.append(_warning("after_end_of_participation", detail))
    return warnings


def _has_consent(known: Participation, at: datetime) -> bool:
    return any(consent.is_in_force("data", at) for consent in known.consents)


def _warning(code: str, detail: str) -> dict[str, str]:
    return {"pointer": "", "code": code, "detail": detail}


def _is_after(at: PartialDate | datetime | None, latest: datetime, time_zone: ZoneInfo) -> bool:
    if isinstance(at, PartialDate):
        return at.earliest > latest.astimezone(time_zone).date()
    return at is not None and at > latest


def _latest(onset: PartialDate | datetime | None, now: datetime, time_zone: ZoneInfo) -> datetime:
    """Return the latest time at which it may have begun."""
    if isinstance(onset, PartialDate):
        return min(datetime.combine(onset.latest, time.max, time_zone), now)
    return onset or now
