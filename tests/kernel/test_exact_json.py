import json
from decimal import Decimal

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.exact_json import NotJson, canonical_json, parse_json, plain_json
from services.kernel.refusals import Impossible

NOT_JSON = [
    b"",
    b"{",
    b"[1,]",
    b'{"a":1}{"b":2}',
    b"{'a':1}",
    b'{"a":1 /* no */}',
    b"01",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1e400",
    b'{"a":1,"a":2}',
    b'{"b":{"a":1,"\\u0061":2}}',
    b"\xff",
    b"\xef\xbb\xbf{}",
    b'"\\ud800"',
    b"[" * 33 + b"]" * 33,
    b"[" * 100_000,
    b"9" * 400,
]


@pytest.mark.parametrize("raw", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJson):
        parse_json(raw)


def test_numbers_are_read_exactly() -> None:
    assert parse_json(b'{"a": 11.20, "b": 2.0, "c": 7}') == {
        "a": Decimal("11.20"),
        "b": Decimal("2.0"),
        "c": 7,
    }


def test_nesting_of_32_is_read_and_brackets_in_texts_do_not_nest() -> None:
    assert parse_json(b"[" * 32 + b"]" * 32)
    assert parse_json(json.dumps({"t": "[" * 100 + '\\"{'}).encode())


def test_a_nul_is_refused_with_its_pointers() -> None:
    with pytest.raises(Impossible) as refused:
        parse_json(b'{"a":["x","y\\u0000"],"b/c":{"d":"\\u0000"},"e\\u0000":1}')
    assert {fault.pointer for fault in refused.value.faults} == {"/a/1", "/b~1c/d", ""}


def json_values(texts: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.decimals(-(10**9), 10**9, places=5)
        | texts,
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abcz_", min_size=1), inner),
        max_leaves=10,
    )


ANY_TEXT = st.text(st.characters(codec="utf-8"))
STORABLE_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(json_values(ANY_TEXT))
def test_the_encoding_is_canonical(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(plain_json(value))


@given(st.decimals(min_value=Decimal("-1e-4"), max_value=Decimal("1e-4"), places=12))
def test_the_encoding_of_very_small_numbers_is_canonical(value: Decimal) -> None:
    assert canonical_json([value]) == rfc8785.dumps([plain_json(value)])


@given(json_values(STORABLE_TEXT))
def test_what_was_encoded_is_read_back(value: object) -> None:
    assert plain_json(parse_json(canonical_json(value))) == plain_json(value)
