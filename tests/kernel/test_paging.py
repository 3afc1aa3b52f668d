import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.http import WrongCursor, read_cursor, write_cursor


@given(st.integers(0, 2**62))
def test_a_cursor_is_read_back(position: int) -> None:
    assert read_cursor(write_cursor(position)) == position


@pytest.mark.parametrize("text", ["", "abc", "cDE=", "cC0x", "cDAx", "é", "cA==", "p5"])
def test_what_was_not_handed_out_is_refused(text: str) -> None:
    with pytest.raises(WrongCursor):
        read_cursor(text)
