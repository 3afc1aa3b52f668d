"""What each reporting clock is called, in words and by source (rulebook section 8)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from services.protocol.settings import Regime

ClockName = Literal[
    "TRIAGE_SERIOUSNESS_24H",
    "SAE_TO_SPONSOR_24H",
    "STEM_CELL_COMMITTEES_24H",
    "STEM_CELL_FINAL_REPORT",
    "SUSAR_INITIAL",
    "SUSAR_UPGRADE_FATAL_LT",
    "SUSAR_FOLLOW_UP",
    "NEW_INFORMATION_FOLLOW_UP",
]
HOURS: Final = 24
SEVERE_DAYS: Final = 7
"""First report of a fatal or life-threatening SUSAR."""
USUAL_DAYS: Final = 15
SUSAR_REGIMES: Final[frozenset[Regime]] = frozenset({"CN_NMPA_2018", "ICH_E2A"})
NEW_INFORMATION_REGIMES: Final[frozenset[Regime]] = frozenset({"CN_NMPA_2018"})
STEM_CELL_REGIMES: Final[frozenset[Regime]] = frozenset({"CN_STEM_CELL_2015"})


@dataclass(frozen=True, slots=True)
class ClockRule:
    """A clock's rule in words and where it comes from."""

    words: str
    source: str


RULES: Final[Mapping[ClockName, ClockRule]] = {
    "TRIAGE_SERIOUSNESS_24H": ClockRule(
        "Judge seriousness within 24 hours of the investigator's awareness.",
        "assumption",
    ),
    "SAE_TO_SPONSOR_24H": ClockRule(
        "Report a serious adverse event to the sponsor within 24 hours of the investigator's"
        " awareness that it is serious.",
        "Chinese GCP 2020 says immediately; 24 hours is the usual figure",
    ),
    "STEM_CELL_COMMITTEES_24H": ClockRule(
        "Report a suspected serious reaction to the academic and ethics committees and the"
        " authorities within 24 hours; stop study treatment and review.",
        "Chinese stem-cell clinical research rules of 2015, by the draft of 2013; to be checked",
    ),
    "STEM_CELL_FINAL_REPORT": ClockRule(
        "Send the final report within 15 calendar days of the end of handling.",
        "Chinese stem-cell clinical research rules of 2015, by the draft of 2013; to be checked",
    ),
    "SUSAR_INITIAL": ClockRule(
        "Report a SUSAR within 15 calendar days of the day the sponsor first knows that the"
        " case qualifies; within 7 if it is fatal or life-threatening.",
        "ICH E2A; NMPA 2018",
    ),
    "SUSAR_UPGRADE_FATAL_LT": ClockRule(
        "Report a SUSAR that became fatal or life-threatening within 7 calendar days of the"
        " day the sponsor knew; the earlier of this and the first date binds.",
        "ICH E2A; NMPA 2018",
    ),
    "SUSAR_FOLLOW_UP": ClockRule(
        "Complete the report of a fatal or life-threatening SUSAR within 15 calendar days of"
        " the day the sponsor knew.",
        "ICH E2A; NMPA 2018",
    ),
    "NEW_INFORMATION_FOLLOW_UP": ClockRule(
        "Report new information on a SUSAR within 15 calendar days of its receipt.",
        "NMPA 2018",
    ),
}
"""In the order in which clocks are listed."""
