"""Psoriasis Area and Severity Index (PASI), in exact tenths of a point (rulebook section 1).

Here and not in a service, because scoring records it and enrolment judges by it.
Source: Fredriksson and Pettersson, Dermatologica 1978;157:238-244.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Final

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass as form
from pydantic_core import PydanticCustomError

from services.kernel.values import NUMBER, WHOLE

CLOSED = ConfigDict(extra="forbid")
Sign = Annotated[int, Field(ge=0, le=4, description="0 none, 4 very severe"), WHOLE]
AreaScore = Annotated[int, Field(ge=0, le=6, description="0 none, 6 is 90 % or more"), WHOLE]
Percent = Annotated[Decimal, Field(ge=0, le=100), NUMBER]

TENTHS_BY_REGION: Final = {"head": 1, "upper_limbs": 2, "trunk": 3, "lower_limbs": 4}
"""Each region's share of the body surface, in tenths."""

SIGNS: Final = ("erythema", "induration", "desquamation")
_BAND_STARTS: Final = (10, 30, 50, 70, 90)


def area_score_of(percent: Decimal) -> int:
    """Return the area score, 0 to 6; only exactly 0 % is 0, each band includes its start."""
    if percent == 0:
        return 0
    return 1 + sum(percent >= start for start in _BAND_STARTS)


@form(frozen=True, kw_only=True, config=CLOSED)
class Region:
    """One body region as the assessor graded it; the area as a score, a percent or both."""

    erythema: Sign | None = None
    induration: Sign | None = None
    desquamation: Sign | None = None
    area_score: AreaScore | None = None
    area_percent: Percent | None = None

    @field_validator("area_percent")
    @classmethod
    def _agrees_with_score(cls, percent: Decimal | None, info: ValidationInfo) -> Decimal | None:
        score = info.data.get("area_score")
        if percent is not None and score is not None and area_score_of(percent) != score:
            raise PydanticCustomError("MISMATCH", "Percent and area score contradict each other.")
        return percent

    @property
    def area(self) -> int | None:
        """The area score, as given or from the percent."""
        if self.area_score is not None or self.area_percent is None:
            return self.area_score
        return area_score_of(self.area_percent)

    @property
    def severity(self) -> int | None:
        """The sum of the three signs, 0 to 12; None where one was not graded."""
        if self.erythema is None or self.induration is None or self.desquamation is None:
            return None
        return self.erythema + self.induration + self.desquamation

    def missing(self) -> list[str]:
        """Return the names of what was not graded."""
        absent = [sign for sign in SIGNS if getattr(self, sign) is None]
        return absent if self.area is not None else [*absent, "area_score"]


@form(frozen=True, kw_only=True, config=CLOSED)
class PasiRegions:
    """The four regions of a PASI form; what was not assessed is left out."""

    head: Region | None = None
    upper_limbs: Region | None = None
    trunk: Region | None = None
    lower_limbs: Region | None = None


def _regions(form: PasiRegions) -> Iterator[tuple[str, int, Region]]:
    for name, share in TENTHS_BY_REGION.items():
        yield name, share, getattr(form, name) or Region()


def region_tenths(form: PasiRegions) -> dict[str, int]:
    """Return each complete region's part of the total, in tenths of a point."""
    found = {}
    for name, share, region in _regions(form):
        severity, area = region.severity, region.area
        if severity is not None and area is not None:
            found[name] = share * severity * area
    return found


def pasi_tenths(form: PasiRegions) -> int | None:
    """Return the total in tenths, 0 to 720; None unless all of all regions was graded."""
    return total_tenths(region_tenths(form))


def total_tenths(parts: Mapping[str, int]) -> int | None:
    """Return the sum of the regions' parts; None unless all regions have one."""
    return sum(parts.values()) if len(parts) == len(TENTHS_BY_REGION) else None


def missing_parts(form: PasiRegions) -> list[str]:
    """Return what was not graded: a region's name if all of it is absent, else its members."""
    missing = []
    for name, _, region in _regions(form):
        absent = region.missing()
        if len(absent) == len(SIGNS) + 1:
            missing.append(name)
        else:
            missing += [f"{name}.{member}" for member in absent]
    return missing


def odd_regions(form: PasiRegions) -> list[tuple[str, str]]:
    """Return regions whose area and signs contradict each other, each with the warning's code."""
    odd = []
    for name, _, region in _regions(form):
        if region.area == 0 and any(getattr(region, sign) for sign in SIGNS):
            odd.append((name, "AREA_ZERO_WITH_SEVERITY"))
        if region.area and region.severity == 0:
            odd.append((name, "AREA_WITHOUT_SEVERITY"))
    return odd


def derived_bsa_percent(form: PasiRegions) -> Decimal | None:
    """Return the body surface affected, in percent; only from the percents of all regions."""
    shares = [(share, region.area_percent) for _, share, region in _regions(form)]
    known = [share * percent for share, percent in shares if percent is not None]
    return sum(known, Decimal(0)) / 10 if len(known) == len(shares) else None
