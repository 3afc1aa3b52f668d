from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from services.enrolment.domain.criteria.logic import all_of, any_of

TRUTH = st.sampled_from([True, False, None])
NEGATION: Mapping[bool | None, bool | None] = {True: False, False: True, None: None}


@given(parts=st.lists(TRUTH, max_size=4))
def test_or_and_and_mirror_each_other(parts: list[bool | None]) -> None:
    assert any_of(*parts) is NEGATION[all_of(*(NEGATION[part] for part in parts))]
