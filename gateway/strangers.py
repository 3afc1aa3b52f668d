"""Whether a caller may know of a participant: enrolment says so, who knows the site."""

from urllib.parse import quote

from starlette.requests import Request

from gateway.forwarding import Forwarder, headers_of
from services.kernel.holdings import held
from services.kernel.http import Call
from services.kernel.refusals import NotFound

_NOT_FOUND = 404


async def find_participant(request: Request, call: Call, text: str) -> None:
    """Raise NotFound for an unknown participant, and for one of whom the caller may not know.

    Asks by a visit that is never written and read by nobody. Raises ServiceDown.
    """
    forwarder = held(request, Forwarder)
    headers = {**headers_of(request), "Content-Type": "application/json"}
    reply = await forwarder.forward(
        request,
        "enrolment",
        f"/v1/studies/{call.study}/participants/{quote(text, safe=':')}/visits",
        study=call.study,
        method="POST",
        body=b"{}",
        query="validate_only=true",
        headers={name: value for name, value in headers.items() if name != "idempotency-key"},
    )
    if reply.status == _NOT_FOUND:
        raise NotFound
