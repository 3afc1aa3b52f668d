"""The way of a participant from registration to the schedule, with the generated client.

Run in a process of its own. Told by the environment: URL, and a token of each role in TOKENS.
"""

import json
import os
from typing import Any, Final

from trial_events_client import AuthenticatedClient
from trial_events_client.api.consents import record_consent
from trial_events_client.api.participants import read_participant, register_participant
from trial_events_client.api.screening import decide_enrolment, put_screening, read_eligibility
from trial_events_client.api.visits import read_schedule, record_visit
from trial_events_client.models import (
    ConsentBody,
    DecisionBody,
    Problem,
    RegistrationBody,
    ScreeningBody,
    VisitBody,
)

from launcher import trial_story

STUDY: Final = trial_story.STUDY
TOKENS: Final[dict[str, str]] = json.loads(os.environ["TOKENS"])


def client(role: str) -> Any:
    """Return the client of somebody with this role."""
    return AuthenticatedClient(base_url=os.environ["URL"], token=TOKENS[role], timeout=60)


def good(answer: Any) -> Any:
    """Return what was answered, unless it is a problem."""
    assert not isinstance(answer.parsed, Problem), answer.parsed
    assert answer.parsed is not None, answer.content
    return answer.parsed


def main() -> None:
    """Take one participant from registration to the schedule."""
    person = trial_story.people()[0]
    body = RegistrationBody.from_dict(
        {"site": trial_story.SITE, "birth_date": person.birth_date, "sex": person.sex}
    )
    registered = good(
        register_participant.sync_detailed(
            STUDY, client=client("coordinator"), body=body, idempotency_key="python-client-1"
        )
    )
    one = str(registered.id)
    signed = ConsentBody.from_dict(trial_story.consent(person))
    consent = good(
        record_consent.sync_detailed(STUDY, one, client=client("coordinator"), body=signed)
    )
    assert sorted(consent.scope) == ["data", "treatment"]
    found = ScreeningBody.from_dict(trial_story.screening(person))
    good(put_screening.sync_detailed(STUDY, one, client=client("investigator"), body=found))
    visit = VisitBody.from_dict({**trial_story.visit(person, "SCR"), "source_ref": f"python-{one}"})
    receipt = good(record_visit.sync_detailed(STUDY, one, client=client("edc"), body=visit))
    assert {part.write for part in receipt.parts} == {"created"}
    eligibility = good(read_eligibility.sync_detailed(STUDY, one, client=client("investigator")))
    assert eligibility.verdict == "eligible", eligibility.unknown
    decision = DecisionBody.from_dict(
        {"decision": "enrol", "decided_at": person.at("SCR", 16), "signed_by": "Dr Li"}
    )
    good(decide_enrolment.sync_detailed(STUDY, one, client=client("investigator"), body=decision))
    schedule = good(read_schedule.sync_detailed(STUDY, one, client=client("coordinator")))
    statuses = {planned.code: planned.status for planned in schedule.visits}
    assert statuses["SCR"] == "done"
    stranger = read_participant.sync_detailed(
        STUDY, "00000000-0000-7000-8000-000000000000", client=client("edc")
    )
    assert isinstance(stranger.parsed, Problem)
    assert stranger.parsed.status == 404
    print(f"journey of {registered.screening_number} is done")  # noqa: T201 - it is a script


if __name__ == "__main__":
    main()
