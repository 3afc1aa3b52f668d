"""Seriousness of an adverse event: six criteria, each true, false or unknown (rulebook 8).

Severity (the grade) is not seriousness.
"""

from dataclasses import fields, replace

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as form

from services.kernel.values import Flag


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Seriousness:
    """The six criteria of ICH E2A as stated; `None` is not yet judged."""

    death: Flag | None = None
    life_threatening: Flag | None = None
    hospitalization: Flag | None = None
    disability: Flag | None = None
    congenital_anomaly: Flag | None = None
    medically_important: Flag | None = None


UNJUDGED = Seriousness()


def is_serious(stated: Seriousness) -> bool | None:
    """Tell whether any criterion holds; unknown unless one is true or all six are false."""
    values = _values(stated)
    if True in values:
        return True
    return None if None in values else False


def is_fatal_or_life_threatening(stated: Seriousness) -> bool:
    """Tell whether the shorter time limits apply."""
    return stated.death is True or stated.life_threatening is True


def add_statements(before: Seriousness, later: Seriousness) -> Seriousness:
    """Return the criteria after a later statement; what it leaves open stays as it was."""
    stated = {
        criterion.name: value
        for criterion in fields(Seriousness)
        if (value := getattr(later, criterion.name)) is not None
    }
    return replace(before, **stated)


def _values(stated: Seriousness) -> list[bool | None]:
    return [getattr(stated, criterion.name) for criterion in fields(Seriousness)]
