"""What schemathesis cannot know: whose token an operation takes, and which findings are meant.

Read by schemathesis itself, in a process of its own. The tokens come by the environment.
"""

import json
import os
from typing import Any, Final

import schemathesis

TOKENS: Final[dict[str, str]] = json.loads(os.environ["CONTRACT_TOKENS"])
"""A token of each role."""
UNPROCESSABLE: Final = 422
PREFERRED: Final = ("investigator", "safety_officer", "admin", "auditor", "participant")


def token_for(roles: list[str]) -> str:
    """Return the token of a role that may call the operation."""
    return TOKENS[next(role for role in (*PREFERRED, *roles) if role in roles)]


@schemathesis.auth()
class OfSuitableRole:
    """Sends the token of a role that may call the operation."""

    def get(self, _case: Any, context: Any) -> str | None:
        roles = context.operation.definition.raw.get("x-roles")
        return token_for(roles) if roles else None

    def set(self, case: Any, data: str | None, _context: Any) -> None:
        if data is not None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context: Any, value: Any) -> bytes:
    """Write rows as lines."""
    rows = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


MEANT: Final = {
    "blank": "A text of blanks only is no name or reason; JSON Schema has no word for it.",
    "nul": "U+0000 cannot be stored; JSON Schema allows it in every text.",
    "source": "source_system and source_ref go together, and null says the same as absent.",
    "date": "The pattern of a date knows no 30 February.",
    "partial_date": "The pattern of a date knows no 30 February.",
    "instant": "The pattern of a time knows no 30 February.",
    "RANGE": "Limits that follow from another member, or from the study: k is at most n.",
    "PRECISION": "More than 15 digits cannot be kept exactly; JSON Schema does not count digits.",
    "in_the_future": "What happened cannot be later than now.",
    "unknown_visit": "The codes are those of the study file.",
    "unknown_instrument": "The codes are those of the study file.",
    "unknown_criterion": "The codes are those of the study file.",
    "unknown_site": "The codes are those of the study file.",
    "unknown_fact": "A signal's facts are those that it has.",
    "other_site": "The site of a visit is the participant's.",
    "computed_criterion": "Some criteria are computed and not attested.",
    "other_analyte": "A code of another analyte than the test's.",
    "scope_not_given": "Only what was consented to can be withdrawn.",
    "before_signing": "A withdrawal comes after the consent.",
    "before_start": "An infusion stops after it starts.",
    "before_first_infusion": "A last infusion comes after the first.",
    "end_before_onset": "An adverse event ends after it began.",
    "dated": "A value has either a time or a date.",
    "reason_required": "Which status needs a reason follows from the status.",
    "change_reason_required": "Only the record tells whether a request changes it.",
    "cursor": "A cursor is one that was handed out.",
    "checkpoint": "A checkpoint is one that was signed here.",
    "key_reused": "A key that was used for another request.",
    "url": "An address to which a notice can be sent.",
    "address_refused": "An address to which nothing may be sent.",
    "repeated": "A thing is named twice.",
    "MISMATCH": "Two statements about one thing differ.",
    "NOT_RELEVANT_NOT_OFFERED": "Items 1 and 2 of the form have no such answer.",
}
"""Why a request that fits the schema may be refused: faults by their code."""
SETTINGS: Final = "/settings"
"""Settings that a question overrides are described by the study, not by the contract."""


def is_meant(error: dict[str, str]) -> bool:
    """Tell whether a fault is one that no schema can describe."""
    code = error["code"].rpartition(":")[2]
    return code in MEANT or error.get("pointer", "").startswith(SETTINGS)


def has_refused_row(response: Any) -> bool:
    """Tell whether a bulk request was answered with the problem of one of its rows."""
    [kind] = response.headers["content-type"]
    is_list = kind == "application/json"
    rows = response.json() if is_list else map(json.loads, filter(None, response.text.split("\n")))
    return any("problem" in row for row in rows)


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Pass over a refusal all of whose faults are meant, and over rows refused one by one."""
    if failure.code == "ST201" and case.operation.path.endswith("/bulk"):
        return not has_refused_row(response)
    if failure.code != "ST202" or response.status_code != UNPROCESSABLE:
        return True
    errors = response.json().get("errors", [])
    return not errors or not all(is_meant(error) for error in errors)
