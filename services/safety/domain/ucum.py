"""Units by the Unified Code for Units of Measure (UCUM), case sensitive."""

from functools import lru_cache
from typing import Any


def is_ucum_unit(text: str) -> bool:
    """Tell whether a text is a UCUM unit, such as `10*9/L`; `x10^9/l` is none."""
    return _parses(text)


@lru_cache(maxsize=1024)
def _parses(text: str) -> bool:
    from lark.exceptions import LarkError  # noqa: PLC0415 - half a second, for those who need it

    try:
        _parser().parse(text)
    except LarkError:
        return False
    return True


@lru_cache(maxsize=1)
def _parser() -> Any:
    from ucumvert import get_ucum_parser  # noqa: PLC0415 - likewise

    return get_ucum_parser()
