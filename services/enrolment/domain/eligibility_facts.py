"""What the eligibility criteria are judged from (rulebook section 6).

Every member may be null or absent, and both mean that nothing was stated: unknown is a
value, never "no".
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as form

from services.kernel.values import (
    NUMBER,
    WHOLE,
    CalendarDate,
    Code,
    Flag,
    HistoryDate,
    Instant,
    Name,
)
from services.protocol.instruments.pasi import PasiRegions
from services.protocol.instruments.zung import ZungAnswers
from services.protocol.settings import Sex, WashoutClass

CLOSED = ConfigDict(extra="forbid")

Percent = Annotated[Decimal, Field(ge=0, le=100), NUMBER]
PasiScore = Annotated[Decimal, Field(ge=0, le=72), NUMBER]
ZungIndex = Annotated[int, Field(ge=25, le=100), WHOLE]
Measured = Annotated[Decimal, Field(ge=0), NUMBER]
Limit = Annotated[Decimal, Field(gt=0), NUMBER]


@form(frozen=True, kw_only=True, config=CLOSED)
class ConsentFacts:
    """The written consent; `datetime` is when it was signed."""

    signed: Flag | None = None
    datetime: Instant | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class DemographicFacts:
    """Birth date, of which parts may be unknown, and sex."""

    birth_date: HistoryDate | None = None
    sex: Sex | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class DiagnosisFacts:
    """The investigator's diagnosis, and the forms of psoriasis that exclude."""

    psoriasis_vulgaris: Flag | None = None
    guttate: Flag | None = None
    inverse: Flag | None = None
    face_only: Flag | None = None
    acute_progressive: Flag | None = None
    erythroderma_tendency: Flag | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class SeverityFacts:
    """PASI (0 to 72) or its regions, and the assessor's BSA in percent of the body."""

    pasi: PasiScore | None = None
    pasi_regions: PasiRegions | None = None
    bsa_percent: Percent | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class ReproductiveFacts:
    """Pregnancy and breastfeeding, now and before; asked of women only."""

    pregnant: Flag | None = None
    lactating: Flag | None = None
    last_pregnancy_end_date: HistoryDate | None = None
    last_lactation_end_date: HistoryDate | None = None
    history_complete: Flag | None = None
    pregnancy_planned: Flag | None = None  # within a year: shown, never excludes by itself


@form(frozen=True, kw_only=True, config=CLOSED)
class PsychFacts:
    """Zung's indices (25 to 100) or the answers as ticked, and other disorders."""

    sas_index: ZungIndex | None = None
    sas_answers: ZungAnswers | None = None
    sds_index: ZungIndex | None = None
    sds_answers: ZungAnswers | None = None
    other_psychiatric_disorder: Flag | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class UncontrolledFacts:
    """Primary diseases that ordinary treatment does not control."""

    cardiovascular: Flag | None = None
    respiratory: Flag | None = None
    digestive: Flag | None = None
    urinary: Flag | None = None
    endocrine: Flag | None = None
    hematologic: Flag | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class MedicalFacts:
    """The investigator's judgement of other diseases, and allergies."""

    uncontrolled: UncontrolledFacts | None = None
    malignant_disease: Flag | None = None
    infection: Flag | None = None
    electrolyte_imbalance: Flag | None = None
    acid_base_disturbance: Flag | None = None
    malignant_tumour: Flag | None = None
    abnormal_tumour_marker: Flag | None = None
    other_organ_dysfunction: Flag | None = None
    any_allergy_history: Flag | None = None
    product_related_or_severe_allergy: Flag | None = None  # needed by that allergy rule only


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryFact:
    """One result as the laboratory reported it; `unit` is that of value and limits."""

    value: Measured | None = None
    unit: Code | None = None
    lln: Measured | None = None
    uln: Limit | None = None
    uln_unit: Code | None = None  # where the report prints its limits in another unit
    loinc: Code | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryFacts:
    """The latest result of each test within the screening window."""

    calcium_total: LaboratoryFact | None = None
    ast: LaboratoryFact | None = None
    alt: LaboratoryFact | None = None
    creatinine: LaboratoryFact | None = None
    cystatin_c: LaboratoryFact | None = None
    hemoglobin: LaboratoryFact | None = None
    platelets: LaboratoryFact | None = None
    wbc: LaboratoryFact | None = None
    tumour_markers: Mapping[Code, LaboratoryFact] | None = None  # by the panel's names


@form(frozen=True, kw_only=True, config=CLOSED)
class OtherTrialFacts:
    """Part in other trials; a null end date is one that nobody remembers."""

    currently_registered: Flag | None = None
    participation_end_dates: Annotated[
        tuple[HistoryDate | None, ...] | None, Field(max_length=100)
    ] = None
    history_complete: Flag | None = None


TherapyClass = WashoutClass | Literal["emollient", "other"]


@form(frozen=True, kw_only=True, config=CLOSED)
class TherapyRecord:
    """One earlier treatment; emollients and other classes have no washout."""

    class_: Annotated[TherapyClass | None, Field(alias="class")] = None
    last_dose_date: HistoryDate | None = None
    ongoing: Flag | None = None
    name: Name | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class TherapyFacts:
    """Earlier treatments of psoriasis."""

    history_complete: Flag | None = None
    records: Annotated[tuple[TherapyRecord, ...] | None, Field(max_length=200)] = None


@form(frozen=True, kw_only=True, config=CLOSED)
class InvestigatorFacts:
    """The two judgements that only an explicit "no" of the investigator settles."""

    other_lab_abnormality_unsuitable: Flag | None = None
    other_condition_unsuitable: Flag | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class EligibilityFacts:
    """All that the criteria of rulebook section 6 need, from wherever it came."""

    consent: ConsentFacts | None = None
    first_screening_procedure_datetime: Instant | None = None
    planned_first_infusion_date: CalendarDate | None = None
    demographics: DemographicFacts | None = None
    diagnosis: DiagnosisFacts | None = None
    severity: SeverityFacts | None = None
    reproductive: ReproductiveFacts | None = None
    psych: PsychFacts | None = None
    medical: MedicalFacts | None = None
    labs: LaboratoryFacts | None = None
    other_trials: OtherTrialFacts | None = None
    therapies: TherapyFacts | None = None
    investigator: InvestigatorFacts | None = None
