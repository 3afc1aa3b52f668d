"""Who may state what about an adverse event, and whose word counts as attested.

Source: the contract's "Records, gates, parts": causality and seriousness by an EDC or a
coordinator count as the investigator's, marked unattested; the sponsor's members count as
transcribed in a first report, and later only a safety officer changes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from pydantic import TypeAdapter

from services.kernel.refusals import Fault, NotAllowed
from services.safety.domain.adverse_events import AdverseEventReport

STATED: Final = tuple(member.name for member in fields(AdverseEventReport))
"""The members that the sender states; the rest is derived."""
SPONSORS: Final = ("expected", "sponsor_aware_at", "sponsor_causality")
"""What a safety officer alone changes."""
SHARED: Final = frozenset({"new_information_at", "handling_completed_at", "coding", "soc"})
"""What the site and the sponsor may both change."""
INVESTIGATORS: Final = ("investigator_causality", "seriousness")
"""What counts as the investigator's, whoever enters it."""
_REPORT: Final = TypeAdapter(AdverseEventReport)


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a report, and on whose behalf, by role."""

    subject: str = ""
    is_investigator: bool = False
    is_of_site: bool = False
    is_of_sponsor: bool = False

    def may_change(self, member: str) -> bool:
        """Tell whether the author may change a member of a report that stands."""
        if member in SPONSORS:
            return self.is_of_sponsor
        return self.is_of_site or member in SHARED


def stated_members(report: AdverseEventReport) -> dict[str, Any]:
    """Return the members as the sender states them, times and partial dates as text."""
    members: dict[str, Any] = _REPORT.dump_python(report)
    return {name: members[name] for name in STATED}


def read_report(members: Mapping[str, Any]) -> AdverseEventReport:
    """Return the report that members of a record make."""
    return _REPORT.validate_python({name: members[name] for name in STATED})


def permitted(
    author: Author, before: Mapping[str, Any], members: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the members, with those as they stood that the author may not change and omits.

    Raises NotAllowed for a change of what another role states.
    """
    kept, faults = {}, []
    for name, value in members.items():
        stood = before.get(name)
        is_open = author.may_change(name)
        kept[name] = stood if value is None and not is_open else value
        if kept[name] != stood and not is_open:
            faults.append(Fault(f"/{name}", "not_yours", "Another role states this."))
    if faults:
        raise NotAllowed("A member is changed that another role states.", faults=faults)
    return kept


def unattested(
    author: Author, before: Mapping[str, Any] | None, members: Mapping[str, Any]
) -> list[str]:
    """Return the investigator's members that no investigator has stated so."""
    if author.is_investigator:
        return []
    attested = set() if before is None else set(INVESTIGATORS) - set(before["unattested"])
    return [
        name
        for name in INVESTIGATORS
        if _is_stated(members[name])
        and not (before is not None and name in attested and members[name] == before[name])
    ]


def transcribed(
    author: Author, before: Mapping[str, Any] | None, members: Mapping[str, Any]
) -> list[str]:
    """Return the sponsor's members that no safety officer has stated so."""
    if before is None:
        return [name for name in SPONSORS if members[name] is not None and not author.is_of_sponsor]
    return [name for name in before["transcribed"] if members[name] == before[name]]


def statements_of(versions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what each party states now: who stated it so, when, and in which version.

    `is_attested`: an investigator or, for the sponsor's members, a safety officer said it.
    """
    return [
        _statement(versions, member, party, listed)
        for party, members, listed in (
            ("investigator", INVESTIGATORS, "unattested"),
            ("sponsor", SPONSORS, "transcribed"),
        )
        for member in members
        if _is_stated(versions[-1][member])
    ]


def _statement(
    versions: Sequence[Mapping[str, Any]], member: str, party: str, listed: str
) -> dict[str, Any]:
    def said(version: Mapping[str, Any]) -> tuple[Any, bool]:
        return version[member], member in version[listed]

    standing = said(versions[-1])
    since = len(versions)
    while since > 1 and said(versions[since - 2]) == standing:
        since -= 1
    return {
        "party": party,
        "member": member,
        "value": standing[0],
        "stated_by": versions[since - 1]["recorded_by"],
        "stated_at": versions[since - 1]["recorded_at"],
        "version": since,
        "is_attested": not standing[1],
    }


def _is_stated(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(part is not None for part in value.values())
    return value is not None
