import asyncio
import json
from uuid import uuid4

from tests.kernel.scratch_calls import Scratch


async def follow(scratch: Scratch, until: int) -> list[int]:
    """Return the positions as a consumer meets them that trusts the last one it saw."""
    met: list[int] = []
    async with asyncio.timeout(20):
        while len(met) < until:
            met += [item["position"] for item in await scratch.feed(met[-1] if met else 0)]
    return met


async def test_two_processes_write_and_a_reader_meets_every_event_in_order(
    scratch: Scratch, second: Scratch
) -> None:
    participants = [uuid4() for _ in range(15)]
    reader = asyncio.create_task(follow(second, 300))
    answers = await asyncio.gather(
        *((scratch, second)[at % 2].write(participants[at % 15], f"note {at}") for at in range(300))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert await reader == list(range(1, 301))


async def test_an_answer_tells_how_far_the_feed_has_come(scratch: Scratch) -> None:
    answer = await scratch.write(uuid4())
    assert answer.headers["X-Feed-Position"] == f"{scratch.place.name}=1"


async def test_a_waiting_reader_is_woken_by_another_process(
    scratch: Scratch, second: Scratch
) -> None:
    await asyncio.sleep(0.2)  # until both listen
    waiting = asyncio.create_task(scratch.feed(wait=20))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await second.write(uuid4())
    (item,) = await asyncio.wait_for(waiting, 5)
    assert item["position"] == 1


async def test_a_waiting_reader_is_answered_when_nothing_happens(scratch: Scratch) -> None:
    assert await scratch.feed(wait=1) == []


async def test_the_feed_is_for_services_only(scratch: Scratch) -> None:
    answer = await scratch.call("GET", "/events", role="auditor")
    assert answer.status_code == 403


async def test_a_feed_item_has_the_state_afterwards(scratch: Scratch) -> None:
    participant = uuid4()
    written = (await scratch.write(participant, 'ein "Text" \\ über 1 Zeile')).json()
    (item,) = await scratch.feed()
    assert (item["resource"], item["version"], item["action"]) == ("note", 1, "created")
    assert item["participant"] == str(participant)
    assert item["resource_id"] == written["id"]
    assert item["recorded_at"] == written["recorded_at"]
    body = json.loads(item["body"])
    assert body == {name: value for name, value in written.items() if name != "write"}
