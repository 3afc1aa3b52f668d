"""An EDC that posts visits and assessments, and sends again what was not acknowledged."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.running_system import STUDY, RunningSystem

PAUSE_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 300


@dataclass(slots=True)
class Post:
    """One request of the EDC, with or without a key, and its first good answer."""

    path: str
    body: Mapping[str, Any]
    key: str | None
    answer: httpx.Response | None = None

    @property
    def ids(self) -> list[str]:
        """The ids of all records that the good answer names."""
        assert self.answer is not None
        document = self.answer.json()
        return [part["id"] for part in document.get("parts", [document])]


@dataclass(slots=True)
class Edc:
    """Sends its posts over several connections, each until it is acknowledged."""

    client: httpx.AsyncClient
    posts: Sequence[Post]
    acknowledged: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    async def send(self, post: Post) -> httpx.Response | None:
        """Return the answer, or None when the connection broke."""
        headers = {"Idempotency-Key": post.key} if post.key else {}
        try:
            return await self.client.post(post.path, json=post.body, headers=headers)
        except httpx.TransportError as error:
            self.failures[type(error).__name__] += 1
            return None

    async def post_all(self, connections: int) -> None:
        """Send everything, each post until it is acknowledged."""
        waiting = iter(self.posts)

        async def work() -> None:
            for post in waiting:
                post.answer = await self._insist(post)
                self.acknowledged += 1

        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(work() for _ in range(connections)))

    async def _insist(self, post: Post) -> httpx.Response:
        while True:
            answer = await self.send(post)
            if answer is not None and answer.is_success:
                return answer
            if answer is not None:
                # Nothing but "not now" may come of a process that is away.
                assert answer.status_code == 503, answer.text
                assert answer.headers["Retry-After"]
                self.failures["503"] += 1
            await asyncio.sleep(PAUSE_SECONDS)


def edc_client(system: RunningSystem) -> httpx.AsyncClient:
    """Return a client with an EDC's token; paths are below the study's."""
    return httpx.AsyncClient(
        base_url=f"{system.url}/v1/studies/{STUDY}", headers=system.bearer("edc"), timeout=60
    )


async def until(condition: Callable[[], object]) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - a process of the system tells nobody
            await asyncio.sleep(0.02)
