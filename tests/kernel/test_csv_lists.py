import csv
import io
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from services.kernel.exact_json import canonical_json
from services.kernel.http import csv_cell, page_response, wants_csv, write_csv
from services.kernel.http.csv_lists import columns_of
from services.kernel.records import Page, StoredView


def request(*accept: str, **route: Any) -> Request:
    """Return the request for a list."""
    headers = [(b"accept", one.encode()) for one in accept]
    return Request(
        {
            "type": "http",
            "headers": headers,
            "route": SimpleNamespace(**route),
            "path": "/v1/list",
            "query_string": b"site=A&after=cDE",
            "server": ("test", 80),
            "scheme": "http",
            "root_path": "",
        }
    )


def table(*items: Any, documented: tuple[str, ...] = ()) -> list[list[str]]:
    text = write_csv([canonical_json(item) for item in items], documented).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    ("accept", "is_wanted"),
    [
        ((), False),
        (("*/*",), False),
        (("application/json",), False),
        (("text/csv",), True),
        (("Text/CSV; charset=utf-8",), True),
        (("text/csv, */*",), True),
        (("text/csv", "application/json;q=0.5"), True),
        (("text/csv;q=0.5, application/json",), False),
        (("text/csv, application/json",), False),
        (("text/csv;q=0.5, */*",), False),
        (("text/csv;q=0",), False),
        (("text/csv;q=much",), False),
    ],
)
def test_csv_is_given_to_who_would_rather_have_it(
    accept: tuple[str, ...], *, is_wanted: bool
) -> None:
    assert wants_csv(request(*accept)) is is_wanted


def test_services_tell_each_other_json() -> None:
    assert not wants_csv(request("text/csv", openapi_extra={"x-internal": True}))
    assert wants_csv(request("text/csv", openapi_extra={"x-roles": ["edc"]}))


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_is_taken_for_a_formula(sign: str) -> None:
    assert csv_cell(f"{sign}1+1") == f"'{sign}1+1"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (-3, "-3"),
        (Decimal("-20.40"), "-20.40"),
        (Decimal("1E-7"), "0.0000001"),
        (True, "true"),
        ("a,b", "a,b"),
        (["treatment", "data"], '["treatment","data"]'),
    ],
)
def test_a_cell_says_what_the_member_says(value: Any, cell: str) -> None:
    assert csv_cell(value) == cell


def test_members_of_members_have_columns_of_their_own() -> None:
    rows = table(
        {"derived": {"pasi": Decimal("20.4"), "by": {"trunk": 1}}, "id": "a"},
        {"derived": None, "id": "b", "more": "x"},
    )
    assert rows == [
        ["derived.by.trunk", "derived.pasi", "id", "more"],
        ["1", "20.4", "a", ""],
        ["", "", "b", "x"],
    ]


def test_documented_columns_come_first_and_always() -> None:
    assert table(documented=("id", "code")) == [["id", "code"]]
    assert table({"z": 1, "id": "a"}, documented=("id", "code")) == [
        ["id", "code", "z"],
        ["a", "", "1"],
    ]
    assert table() == []


def test_the_columns_documented_are_the_items_own() -> None:
    assert columns_of(request(response_model=Page[StoredView]))[:3] == ["id", "participant", "site"]
    assert columns_of(request(response_model=StoredView)) == []
    assert columns_of(request()) == []


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_every_text_is_read_back(texts: list[str]) -> None:
    read = table(*({"said": text} for text in texts), documented=("said",))[1:]
    assert [cell.removeprefix("'") for [cell] in read] == [text.removeprefix("'") for text in texts]


def test_a_page_keeps_its_link_as_a_table() -> None:
    items = [canonical_json({"id": "a", "note": "=1"})]
    page = page_response(request("text/csv"), items, 5)
    plain = page_response(request("application/json"), items, 5)
    assert page.body == b"id,note\r\na,'=1\r\n"
    assert page.headers["content-type"] == "text/csv; charset=utf-8"
    assert page.headers["link"] == '</v1/list?site=A&after=cDU>; rel="next"'
    assert page.headers["link"] == plain.headers["link"]
    assert page.headers["vary"] == plain.headers["vary"] == "Accept"
