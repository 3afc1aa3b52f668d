"""The study's adverse event tables from what is stored (rulebook section 8).

Everyone with at least one infusion is at risk. What was entered in error is not counted.
"""

from collections.abc import Iterable, Mapping
from uuid import UUID

from services.protocol.study import Study
from services.safety.domain.cases import Case, case_of, timing_of
from services.safety.domain.dossier import ADVERSE_EVENT, Dossier
from services.safety.domain.incidence import CountedEvent, SafetySummary, summarise_safety


def summarise_study(
    dossiers: Mapping[UUID, Dossier], study: Study, *, is_emergent_only: bool = False
) -> SafetySummary:
    """Return the tables of these participants' adverse events."""
    return summarise_safety(
        _counted(dossiers, study),
        at_risk={str(participant) for participant, known in dossiers.items() if known.infusions},
        threshold_percent=study.settings.safety.other_event_threshold_percent_export,
        died={str(participant) for participant, known in dossiers.items() if known.has_died},
        is_emergent_only=is_emergent_only,
    )


def _counted(dossiers: Mapping[UUID, Dossier], study: Study) -> Iterable[CountedEvent]:
    for participant, dossier in dossiers.items():
        for record, versions in dossier.of_kind(ADVERSE_EVENT).items():
            if not versions[-1].is_retracted:
                yield counted_event(participant, case_of(dossier, study, record))


def counted_event(participant: UUID, case: Case) -> CountedEvent:
    """Return an adverse event as the tables count it: coded where it is coded."""
    document = case.versions[-1]
    timing = timing_of(case)
    coding = document["coding"]
    return CountedEvent(
        subject=str(participant),
        soc=document["soc"],
        pt=coding["term"] if coding else document["term"],
        serious=document["serious"],
        grade=document["ctcae_grade"],
        suspected=document["suspected"],
        is_treatment_emergent=timing["treatment_emergent"],
        is_infusion_related=timing["within_24h_of_infusion"],
        is_fatal=(document["seriousness"] or {}).get("death"),
        classification=document["classification"],
        led_to_stop=document["action_taken"] == "withdrawn",
    )
