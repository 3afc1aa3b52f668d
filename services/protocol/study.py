"""A study as data: what its TOML file says, as frozen types.

Each part names its source: the registry record, or an assumption of the rulebook.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache, cached_property
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as form
from pydantic_core import PydanticCustomError

from services.kernel.refusals import NotFound
from services.kernel.values import NUMBER, WHOLE, Flag, Whole
from services.protocol.settings import Settings, setting_by_place

CLOSED = ConfigDict(extra="forbid")
Origin = Literal["registry", "assumption"]
Code = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.+-]+$")]


Count = Annotated[int, Field(ge=0, le=1_000_000), WHOLE]
Days = Annotated[int, Field(ge=0, le=3660), WHOLE]
BeforeDay = Annotated[int, Field(ge=-3660, le=-1), WHOLE]
Factor = Annotated[Decimal, Field(gt=0), NUMBER]
SourceText = Annotated[str, Field(pattern=r"^(registry|assumption): \S")]
"""Where a setting comes from: `registry: exclusion 4`, `assumption: rulebook section 2`."""


@cache
def _zones() -> frozenset[str]:
    """Return all time zones; looking them up reads a tree of files."""
    return frozenset(available_timezones())


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise PydanticCustomError("time_zone", "no such IANA time zone")
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]


@form(frozen=True, kw_only=True, config=CLOSED)
class Site:
    """A place where participants are seen; `places` None has no limit of its own."""

    code: Code
    name: str
    time_zone: TimeZone
    status: Literal["open", "closed"] = "open"
    places: Count | None = None


@form(frozen=True, kw_only=True, config=CLOSED)
class Arm:
    """A group of participants and what it is given."""

    code: Code
    type: Literal["experimental", "active_comparator", "placebo_comparator", "no_intervention"]
    title: str
    description: str
    source: Origin = "registry"


@form(frozen=True, kw_only=True, config=CLOSED)
class Activity:
    """Something done at a visit; `order` is its place on an infusion day."""

    code: Code
    title: str
    instrument: Code | None = None
    order: Whole = 1
    source: Origin = "assumption"


@form(frozen=True, kw_only=True, config=CLOSED)
class VisitPlan:
    """A planned visit: a target with a window, or for screening a range of days.

    `offset_days` counts from the first infusion; `range_days` are study days before it.
    """

    code: Code
    title: str
    activities: tuple[Code, ...]
    has_infusion: Flag = False
    offset_days: Days | None = None
    window_before_days: Days | None = None
    window_after_days: Days | None = None
    range_days: tuple[BeforeDay, BeforeDay] | None = None
    window_source: Origin = "assumption"


@form(frozen=True, kw_only=True, config=CLOSED)
class Criterion:
    """One atomic criterion, and who may state it."""

    id: Code
    type: Literal["inclusion", "exclusion"]
    text: str
    attested_by: str
    needs_attestation: Flag
    data: str
    source: Origin = "registry"


@form(frozen=True, kw_only=True, config=CLOSED)
class OutcomeMeasure:
    """A registered outcome measure: what is measured, when, and by which method."""

    id: Code
    type: Literal["primary", "secondary"]
    title: str
    time_frame: str
    method: Code
    instrument: Code | None = None
    source: Origin = "registry"


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryUnit:
    """A UCUM unit in which a result may come, and how it becomes the canonical one."""

    ucum: str
    multiply_by: Factor = Decimal(1)
    divide_by: Factor = Decimal(1)


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryCode:
    """A LOINC code of a test, and the units that go with it."""

    loinc: str
    units: tuple[str, ...]


@form(frozen=True, kw_only=True, config=CLOSED)
class LaboratoryTest:
    """A laboratory test that a rule names: its codes, units and canonical unit."""

    name: Code
    canonical_unit: str
    units: tuple[LaboratoryUnit, ...]
    codes: tuple[LaboratoryCode, ...] = ()
    refused_loinc: tuple[str, ...] = ()

    @cached_property
    def factor_by_unit(self) -> dict[str, Fraction]:
        """The exact factor from each unit to the canonical one."""
        return {
            unit.ucum: Fraction(unit.multiply_by) / Fraction(unit.divide_by) for unit in self.units
        }

    @cached_property
    def units_by_loinc(self) -> dict[str, tuple[str, ...]]:
        """The units that go with each code."""
        return {code.loinc: code.units for code in self.codes}


@form(frozen=True, kw_only=True, config=CLOSED)
class StoppingRule:
    """A rule that asks for a pause: a condition, for the study or a participant."""

    id: Code
    scope: Literal["study", "participant"]
    condition: Code
    text: str
    participants: Annotated[int, Field(ge=1), WHOLE] = 1
    min_grade: Annotated[int, Field(ge=1, le=5), WHOLE] | None = None
    terms: tuple[str, ...] = ()
    source: Origin = "assumption"


@form(frozen=True, kw_only=True, config=CLOSED)
class Study:
    """One study; everything that differs from another study is here."""

    number: Code
    title: str
    version: str
    places: Count | None
    treatment_period_weeks: Annotated[int, Field(gt=0, le=520), WHOLE]
    follow_up_weeks: Annotated[int, Field(ge=0, le=520), WHOLE]
    primary_visit_code: Code
    sites: Annotated[tuple[Site, ...], Field(min_length=1)]
    activities: tuple[Activity, ...]
    unscheduled_activities: tuple[Code, ...]
    visits: Annotated[tuple[VisitPlan, ...], Field(min_length=1)]
    instruments: tuple[Code, ...]
    criteria: tuple[Criterion, ...]
    outcome_measures: tuple[OutcomeMeasure, ...]
    laboratory_tests: tuple[LaboratoryTest, ...]
    stopping_rules: tuple[StoppingRule, ...]
    settings: Settings
    sources: Mapping[str, SourceText]
    arms: tuple[Arm, ...] = ()

    @cached_property
    def _visit_by_code(self) -> dict[str, VisitPlan]:
        return {visit.code: visit for visit in self.visits}

    @cached_property
    def _site_by_code(self) -> dict[str, Site]:
        return {site.code: site for site in self.sites}

    @cached_property
    def laboratory_test_by_name(self) -> dict[str, LaboratoryTest]:
        """The tests that rules name, by name."""
        return {test.name: test for test in self.laboratory_tests}

    @property
    def visit_codes(self) -> frozenset[str]:
        """The codes of the planned visits."""
        return frozenset(self._visit_by_code)

    def visit(self, code: str) -> VisitPlan:
        """Return a planned visit; raises NotFound."""
        if code not in self._visit_by_code:
            raise NotFound
        return self._visit_by_code[code]

    def site(self, code: str) -> Site:
        """Return a site; raises NotFound."""
        if code not in self._site_by_code:
            raise NotFound
        return self._site_by_code[code]

    def criterion(self, id_: str) -> Criterion:
        """Return a criterion; raises NotFound."""
        for criterion in self.criteria:
            if criterion.id == id_:
                return criterion
        raise NotFound

    @property
    def primary_visit(self) -> VisitPlan:
        """The visit at which the primary outcome is measured."""
        return self.visit(self.primary_visit_code)

    @property
    def infusion_visits(self) -> tuple[VisitPlan, ...]:
        """The visits at which an infusion is planned."""
        return tuple(visit for visit in self.visits if visit.has_infusion)

    def treatment_ends(self, first_infusion: date) -> date:
        """Return the last day of the treatment period."""
        return first_infusion + timedelta(weeks=self.treatment_period_weeks)

    @property
    def value_by_place(self) -> dict[str, Any]:
        """What may be read in more than one way or be changed, by its place."""
        return self.values_by(self.settings)

    def values_by(self, settings: Settings) -> dict[str, Any]:
        """Return the same by other settings than the study's own."""
        whole = ("places", "treatment_period_weeks", "follow_up_weeks")
        return {**{name: getattr(self, name) for name in whole}, **setting_by_place(settings)}

    def source_of(self, place: str) -> str | None:
        """Return where a setting comes from: said of itself, or of the group that holds it."""
        while place not in self.sources and "." in place:
            place = place.rpartition(".")[0]
        return self.sources.get(place)

    def as_document(self) -> dict[str, Any]:
        """Return the protocol as `GET S` answers it, each setting with its source."""
        document = {"study": self.number, **asdict(self)}
        document["sources"] = {
            place: {"value": value, **self._origin_of(place)}
            for place, value in self.value_by_place.items()
        }
        return document

    def _origin_of(self, place: str) -> dict[str, str]:
        source, _, reference = (self.source_of(place) or "").partition(": ")
        return {"source": source, "reference": reference}


STUDY = TypeAdapter(Study)
