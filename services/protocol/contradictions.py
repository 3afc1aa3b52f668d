"""What a study file may not say, although each of its members is well-formed.

Each check yields the place in the file, and the reason in words.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, get_args

from services.protocol import computable
from services.protocol.settings import Sex, WashoutClass
from services.protocol.study import LaboratoryTest, Study, VisitPlan
from services.protocol.toml_lines import Place

Contradiction = tuple[Place, str]
UNSCHEDULED: Final = "unscheduled"
"""The code under which visits outside the plan are recorded; no planned visit may take it."""
INFUSION: Final = "infusion"


def contradictions(study: Study) -> Iterator[Contradiction]:
    """Yield everything in which a study contradicts itself or what can be computed."""
    for check in _CHECKS:
        yield from check(study)


def _repeated(study: Study) -> Iterator[Contradiction]:
    codes_by_table: dict[str, list[str]] = {
        "sites": [site.code for site in study.sites],
        "arms": [arm.code for arm in study.arms],
        "activities": [activity.code for activity in study.activities],
        "visits": [visit.code for visit in study.visits],
        "criteria": [criterion.id for criterion in study.criteria],
        "outcome_measures": [measure.id for measure in study.outcome_measures],
        "laboratory_tests": [test.name for test in study.laboratory_tests],
        "stopping_rules": [rule.id for rule in study.stopping_rules],
        "instruments": list(study.instruments),
        "unscheduled_activities": list(study.unscheduled_activities),
    }
    for table, codes in codes_by_table.items():
        for at, code in _again(codes):
            yield (table, at), f"{code} is defined twice"
    for at, visit in enumerate(study.visits):
        for _, code in _again(visit.activities):
            yield ("visits", at, "activities"), f"visit {visit.code}: {code} is named twice"


def _again(codes: Sequence[str]) -> Iterator[tuple[int, str]]:
    return ((at, code) for at, code in enumerate(codes) if code in codes[:at])


def _activities(study: Study) -> Iterator[Contradiction]:
    known = {activity.code for activity in study.activities}
    for at, visit in enumerate(study.visits):
        for code in _missing_from(known, visit.activities):
            yield ("visits", at, "activities"), f"visit {visit.code}: no activity {code}"
    for code in _missing_from(known, study.unscheduled_activities):
        yield ("unscheduled_activities",), f"no activity {code}"


def _missing_from(known: Iterable[str], named: Iterable[str]) -> list[str]:
    return [code for code in named if code not in known]


def _visit_days(study: Study) -> Iterator[Contradiction]:
    for at, visit in enumerate(study.visits):
        if visit.code == UNSCHEDULED:
            yield ("visits", at, "code"), f"{UNSCHEDULED} is the code of visits outside the plan"
        if not _is_placed(visit):
            reason = "either offset_days with both windows, or range_days from first to last"
            yield ("visits", at), f"visit {visit.code}: {reason}"


def _is_placed(visit: VisitPlan) -> bool:
    windows = (visit.window_before_days, visit.window_after_days)
    if visit.range_days is None:
        return visit.offset_days is not None and None not in windows
    first, last = visit.range_days
    return visit.offset_days is None and windows == (None, None) and first <= last


def _infusions(study: Study) -> Iterator[Contradiction]:
    for at, visit in enumerate(study.visits):
        if visit.has_infusion != (INFUSION in visit.activities):
            reason = "has_infusion and the activity infusion go together"
            yield ("visits", at, "has_infusion"), f"visit {visit.code}: {reason}"
        if visit.has_infusion and visit.range_days is not None:
            yield ("visits", at, "range_days"), f"visit {visit.code}: an infusion needs a target"
    offsets = [visit.offset_days for visit in study.infusion_visits]
    if offsets and 0 not in offsets:
        at = study.visits.index(study.infusion_visits[0])
        yield ("visits", at, "offset_days"), "targets count from the first infusion, at offset 0"


def _overlaps(study: Study) -> Iterator[Contradiction]:
    placed = sorted((*_days(visit), at) for at, visit in enumerate(study.visits))
    for (_, last, earlier), (first, _, at) in pairwise(placed):
        if first <= last:
            codes = f"{study.visits[earlier].code} and {study.visits[at].code}"
            yield ("visits", at), f"the windows of {codes} overlap"


def _days(visit: VisitPlan) -> tuple[int, int]:
    """Return the first and last day of the window, counted from the first infusion."""
    if visit.range_days is not None:
        return visit.range_days
    offset = visit.offset_days or 0
    return offset - (visit.window_before_days or 0), offset + (visit.window_after_days or 0)


def _primary_visit(study: Study) -> Iterator[Contradiction]:
    code = study.primary_visit_code
    if code not in study.visit_codes:
        yield ("primary_visit_code",), f"no visit {code}"
    elif study.primary_visit.range_days is not None:
        yield ("primary_visit_code",), f"visit {code} has no target"


def _instruments(study: Study) -> Iterator[Contradiction]:
    for code in _missing_from(computable.INSTRUMENTS, study.instruments):
        yield ("instruments",), f"no rule scores instrument {code}"
    for at, activity in enumerate(study.activities):
        if activity.instrument not in {None, *study.instruments}:
            yield ("activities", at, "instrument"), f"no instrument {activity.instrument}"


def _outcome_measures(study: Study) -> Iterator[Contradiction]:
    for at, measure in enumerate(study.outcome_measures):
        if measure.method not in computable.OUTCOME_METHODS:
            yield ("outcome_measures", at, "method"), f"no method {measure.method}"
        if measure.instrument not in {None, *study.instruments}:
            yield ("outcome_measures", at, "instrument"), f"no instrument {measure.instrument}"


def _criteria(study: Study) -> Iterator[Contradiction]:
    for at, criterion in enumerate(study.criteria):
        if criterion.id not in computable.CRITERIA and not criterion.needs_attestation:
            reason = f"no rule computes criterion {criterion.id}; a person would have to judge"
            yield ("criteria", at, "id"), reason


def _laboratory_tests(study: Study) -> Iterator[Contradiction]:
    for name in sorted(computable.LABORATORY_TESTS - study.laboratory_test_by_name.keys()):
        yield ("laboratory_tests",), f"the test {name} is missing"
    for at, test in enumerate(study.laboratory_tests):
        if test.factor_by_unit.get(test.canonical_unit) != 1:
            reason = f"{test.name}: the canonical unit is among the units, with the factor 1"
            yield ("laboratory_tests", at, "canonical_unit"), reason
    owned = [
        (at, loinc) for at, test in enumerate(study.laboratory_tests) for loinc in _loincs(test)
    ]
    for position, loinc in _again([loinc for _, loinc in owned]):
        yield ("laboratory_tests", owned[position][0]), f"the code {loinc} is named twice"


def _loincs(test: LaboratoryTest) -> tuple[str, ...]:
    return (*(code.loinc for code in test.codes), *test.refused_loinc)


def _stopping_rules(study: Study) -> Iterator[Contradiction]:
    for at, rule in enumerate(study.stopping_rules):
        if rule.condition not in computable.STOPPING_CONDITIONS:
            yield ("stopping_rules", at, "condition"), f"no condition {rule.condition}"


def _settings(study: Study) -> Iterator[Contradiction]:
    limits = study.settings.eligibility
    place: Place = ("settings", "eligibility")
    if limits.age_min > limits.age_max:
        yield (*place, "age_min"), "age_min is above age_max"
    if limits.calcium_low_lt > limits.calcium_high_gt:
        yield (*place, "calcium_low_lt"), "calcium_low_lt is above calcium_high_gt"
    for sex in _missing_from(limits.anaemia_lt_g_per_l, get_args(Sex)):
        yield (*place, "anaemia_lt_g_per_l"), f"no limit for {sex}"
    for group in _missing_from(limits.washout_days, get_args(WashoutClass)):
        yield (*place, "washout_days"), f"no days for {group}"


def _sources(study: Study) -> Iterator[Contradiction]:
    places = study.value_by_place
    for place in places:
        if study.source_of(place) is None:
            yield ("sources",), f"no source for {place}"
    for named in study.sources:
        if not any(place == named or place.startswith(f"{named}.") for place in places):
            yield ("sources", named), f"no setting {named}"


_CHECKS: Final[tuple[Callable[[Study], Iterator[Contradiction]], ...]] = (
    _repeated,
    _activities,
    _visit_days,
    _infusions,
    _overlaps,
    _primary_visit,
    _instruments,
    _outcome_measures,
    _criteria,
    _laboratory_tests,
    _stopping_rules,
    _settings,
    _sources,
)
