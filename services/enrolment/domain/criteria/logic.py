"""Three-valued logic: true, false and `None` for unknown (rulebook section 6)."""


def any_of(*parts: bool | None) -> bool | None:
    """Return true if any part is, else unknown if any is, else false."""
    if True in parts:
        return True
    return None if None in parts else False


def all_of(*parts: bool | None) -> bool | None:
    """Return false if any part is, else unknown if any is, else true."""
    if False in parts:
        return False
    return None if None in parts else True


def agreeing(first: bool, second: bool) -> bool | None:  # noqa: FBT001 - two extremes of one question
    """Return what both extremes of an inexact value say, unknown where they differ."""
    return first if first == second else None
