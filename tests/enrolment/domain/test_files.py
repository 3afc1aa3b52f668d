"""What no request reaches, because the routes look a participant up before: races and order."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest

from services.enrolment.domain.infusing import recorded_infusion
from services.enrolment.domain.participant_file import PARTICIPANT, ParticipantFile, StudyBook
from services.enrolment.domain.registering import (
    RegisterParticipant,
    RegistrationForm,
    decide_registration,
)
from services.enrolment.domain.visiting import RecordVisit, VisitForm, recorded_visit
from services.kernel.exact_json import canonical_json
from services.kernel.records import Stored
from services.kernel.refusals import NotFound
from services.protocol.loading import load_studies
from services.protocol.participation import read_participation

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FORM = RegistrationForm(site="GDTCM", external_id="EDC-1", birth_date=date(1985, 4, 12))


def registered() -> Stored:
    identity = uuid4()
    stated = {"external_id": "EDC-1", "birth_date": "1985-04-12", "sex": None}
    document = {"id": str(identity), "site": "GDTCM", **stated}
    body = canonical_json(document).decode()
    return Stored(identity, identity, 1, "GDTCM", is_retracted=False, body=body, position=1)


def test_a_file_without_a_participant_is_not_found() -> None:
    with pytest.raises(NotFound):
        _ = ParticipantFile(uuid4(), StudyBook()).site


def test_a_participant_of_another_site_is_not_found() -> None:
    stored = registered()
    records = {PARTICIPANT.name: {stored.id: stored}}
    file = ParticipantFile(stored.id, StudyBook(), records)
    assert file.require_site(frozenset({"GDTCM"})) == "GDTCM"
    with pytest.raises(NotFound):
        file.require_site(frozenset({"ELSEWHERE"}))


def test_who_was_registered_by_another_request_meanwhile_is_the_same_participant() -> None:
    stored = registered()
    book = StudyBook(participant_by_external_id={"EDC-1": stored})
    order = RegisterParticipant(
        study=load_studies()["NCT03745417"],
        participant=uuid4(),
        id=uuid4(),
        sites=None,
        form=FORM,
        status_id=uuid4(),
    )
    decision = decide_registration(ParticipantFile(order.participant, book), order, NOW)
    assert (decision.write, decision.standing) == ("unchanged", stored.body)


def test_what_was_not_recorded_is_not_found() -> None:
    file = ParticipantFile(uuid4(), StudyBook())
    order = RecordVisit(
        study=load_studies()["NCT03745417"],
        participant=file.participant,
        id=uuid4(),
        sites=None,
        form=VisitForm(code="W0", date=date(2021, 9, 15)),
        site=None,
        vital_signs=None,
        infusion=None,
        change_reason=None,
        infusion_id=uuid4(),
        status_id=uuid4(),
    )
    with pytest.raises(NotFound):
        recorded_visit(file, order)
    with pytest.raises(NotFound):
        recorded_infusion(file, "W0", NOW)


def test_the_gates_know_site_consents_and_the_last_day() -> None:
    withdrawn = {"status": "withdrawn", "date": "2021-10-01"}
    consent = {
        "scope": ["data"],
        "signed_at": "2021-09-01T09:00:00+08:00",
        "record_status": "entered",
    }
    documents: dict[str, list[dict[str, Any]]] = {
        "participant": [{"site": "GDTCM"}],
        "status": [{"status": "screening", "date": "2021-09-01"}, withdrawn],
        "consent": [consent],
    }
    found = read_participation(documents)
    assert (found.site, found.ended_on) == ("GDTCM", date(2021, 10, 1))
    assert [one.scopes for one in found.consents] == [frozenset({"data"})]
    assert read_participation({"participant": [{"site": "GDTCM"}]}).ended_on is None
