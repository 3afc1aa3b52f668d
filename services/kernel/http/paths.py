"""Whom and what a path names."""

from uuid import UUID

from services.kernel.refusals import NotFound


def parse_participant(text: str) -> UUID | str:
    """Return the id in a path, or the caller's own id behind `external:`; raises NotFound."""
    if text.startswith("external:"):
        external = text.removeprefix("external:")
        if not external or len(external) > 64 or "\0" in external:  # noqa: PLR2004 - api.md limit
            raise NotFound
        return external
    return parse_id(text)


def parse_id(text: str) -> UUID:
    """Return the record id in a path; raises NotFound for what no record is called."""
    try:
        identity = UUID(text)
    except ValueError:
        raise NotFound from None
    if str(identity) != text.lower():
        raise NotFound
    return identity
