"""One HTTP connection: what the server refuses before any application sees a request.

A client that is slow in sending its head, or in taking its answer, is not waited for; a head
without end is cut off; what is not HTTP is refused in the shape of every refusal. The body's
limits are the application's, which knows how large it may be.
"""

import asyncio
import resource
from typing import Any, Final

from uuid_utils.compat import uuid7
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.kernel.problems import BadRequest, HeadersTooLarge, Unavailable, problem_response
from services.kernel.refusals import Refusal

HEAD_SECONDS: Final = 10.0
TAKING_SECONDS: Final = 30.0
LARGEST_HEAD: Final = 64 * 1024
"""The application refuses 16 KiB already, in its own words; this bounds what it is shown."""
_OTHER_FILES: Final = 400
MOST_CONNECTIONS: Final = max(
    64, min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES)
)


class HttpConnection(HttpToolsProtocol):
    """A connection whose client must keep up."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._awaits_head = True
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head, unless there are connections enough."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(Unavailable("There are too many connections."))
            return
        self._deadline = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget all deadlines."""
        self._end_deadline()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, while the head stays within its limits."""
        if self.transport.is_closing():
            return
        if self._awaits_head and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._awaits_head and self._head_bytes > LARGEST_HEAD:
            self._refuse(HeadersTooLarge("The request's head is too large."))

    def on_headers_complete(self) -> None:
        """Take the head as arrived."""
        self._awaits_head = False
        self._end_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next head from here on."""
        self._awaits_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Do not wait long for the rest of a body that was refused."""
        super().on_response_complete()
        if not self._awaits_head and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """Give the client time to take what was sent."""
        super().pause_writing()
        self._taking = self.loop.call_later(TAKING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on; the client has taken what was sent."""
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; the server's own words are not repeated."""
        del msg
        self._refuse(BadRequest("The bytes are not HTTP."))

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, refusal: Refusal) -> None:
        request_id = str(uuid7())
        answer = problem_response(
            refusal, request_id, {"X-Request-Id": request_id, "Connection": "close"}
        )
        lines = [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
        head = STATUS_LINE[refusal.status] + b"".join(lines) + b"\r\n"
        self.transport.write(head + bytes(answer.body))
        self.transport.close()
