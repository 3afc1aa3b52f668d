"""What waits to be written is bounded: more is refused at once, and nothing is lost."""

import asyncio
from uuid import uuid4

import asyncpg
import httpx

from services.kernel.writing import Writer
from tests.kernel.scratch_calls import STUDY, Scratch


async def test_a_full_queue_refuses_at_once_and_writes_what_it_took(scratch: Scratch) -> None:
    participant = uuid4()
    await scratch.write(participant, "first")
    scratch.app.state.holdings[Writer].longest_queue = 5
    holder = await asyncpg.connect(scratch.place.superuser_dsn)
    async with holder.transaction():
        await holder.execute(
            f"SELECT 1 FROM {scratch.place.name}.stream WHERE study = $1 FOR UPDATE", STUDY
        )
        sent = [asyncio.create_task(scratch.write(participant, f"note {at}")) for at in range(30)]
        refused: list[asyncio.Task[httpx.Response]] = []
        while len(refused) < len(sent) // 2:
            await asyncio.wait(sent, timeout=0.1)
            refused = [task for task in sent if task.done()]
        assert {task.result().status_code for task in refused} == {503}
        assert {task.result().headers["Retry-After"] for task in refused} == {"1"}
    await holder.close()
    answers = await asyncio.gather(*sent)
    taken = [answer for answer in answers if answer.status_code == 201]
    assert len(taken) + len(refused) == len(sent)
    assert (await scratch.verification())["events"] == 1 + len(taken)
