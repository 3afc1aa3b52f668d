from typing import Any
from uuid import uuid4

import pytest

from tests.enrolment.enrolment_calls import Enrolment, faults

RECEIPT = {"fingerprint": "ab" * 32, "status": 201, "body": '{"write":"created"}'}


async def test_a_receipt_is_read_as_it_was_kept(enrolment: Enrolment) -> None:
    path = f"/receipts/{uuid4()}"
    kept = await enrolment.put(path, RECEIPT, role="edc")
    read = await enrolment.get(path, role="edc")
    assert kept.json() == read.json() == RECEIPT


async def test_the_first_receipt_of_a_key_stands(enrolment: Enrolment) -> None:
    path = f"/receipts/{uuid4()}"
    await enrolment.put(path, RECEIPT, role="edc")
    second = await enrolment.put(path, {**RECEIPT, "body": "{}"}, role="edc")
    assert second.json() == RECEIPT
    assert (await enrolment.get(path, role="edc")).json() == RECEIPT


async def test_another_callers_key_is_another_key(enrolment: Enrolment) -> None:
    path = f"/receipts/{uuid4()}"
    await enrolment.put(path, RECEIPT, role="edc")
    assert (await enrolment.get(path, role="coordinator")).status_code == 404


@pytest.mark.parametrize(
    ("stated", "pointer"),
    [
        ({"fingerprint": "xyz"}, "/fingerprint"),
        ({"status": 409}, "/status"),
        ({"more": 1}, "/more"),
    ],
)
async def test_an_impossible_receipt_is_refused(
    enrolment: Enrolment, stated: dict[str, Any], pointer: str
) -> None:
    answer = await enrolment.put(f"/receipts/{uuid4()}", {**RECEIPT, **stated}, role="edc")
    assert answer.status_code == 422
    assert {at for at, _ in faults(answer)} == {pointer}


async def test_only_writers_have_receipts(enrolment: Enrolment) -> None:
    assert (await enrolment.get("/receipts/x", role="auditor")).status_code == 403
