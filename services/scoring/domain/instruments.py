"""The table of instruments: adding one is its module and a line here."""

from collections.abc import Mapping
from typing import Any, Final

from services.kernel.refusals import Fault, Impossible
from services.protocol.settings import Settings
from services.scoring.domain.answering import Scored
from services.scoring.domain.bsa import BSA
from services.scoring.domain.dlqi import DLQI
from services.scoring.domain.pasi import PASI
from services.scoring.domain.vas import VAS
from services.scoring.domain.zung import SAS, SDS

INSTRUMENTS: Final = {one.code: one for one in (PASI, BSA, DLQI, VAS, SAS, SDS)}


def score_answers(instrument: str, answers: Mapping[str, Any], settings: Settings) -> Scored:
    """Return what the instrument's rule makes of the answers; raises Impossible."""
    if instrument not in INSTRUMENTS:
        fault = Fault("", "unknown_instrument", "No rule scores this instrument.")
        raise Impossible("The instrument is unknown.", faults=[fault])
    return INSTRUMENTS[instrument].score(answers, settings)
