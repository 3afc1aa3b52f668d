"""From a participant's file to the eligibility that stands: facts, their sources, the verdict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from services.enrolment.domain.attestations import (
    Attested,
    ScreenedAgain,
    ScreeningVersion,
    Step,
    standing_attestations,
)
from services.enrolment.domain.consents import consent_facts
from services.enrolment.domain.criteria.tumour_markers import marker_named
from services.enrolment.domain.eligibility import (
    Attestation,
    Eligibility,
    evaluate_eligibility,
)
from services.enrolment.domain.eligibility_facts import EligibilityFacts
from services.protocol.participation import read_consents
from services.protocol.settings import Settings
from services.protocol.study import Study

_FACTS: Final = TypeAdapter(EligibilityFacts)
TESTS: Final = (
    "calcium_total",
    "ast",
    "alt",
    "creatinine",
    "cystatin_c",
    "hemoglobin",
    "platelets",
    "wbc",
)
_RESULT_MEMBERS: Final = ("value", "unit", "lln", "uln", "loinc")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What eligibility is judged from, as it stood at one time.

    `screenings` are all versions of the screening record, `attestations` all statements,
    each with the time at which it was recorded; `screened_again_at` is when the screening
    that stands began, where one before it failed.
    """

    study: Study
    site: str
    profile: Document
    consents: tuple[Document, ...]
    screenings: tuple[tuple[datetime, Document], ...]
    attestations: tuple[tuple[datetime, Document], ...]
    assessments: tuple[Document, ...]
    laboratory_results: tuple[Document, ...]
    first_infusion: Document | None
    at: datetime
    screened_again_at: datetime | None = None

    @property
    def first_infusion_at(self) -> datetime | None:
        """When the first infusion began, if any was given."""
        first = self.first_infusion
        return None if first is None else datetime.fromisoformat(first["started_at"])


def judge_file(gathered: Gathered, settings: Settings | None = None) -> Eligibility:
    """Return the verdict, and every criterion with the values used and their sources."""
    time_zone = ZoneInfo(gathered.study.site(gathered.site).time_zone)
    facts, sources = assemble_facts(gathered, time_zone)
    standing = standing_attestations(gathered.study, _statements(gathered))
    return evaluate_eligibility(
        _FACTS.validate_python(facts),
        study=gathered.study,
        settings=settings or gathered.study.settings,
        time_zone=time_zone,
        attested=standing.attested,
        unattested=standing.unattested,
        sources=sources,
    )


def assemble_facts(
    gathered: Gathered, time_zone: ZoneInfo
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the criteria's input, and by pointer the record that each part came from."""
    facts: dict[str, Any] = {}
    sources: dict[str, Any] = {}
    if gathered.screenings:
        screening = gathered.screenings[-1][1]
        for name in _SCREENING_MEMBERS:
            if screening.get(name) is not None:
                facts[name] = screening[name]
                sources[f"/{name}"] = _source(screening, "enrolment", "screening")
    if gathered.first_infusion is not None and gathered.first_infusion_at is not None:
        # Day 1 is known now: what counts back from the plan counts back from it.
        pointer = "/planned_first_infusion_date"
        facts[pointer[1:]] = gathered.first_infusion_at.astimezone(time_zone).date().isoformat()
        sources[pointer] = _source(gathered.first_infusion, "enrolment", "infusion")
    facts["demographics"] = {
        "birth_date": gathered.profile.get("birth_date"),
        "sex": gathered.profile.get("sex"),
    }
    sources["/demographics"] = _source(gathered.profile, "enrolment", "participant")
    _add_consent(gathered, facts, sources)
    facts["severity"] = {}
    facts["psych"] = dict(facts.get("psych") or {})
    _add_scores(gathered, facts, sources)
    _add_results(gathered, time_zone, facts, sources)
    return facts, sources


_SCREENING_MEMBERS: Final = (
    "first_screening_procedure_datetime",
    "planned_first_infusion_date",
    "diagnosis",
    "reproductive",
    "psych",
    "medical",
    "other_trials",
    "therapies",
    "investigator",
)


def _add_consent(gathered: Gathered, facts: dict[str, Any], sources: dict[str, Any]) -> None:
    stated = consent_facts(read_consents(gathered.consents), gathered.at)
    facts["consent"] = stated
    for document in gathered.consents:
        if stated is not None and _moment(document, "signed_at") == stated.datetime:
            sources["/consent"] = _source(document, "enrolment", "consent")


def _add_scores(gathered: Gathered, facts: dict[str, Any], sources: dict[str, Any]) -> None:
    latest = _latest_by_instrument(gathered)
    pasi, bsa = latest.get("pasi"), latest.get("bsa")
    if pasi is not None:
        facts["severity"]["pasi"] = pasi["derived"].get("pasi")
        facts["severity"]["bsa_percent"] = pasi["derived"].get("bsa_percent_from_regions")
        sources["/severity/pasi"] = _source(pasi, "scoring", "assessment")
        sources["/severity/bsa_percent"] = sources["/severity/pasi"]
    if bsa is not None:
        facts["severity"]["bsa_percent"] = bsa["answers"].get("percent")
        sources["/severity/bsa_percent"] = _source(bsa, "scoring", "assessment")
    for scale in ("sas", "sds"):
        rated = latest.get(scale)
        if rated is not None:
            facts["psych"][f"{scale}_index"] = rated["derived"].get("index")
            facts["psych"][f"{scale}_answers"] = rated["answers"].get("answers")
            sources[f"/psych/{scale}_index"] = _source(rated, "scoring", "assessment")
            sources[f"/psych/{scale}_answers"] = sources[f"/psych/{scale}_index"]


def _latest_by_instrument(gathered: Gathered) -> dict[str, Document]:
    limit = gathered.first_infusion_at or gathered.at
    latest: dict[str, Document] = {}
    # Ids sort by the time of recording: of two made at one moment the later record counts.
    for assessment in sorted(
        gathered.assessments, key=lambda one: (_moment(one, "assessed_at"), one["id"])
    ):
        if assessment["record_status"] == "entered" and _moment(assessment, "assessed_at") <= limit:
            latest[assessment["instrument"]] = assessment
    return latest


def _add_results(
    gathered: Gathered, time_zone: ZoneInfo, facts: dict[str, Any], sources: dict[str, Any]
) -> None:
    first_day, last_day = _screening_window(gathered, facts, time_zone)
    facts["labs"] = {"tumour_markers": {}}
    panel = gathered.study.settings.eligibility.tumour_marker_panel
    for report in sorted(
        gathered.laboratory_results, key=lambda one: (_moment(one, "collected_at"), one["id"])
    ):
        collected_on = _moment(report, "collected_at").astimezone(time_zone).date()
        if report["record_status"] != "entered" or not first_day <= collected_on <= last_day:
            continue
        for result in report["results"]:
            fact = {name: result.get(name) for name in _RESULT_MEMBERS}
            source = _source(report, "safety", "laboratory_result")
            marker = marker_named(result["test"], panel)
            if result["test"] in TESTS:
                facts["labs"][result["test"]] = fact
                sources[f"/labs/{result['test']}"] = source
            elif marker is not None:
                facts["labs"]["tumour_markers"][marker] = fact
                sources[f"/labs/tumour_markers/{marker}"] = source


def _screening_window(
    gathered: Gathered, facts: Document, time_zone: ZoneInfo
) -> tuple[date, date]:
    """Return the days whose laboratory values count: up to the first infusion, 28 back."""
    planned = facts.get("planned_first_infusion_date")
    if gathered.first_infusion_at is not None:
        last_day = gathered.first_infusion_at.astimezone(time_zone).date()
    elif planned is not None:
        last_day = date.fromisoformat(planned)
    else:
        last_day = gathered.at.astimezone(time_zone).date()
    window = timedelta(days=gathered.study.settings.eligibility.laboratory_window_days)
    return last_day - window, last_day


def _statements(gathered: Gathered) -> Iterable[Step]:
    """Return what was put and attested, in the order in which it was recorded."""
    steps: list[tuple[datetime, Step]] = [
        (at, ScreeningVersion(_screening_facts(document), is_by_investigator=document["attested"]))
        for at, document in gathered.screenings
    ]
    steps += [(at, _attested(document)) for at, document in gathered.attestations]
    if gathered.screened_again_at is not None:
        steps.append((gathered.screened_again_at, ScreenedAgain()))
    return [step for _, step in sorted(steps, key=lambda pair: pair[0])]


def _attested(document: Document) -> Attested:
    attestation = Attestation(
        result=document["result"],
        stated_at=datetime.fromisoformat(document["stated_at"]),
        stated_by=document["stated_by"],
        statement=document.get("statement"),
    )
    return Attested(criterion=document["criterion"], attestation=attestation)


def _screening_facts(document: Document) -> EligibilityFacts:
    stated = {name: document.get(name) for name in _SCREENING_MEMBERS}
    return _FACTS.validate_python(stated)


_HAPPENED: Final = ("assessed_at", "collected_at", "signed_at", "started_at")


def _source(document: Document, service: str, record: str) -> dict[str, Any]:
    """Return whence a value came; `at` is when it was found, where its record says so."""
    return {
        "service": service,
        "record": record,
        "id": document["id"],
        "version": document["version"],
        "recorded_at": document["recorded_at"],
        "at": next((document[name] for name in _HAPPENED if name in document), None),
    }


def _moment(document: Document, member: str) -> datetime:
    return datetime.fromisoformat(document[member])
