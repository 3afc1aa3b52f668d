"""The reporting clocks of a case: what started them and when they are due (rulebook 8).

A clock starts with the first update after which the case qualifies and the awareness that
it counts from is known. That is the update's own statement; where it makes none, what was
stated before (in a cumulative case), else the time at which the version was recorded.
Without any of these the clock waits for an update that states one, since no party's clock
runs before that party knew, and one party's awareness never stands in for the other's.

It counts from the time at which the case, as that party then knew it, first qualified. So
the updates of a cumulative case may arrive in any order. What arrives later may show an
earlier time and moves the start to it, never to a later one; a downgrade stops nothing.
Triage alone ends by itself, once seriousness is decided.
Days are calendar days of the site; holidays count.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import dropwhile, groupby
from typing import Final, Literal
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from services.protocol.settings import Regime
from services.safety.domain.case_updates import CaseUpdate, accumulate
from services.safety.domain.classification import CaseJudgement, judge_case
from services.safety.domain.clock_facts import ClockFact, clock_facts, stated_since
from services.safety.domain.clock_rules import (
    HOURS,
    NEW_INFORMATION_REGIMES,
    RULES,
    SEVERE_DAYS,
    STEM_CELL_REGIMES,
    SUSAR_REGIMES,
    USUAL_DAYS,
    ClockName,
)
from services.safety.domain.knowledge import Knowledge, Known, states_nothing_else
from services.safety.domain.seriousness import is_fatal_or_life_threatening

CountedFrom = Literal[
    "investigator_aware_at",
    "sponsor_aware_at",
    "handling_completed_at",
    "new_information_at",
    "recorded_at",
]
_Awareness = tuple[CountedFrom, ...]
"""The members that a time may stand in, the first stated one counts."""
_INVESTIGATOR: Final[_Awareness] = ("investigator_aware_at", "recorded_at")
_SPONSOR: Final[_Awareness] = ("sponsor_aware_at", "recorded_at")
_HANDLED: Final[_Awareness] = ("handling_completed_at",)
FIRST_REPORTS: Final[frozenset[ClockName]] = frozenset({"SUSAR_INITIAL", "SUSAR_UPGRADE_FATAL_LT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A started clock: of hours with `due`, or of calendar days with the other dates.

    Versions count updates from 1. `due_date` is inclusive. `ended_by_version` is the update
    that made the clock void, which happens to triage only. The time counts from what a
    version stated in `counted_from`, or from when it was recorded.
    """

    clock: ClockName
    started_by_version: int
    started_at: datetime
    counted_from: CountedFrom
    counted_from_version: int
    facts: tuple[ClockFact, ...]
    due: datetime | None = None
    day0: date | None = None
    basis_days: int | None = None
    due_date: date | None = None
    ended_by_version: int | None = None

    @property
    def rule(self) -> str:
        """The rule in words."""
        return RULES[self.clock].words

    @property
    def source(self) -> str:
        """Where the rule comes from."""
        return RULES[self.clock].source

    def id_in(self, case: UUID) -> UUID:
        """Return the clock's id, the same whenever it is derived."""
        return uuid5(case, f"{self.clock}/{self.started_by_version}")

    def expires_at(self, time_zone: ZoneInfo) -> datetime:
        """Return the time from which it is overdue: the end of the site's due day."""
        if self.due_date is None:
            return self.started_at + timedelta(hours=HOURS)
        return datetime.combine(self.due_date + timedelta(days=1), time.min, time_zone)


@dataclass(frozen=True, slots=True)
class _Step:
    """The case as it stood after an update, and after each one up to it."""

    version: int
    case: CaseUpdate
    judgement: CaseJudgement
    stood: Sequence[CaseUpdate]
    stated: CaseUpdate | None
    """What the update adds to what else is known; None where it states the whole case."""


def derive_clocks(
    versions: Sequence[CaseUpdate], regimes: Collection[Regime], time_zone: ZoneInfo
) -> list[Clock]:
    """Return every clock that the standing versions of a record started.

    In the rulebook's order. Each version states the whole case.
    """
    return _clocks(versions, [None] * len(versions), regimes, time_zone)


def derive_cumulative_clocks(
    updates: Sequence[CaseUpdate], regimes: Collection[Regime], time_zone: ZoneInfo
) -> list[Clock]:
    """Return every clock that updates started, each of which adds to what was stated."""
    return _clocks(accumulate(updates), updates, regimes, time_zone)


def _clocks(
    stood: Sequence[CaseUpdate],
    stated: Sequence[CaseUpdate | None],
    regimes: Collection[Regime],
    time_zone: ZoneInfo,
) -> list[Clock]:
    steps = [
        _Step(n, case, judge_case(case), stood[:n], own)
        for n, (case, own) in enumerate(zip(stood, stated, strict=True), start=1)
    ]
    clocks = [*_triage(steps), *_serious(steps)]
    if not STEM_CELL_REGIMES.isdisjoint(regimes):
        clocks += _stem_cell(steps, time_zone)
    if not SUSAR_REGIMES.isdisjoint(regimes):
        clocks += _susar(steps, time_zone)
    if not NEW_INFORMATION_REGIMES.isdisjoint(regimes):
        clocks += _new_information(steps, time_zone)
    return clocks


def binding_due_date(clocks: Collection[Clock]) -> date | None:
    """Return the date by which the first SUSAR report must be sent: the earliest of all."""
    due = (clock.due_date for clock in clocks if clock.clock in FIRST_REPORTS)
    return min((day for day in due if day is not None), default=None)


def site_date(at: datetime, time_zone: ZoneInfo) -> date:
    """Return the calendar date at the site."""
    return at.astimezone(time_zone).date()


def _triage(steps: Sequence[_Step]) -> Iterator[Clock]:
    """Yield one clock for each stretch of updates that leaves seriousness open."""
    for is_open, stretch in groupby(steps, lambda step: step.judgement.serious is None):
        if is_open:
            waiting = list(stretch)
            next_version = waiting[-1].version + 1
            ended = next_version if next_version <= len(steps) else None
            name: ClockName = "TRIAGE_SERIOUSNESS_24H"
            start = _earliest(waiting, _INVESTIGATOR)
            yield from _hours(name, start, ended_by_version=ended)


def _serious(steps: Sequence[_Step]) -> list[Clock]:
    return _hours("SAE_TO_SPONSOR_24H", _first_known(steps, _INVESTIGATOR, _is_serious))


def _stem_cell(steps: Sequence[_Step], time_zone: ZoneInfo) -> list[Clock]:
    known = _first_known(steps, _INVESTIGATOR, _is_serious_reaction)
    committees = _hours("STEM_CELL_COMMITTEES_24H", known)
    reacting = dropwhile(lambda step: not step.judgement.is_serious_reaction, steps)
    start = _earliest(reacting, _HANDLED)
    if start is None:
        return committees
    return [*committees, _days("STEM_CELL_FINAL_REPORT", start, USUAL_DAYS, time_zone)]


def _susar(steps: Sequence[_Step], time_zone: ZoneInfo) -> list[Clock]:
    first = _first_known(steps, _SPONSOR, _is_susar)
    if first is None:
        return []
    initial = _days("SUSAR_INITIAL", first, USUAL_DAYS, time_zone)
    severe = _first_known(steps, _SPONSOR, _is_severe_susar)
    if severe is None:
        return [initial]
    follow_up = _days("SUSAR_FOLLOW_UP", severe, USUAL_DAYS, time_zone)
    urgent = _days("SUSAR_INITIAL", severe, SEVERE_DAYS, time_zone)
    if severe.step is first.step and urgent.expires_at(time_zone) <= initial.expires_at(time_zone):
        return [urgent, follow_up]
    upgrade = _days("SUSAR_UPGRADE_FATAL_LT", severe, SEVERE_DAYS, time_zone)
    return [initial, upgrade, follow_up]


def _new_information(steps: Sequence[_Step], time_zone: ZoneInfo) -> list[Clock]:
    seen: set[datetime] = set()
    clocks = []
    for step in steps:
        at = step.case.new_information_at
        if at is None or at in seen:
            continue
        seen.add(at)
        if _is_news(steps, step, at, time_zone):
            start = _Start(step, at, "new_information_at", step)
            clocks.append(_days("NEW_INFORMATION_FOLLOW_UP", start, USUAL_DAYS, time_zone))
    return clocks


def _is_news(steps: Sequence[_Step], step: _Step, at: datetime, time_zone: ZoneInfo) -> bool:
    """Tell whether a case was a SUSAR before the information came.

    The information that makes it one belongs to the first report, not to a follow-up.
    """
    if any(earlier.judgement.is_susar for earlier in steps[: step.version - 1]):
        return True
    aware = _aware(step, _SPONSOR)
    if not step.judgement.is_susar or aware is None:
        return False
    return site_date(at, time_zone) > site_date(aware.at, time_zone)


@dataclass(frozen=True, slots=True)
class _Start:
    """The step that started a clock, and the time, member and step that it counts from."""

    step: _Step
    at: datetime
    counted_from: CountedFrom
    aware: _Step


def _aware(step: _Step, awareness: _Awareness) -> _Start | None:
    for member in awareness:
        at: datetime | None = getattr(step.case, member)
        if at is not None:
            return _Start(step, at, member, step)
    return None


def _earliest(steps: Iterable[_Step], awareness: _Awareness) -> _Start | None:
    """Return the earliest time that the steps state; the first that states one starts the clock."""
    known = [aware for step in steps if (aware := _aware(step, awareness)) is not None]
    if not known:
        return None
    return replace(min(known, key=lambda one: one.at), step=known[0].step)


def _first_known(
    steps: Sequence[_Step], awareness: _Awareness, qualifies: Callable[[CaseUpdate], bool]
) -> _Start | None:
    """Return since when the case, as a party then knew it, has qualified.

    Asked after each step: the first that shows such a time starts the clock.
    """
    knowledge = Knowledge()
    stated: dict[int, _Start] = {}
    start: _Start | None = None
    for step in steps:
        aware = _aware(step, awareness)
        if aware is not None:
            stated[step.version] = aware
        for known in _learn(knowledge, step, aware):
            if (start is None or known.at < start.at) and qualifies(known.case):
                start = replace(stated[known.version], step=start.step if start else step)
    return start


def _learn(knowledge: Knowledge, step: _Step, aware: _Start | None) -> Iterable[Known]:
    at = None if aware is None else aware.at
    if step.stated is None:
        return [] if at is None else [Known(at, step.version, step.case)]
    # Who says only since when, says it of the case as it stands.
    stated = step.case if states_nothing_else(step.stated) else step.stated
    return knowledge.learn(stated, at, step.version)


def _hours(
    clock: ClockName, start: _Start | None, *, ended_by_version: int | None = None
) -> list[Clock]:
    if start is None:
        return []
    due = start.at + timedelta(hours=HOURS)
    return [replace(_started(clock, start), due=due, ended_by_version=ended_by_version)]


def _days(clock: ClockName, start: _Start, days: int, time_zone: ZoneInfo) -> Clock:
    day0 = site_date(start.at, time_zone)
    due_date = day0 + timedelta(days=days)
    return replace(_started(clock, start), day0=day0, basis_days=days, due_date=due_date)


def _started(clock: ClockName, start: _Start) -> Clock:
    return Clock(
        clock=clock,
        started_by_version=start.step.version,
        started_at=start.at,
        counted_from=start.counted_from,
        counted_from_version=stated_since(start.aware.stood, f"/{start.counted_from}"),
        facts=clock_facts(clock, start.step.stood),
    )


def _is_serious(case: CaseUpdate) -> bool:
    return judge_case(case).serious is True


def _is_serious_reaction(case: CaseUpdate) -> bool:
    return judge_case(case).is_serious_reaction


def _is_susar(case: CaseUpdate) -> bool:
    return judge_case(case).is_susar


def _is_severe_susar(case: CaseUpdate) -> bool:
    return is_fatal_or_life_threatening(case.criteria) and _is_susar(case)
