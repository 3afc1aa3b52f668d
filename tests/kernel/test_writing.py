import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.kernel.exact_json import parse_json
from services.kernel.http import LARGEST_BODY
from tests.kernel.scratch import BROKEN, REFUSED
from tests.kernel.scratch_calls import Scratch
from tests.one_service import run


def kind(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


async def texts(scratch: Scratch, participant: UUID) -> list[str]:
    return [parse_json(row["body"].encode())["text"] for row in await scratch.events(participant)]


async def test_a_created_record_is_located_and_tagged(scratch: Scratch) -> None:
    participant = uuid4()
    answer = await scratch.write(participant)
    assert answer.status_code == 201
    assert answer.headers["ETag"] == '"1"'
    assert answer.json()["write"] == "created"
    read = await scratch.client.get(
        answer.headers["Location"], headers={"Authorization": f"Bearer {scratch.token()}"}
    )
    assert read.status_code == 200
    assert read.json() == {name: value for name, value in answer.json().items() if name != "write"}


async def test_a_repeated_request_gets_its_first_answer_byte_for_byte(scratch: Scratch) -> None:
    participant = uuid4()
    first = await scratch.write(participant, Idempotency_Key="key-1")
    again = await scratch.write(participant, Idempotency_Key='"key-1"')
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert len(await scratch.events(participant)) == 1


async def test_a_key_of_another_request_is_refused(scratch: Scratch) -> None:
    participant = uuid4()
    await scratch.write(participant, Idempotency_Key="key-1")
    other_body = await scratch.write(participant, "another", Idempotency_Key="key-1")
    other_path = await scratch.write(uuid4(), Idempotency_Key="key-1")
    assert kind(other_body) == kind(other_path) == (422, "key-reused")
    assert len(await scratch.events(participant)) == 1


async def test_a_key_belongs_to_its_caller(scratch: Scratch) -> None:
    participant = uuid4()
    path = f"/participants/{participant}/notes"
    mine = await scratch.call("POST", path, {"text": "a"}, Idempotency_Key="key-1")
    theirs = await scratch.call(
        "POST", path, {"text": "b"}, claims={"sub": "edc-2"}, Idempotency_Key="key-1"
    )
    assert (mine.status_code, theirs.status_code) == (201, 201)


async def test_a_refused_request_may_be_corrected_under_its_key(scratch: Scratch) -> None:
    participant = uuid4()
    refused = await scratch.write(participant, REFUSED, Idempotency_Key="key-1")
    accepted = await scratch.write(participant, "welcome", Idempotency_Key="key-1")
    assert kind(refused) == (409, "unwelcome")
    assert accepted.status_code == 201


async def test_twins_in_two_processes_write_once_and_answer_alike(
    scratch: Scratch, second: Scratch
) -> None:
    for at in range(20):
        participant = uuid4()
        one, other = await asyncio.gather(
            scratch.write(participant, Idempotency_Key=f"twin-{at}"),
            second.write(participant, Idempotency_Key=f"twin-{at}"),
        )
        assert (one.status_code, one.content) == (other.status_code, other.content)
        assert len(await scratch.events(participant)) == 1


async def test_fifty_writers_of_one_participant_leave_an_unbroken_chain(
    scratch: Scratch, second: Scratch
) -> None:
    participant = uuid4()
    answers = await asyncio.gather(
        *((scratch, second)[at % 2].write(participant, f"note {at}") for at in range(50))
    )
    assert {answer.status_code for answer in answers} == {201}
    rows = await scratch.events(participant)
    assert [row["stream_version"] for row in rows] == list(range(1, 51))
    assert [row["prev_hash"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]
    assert sorted(answer.json()["earlier"] for answer in answers) == list(range(50))
    found = await scratch.verification()
    assert (found["verified"], found["events"]) == (True, 50)
    assert found["heads"][str(participant)]["version"] == 50


async def test_of_two_concurrent_corrections_one_is_stale(
    scratch: Scratch, second: Scratch
) -> None:
    participant = uuid4()
    note = (await scratch.write(participant)).json()["id"]
    path = f"/participants/{participant}/notes/{note}"
    answers = await asyncio.gather(
        *(
            each.call("PUT", path, {"text": text, "change_reason": "typo"}, If_Match='"1"')
            for each, text in ((scratch, "a"), (second, "b"))
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    versions = (await scratch.call("GET", f"{path}/versions")).json()["items"]
    assert [one["version"] for one in versions] == [1, 2]


async def test_a_refused_command_costs_its_neighbours_nothing(scratch: Scratch) -> None:
    participant = uuid4()
    sent = [REFUSED if at % 3 == 0 else f"note {at}" for at in range(30)]
    answers = await asyncio.gather(*(scratch.write(participant, text) for text in sent))
    assert [answer.status_code for answer in answers] == [
        409 if text == REFUSED else 201 for text in sent
    ]
    assert sorted(await texts(scratch, participant)) == sorted(
        text for text in sent if text != REFUSED
    )


async def test_a_database_error_costs_its_neighbours_nothing(scratch: Scratch) -> None:
    participant = uuid4()
    sent = [BROKEN if at == 5 else f"note {at}" for at in range(10)]
    answers = await asyncio.gather(*(scratch.write(participant, text) for text in sent))
    assert [answer.status_code for answer in answers] == [
        503 if text == BROKEN else 201 for text in sent
    ]
    assert answers[5].headers["Retry-After"] == "1"
    assert BROKEN not in answers[5].text
    assert (await scratch.verification())["events"] == 9


async def test_writing_goes_on_after_the_connection_was_cut(scratch: Scratch) -> None:
    participant = uuid4()
    await scratch.write(participant)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE usename = '{scratch.place.name}'"
    )
    await run(scratch.place.superuser_dsn, cut)
    answer = await scratch.write(participant, Idempotency_Key="after-the-cut")
    assert answer.status_code == 201
    assert (await scratch.verification())["events"] == 2


async def test_several_commands_are_written_all_or_none(scratch: Scratch) -> None:
    participant = uuid4()
    path = f"/participants/{participant}/notes/all"
    refused = await scratch.call("POST", path, {"notes": [{"text": "a"}, {"text": REFUSED}]})
    assert refused.status_code == 409
    assert await scratch.events(participant) == []
    accepted = await scratch.call("POST", path, {"notes": [{"text": "a"}, {"text": "b"}]})
    assert accepted.status_code == 200
    assert await texts(scratch, participant) == ["a", "b"]


async def test_units_that_fail_leave_nothing_to_units_beside_them(scratch: Scratch) -> None:
    participant = uuid4()
    path = f"/participants/{participant}/notes/all"
    bad = {"notes": [{"text": "a"}, {"text": REFUSED}]}
    good = {"notes": [{"text": "b"}, {"text": "c"}]}
    answers = await asyncio.gather(
        *(scratch.call("POST", path, body) for body in (good, bad, good, bad, good))
    )
    assert [answer.status_code for answer in answers] == [200, 409, 200, 409, 200]
    seen = sorted(
        at for answer in answers if answer.status_code == 200 for at in answer.json()["earlier"]
    )
    assert seen == list(range(6))
    assert (await scratch.verification())["events"] == 6


async def test_a_later_command_sees_what_an_earlier_one_added(scratch: Scratch) -> None:
    path = f"/participants/{uuid4()}/notes/all"
    answer = await scratch.call("POST", path, {"notes": [{"text": "a"}] * 4})
    assert answer.json() == {"earlier": [0, 1, 2, 3]}


async def test_a_rehearsal_decides_and_writes_nothing(scratch: Scratch) -> None:
    participant = uuid4()
    path = f"/participants/{participant}/notes/all"
    body = {"notes": [{"text": "a"}, {"text": "b"}], "is_rehearsal": True}
    rehearsed, kept = await asyncio.gather(
        scratch.call("POST", path, body, Idempotency_Key="key-1"),
        scratch.call("POST", path, {"notes": [{"text": "c"}, {"text": "d"}]}),
    )
    # Whichever is decided first, what is kept never stands behind what was rehearsed.
    assert rehearsed.json() in ({"earlier": [0, 1]}, {"earlier": [2, 3]})
    assert kept.json() == {"earlier": [0, 1]}
    assert await texts(scratch, participant) == ["c", "d"]
    async with scratch.database.pooled() as connection:
        assert await connection.fetchval("SELECT count(*) FROM idempotency") == 0


async def test_one_source_reference_makes_one_record(scratch: Scratch, second: Scratch) -> None:
    for at in range(10):
        participant = uuid4()
        path = f"/participants/{participant}/notes"
        body = {"text": "a", "source_system": "edc", "source_ref": f"form-{at}"}
        answers = await asyncio.gather(
            *((scratch, second)[each % 2].call("POST", path, body) for each in range(6))
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len(await scratch.events(participant)) == 1


async def test_a_source_reference_race_of_two_participants_has_one_winner(
    scratch: Scratch, second: Scratch
) -> None:
    body = {"text": "a", "source_system": "edc", "source_ref": "form-1"}
    other = {**body, "text": "b"}
    answers = await asyncio.gather(
        scratch.call("POST", f"/participants/{uuid4()}/notes", body),
        second.call("POST", f"/participants/{uuid4()}/notes", other),
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert (await scratch.verification())["events"] == 1


async def test_a_held_version_is_not_sent_again(scratch: Scratch) -> None:
    participant = uuid4()
    note = (await scratch.write(participant)).json()["id"]
    path = f"/participants/{participant}/notes/{note}"
    held = await scratch.call("GET", path, If_None_Match='"1"')
    assert (held.status_code, held.content, held.headers["ETag"]) == (304, b"", '"1"')
    assert (await scratch.call("GET", path, If_None_Match='"2"')).status_code == 200


@pytest.mark.parametrize(
    ("tag", "status"),
    [(None, 428), ("*", 428), ('W/"1"', 412), ('"9"', 412), ('"1", "2"', 412), ("", 412)],
)
async def test_a_change_names_the_version_it_changes(
    scratch: Scratch, tag: str | None, status: int
) -> None:
    participant = uuid4()
    note = (await scratch.write(participant)).json()["id"]
    headers: dict[str, Any] = {} if tag is None else {"If_Match": tag}
    answer = await scratch.call(
        "PUT",
        f"/participants/{participant}/notes/{note}",
        {"text": "b", "change_reason": "typo"},
        **headers,
    )
    assert answer.status_code == status


async def test_an_unknown_method_is_told_the_known_ones(scratch: Scratch) -> None:
    answer = await scratch.call("DELETE", f"/participants/{uuid4()}/notes")
    assert kind(answer) == (405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, POST"


async def test_only_plain_json_is_read(scratch: Scratch) -> None:
    path = f"/participants/{uuid4()}/notes"
    form = await scratch.call("POST", path, b"text=a", Content_Type="text/plain")
    packed = await scratch.call("POST", path, {"text": "a"}, Content_Encoding="gzip")
    assert kind(form) == kind(packed) == (415, "unsupported-media-type")
    malformed = await scratch.call("POST", path, b'{"text": "a", "text": "b"}')
    assert kind(malformed) == (400, "not-json")


async def test_a_large_body_is_refused(scratch: Scratch) -> None:
    path = f"/participants/{uuid4()}/notes"
    answer = await scratch.call("POST", path, b" " * (LARGEST_BODY + 1))
    assert kind(answer) == (413, "too-large")


async def test_large_headers_are_refused(scratch: Scratch) -> None:
    answer = await scratch.write(uuid4(), X_Filling="x" * 17_000)
    assert kind(answer) == (431, "headers-too-large")


async def test_a_stranger_learns_nothing_from_a_later_check(scratch: Scratch) -> None:
    path = f"/participants/{uuid4()}/notes"
    stranger = await scratch.call("POST", path, b"{", Authorization="Basic x", Idempotency_Key="")
    assert kind(stranger) == (401, "unauthenticated")
    assert stranger.headers["WWW-Authenticate"] == "Bearer"
    reader = await scratch.call("POST", path, b"{", role="auditor", Idempotency_Key="")
    assert kind(reader) == (403, "not-permitted")
    elsewhere = await scratch.call("POST", path, b"{", claims={"studies": []}, Idempotency_Key="")
    assert kind(elsewhere) == (404, "not-found")
    keyless = await scratch.call("POST", path, b"{", Idempotency_Key="two words")
    assert kind(keyless) == (422, "wrong-key")
    assert kind(await scratch.call("POST", path, b"{")) == (400, "not-json")


@pytest.mark.parametrize(
    "claims",
    [{"exp": int(time.time()) - 100}, {"aud": "others"}, {"iss": "https://evil.test"}, {"sub": ""}],
)
async def test_a_token_that_is_not_for_here_is_refused(
    scratch: Scratch, claims: dict[str, Any]
) -> None:
    path = f"/participants/{uuid4()}/notes"
    assert (await scratch.call("POST", path, {"text": "a"}, claims=claims)).status_code == 401


async def test_one_edited_byte_is_found_and_named(scratch: Scratch) -> None:
    participant, bystander = uuid4(), uuid4()
    for at in range(3):
        await scratch.write(bystander, f"theirs {at}")
        await scratch.write(participant, f"mine {at}")
    await run(
        scratch.place.superuser_dsn,
        f"UPDATE {scratch.place.name}.event SET body = replace(body, 'mine 1', 'mine 7') "
        f"WHERE participant = '{participant}' AND stream_version = 2",
    )
    found = await scratch.verification()
    assert found["verified"] is False
    assert found["first_broken"] == {
        "service": scratch.place.name,
        "participant": str(participant),
        "seq": 4,
        "fault": "the content does not match its hash",
    }


async def test_a_missing_last_event_is_found(scratch: Scratch) -> None:
    participant = uuid4()
    await scratch.write(participant)
    await scratch.write(participant)
    await run(
        scratch.place.superuser_dsn,
        f"DELETE FROM {scratch.place.name}.event WHERE stream_version = 2",
    )
    found = await scratch.verification()
    assert found["first_broken"]["participant"] == str(participant)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET body = ''",
        "DELETE FROM event",
        "TRUNCATE event",
        "UPDATE note_version SET text = ''",
        "DELETE FROM note_version",
        "DELETE FROM stream",
        "UPDATE idempotency SET status = 200",
        "ALTER TABLE event DISABLE TRIGGER ALL",
        "CREATE TABLE mine ()",
    ],
)
async def test_the_services_role_cannot_rewrite_the_past(scratch: Scratch, statement: str) -> None:
    await scratch.write(uuid4())
    async with scratch.database.pooled() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_a_study_that_the_service_does_not_run_is_not_found(scratch: Scratch) -> None:
    answer = await scratch.client.get(
        f"/v1/studies/STUDY-2/participants/{uuid4()}/notes",
        headers={"Authorization": f"Bearer {scratch.token()}"},
    )
    assert kind(answer) == (404, "not-found")
