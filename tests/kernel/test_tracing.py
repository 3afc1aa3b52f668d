"""Spans reach an OTLP receiver, and know templates only."""

from uuid import uuid4

from joserfc.jwk import ECKey

from services.kernel.observing import parent_headers
from tests.kernel.scratch_calls import Scratch, Throwaway, serving
from tests.spans import received, spans_in

__all__ = ["received"]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def test_a_span_has_its_parent_its_template_and_nothing_of_the_caller(
    received: list[bytes], place: Throwaway, issuer_key: ECKey, issuer_key_set: str
) -> None:
    participant = uuid4()
    async with serving(place, issuer_key, issuer_key_set) as scratch:
        await scratch.write(
            participant,
            "a secret note",
            traceparent=f"00-{TRACE}-{PARENT}-01",
            baggage="name=secret",
        )
    [span] = spans_in(received)
    assert span.name == "POST /v1/studies/{study}/participants/{participant}/notes"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    told = {one.key: one.value for one in span.attributes}
    assert told["http.response.status_code"].int_value == 201
    sent = b"".join(received)
    assert str(participant).encode() not in sent
    assert b"secret" not in sent


async def test_an_unknown_path_is_not_named(
    received: list[bytes], place: Throwaway, issuer_key: ECKey, issuer_key_set: str
) -> None:
    async with serving(place, issuer_key, issuer_key_set) as scratch:
        await scratch.call("PURGE", "/secret")
    [span] = spans_in(received)
    assert span.name == "OTHER unmatched"
    assert b"secret" not in b"".join(received)


async def test_without_an_address_nothing_is_traced(scratch: Scratch) -> None:
    await scratch.write(uuid4())
    assert parent_headers() == {}
    assert "Traced" not in [layer.cls.__name__ for layer in scratch.app.user_middleware]  # type: ignore[attr-defined]
