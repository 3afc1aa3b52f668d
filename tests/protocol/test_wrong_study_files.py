"""A wrong study file is refused with its line and the reason."""

from pathlib import Path

import pytest

from services.protocol.loading import BUILT_IN, WrongStudyFile, load_studies, load_study
from services.protocol.toml_lines import line_of

RIGHT = (Path(__file__).parents[1] / "studies" / "TEST-2SITE.toml").read_text("utf-8")


def refusal_of(folder: Path, text: str) -> WrongStudyFile:
    path = folder / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WrongStudyFile) as refused:
        load_study(path)
    assert refused.value.path == path
    return refused.value


def line_with(text: str, part: str, nth: int = 1) -> int:
    lines = [at for at, line in enumerate(text.splitlines(), start=1) if part in line]
    return lines[nth - 1]


WRONG = [
    # what the types refuse: what to replace, with what, the line that is at fault, the reason
    ("places = 12", "places = -1", "places = -1", "greater than or equal to 0"),
    ("places = 12", 'places = "12"', 'places = "12"', "A number is needed"),
    ("places = 12", "places = 12\ncolour = 1", "colour = 1", "Unexpected keyword"),
    ("places = 12", "", "# A study for tests", "places: Field required"),
    ('"Asia/Tokyo"', '"Asia/Edo"', "Asia/Edo", "no such IANA time zone"),
    ('code = "BER"', 'code = "B R"', "B R", "pattern"),
    ("offset_days = 84", "offset_days = 84.5", "84.5", "A whole number is needed"),
    ("range_days = [-14, -2]", "range_days = [-14, 2]", "[-14, 2]", "less than or equal to -1"),
    ('type = "inclusion"', 'type = "including"', "including", "'inclusion' or 'exclusion'"),
    ("has_infusion = true", "has_infusion = 1", "has_infusion = 1", "true or false is needed"),
    ('["ICH_E2A"]', '["ICH_E2B"]', "ICH_E2B", "settings.safety_regimes.0"),
    ("level = 0.9", "level = 1.9", "level = 1.9", "less than 1"),
    ("level = 0.9", "level = nan", "level = nan", "digits"),
    ("uvb = 28", "uvb = -1", "uvb = -1", "settings.eligibility.washout_days.uvb"),
    ("uvb = 28", "uva = 28", "uva = 28", "settings.eligibility.washout_days.uva"),
    ("divide_by = 4.008", "divide_by = 0", "divide_by = 0", "greater than 0"),
    ('week12 = "assumption: for tests"', 'week12 = "guess"', "guess", "pattern"),
    # what contradicts itself
    ('code = "TYO"', 'code = "BER"', "[[sites]]", "BER is defined twice"),
    ('code = "D84"', 'code = "D56"', "[[visits]]", "D56 is defined twice"),
    ('["pasi", "weight", "inf', '["pasi", "pasi", "inf', '"pasi", "pasi"', "pasi is named twice"),
    ('"weight", "infusion"', '"height", "infusion"', '"height"', "visit D0: no activity height"),
    (
        'unscheduled_activities = ["pasi"',
        'unscheduled_activities = ["x"',
        '["x"',
        "no activity x",
    ),
    ('code = "D84"', 'code = "unscheduled"', 'code = "unscheduled"', "outside the plan"),
    ("window_before_days = 7", "", "[[visits]]", "visit D84: either offset_days"),
    ("range_days = [-14, -2]", "", "[[visits]]", "visit PRE: either offset_days"),
    ("[-14, -2]", "[-2, -14]", "[[visits]]", "visit PRE: either offset_days"),
    ("[-14, -2]", "[-14, -2]\noffset_days = 1", "[[visits]]", "visit PRE: either offset_days"),
    ("has_infusion = true", "has_infusion = false", "has_infusion", "visit D0: has_infusion"),
    ("offset_days = 0\n", "offset_days = 2\n", "offset_days = 2", "at offset 0"),
    ("offset_days = 56", "offset_days = 24", "[[visits]]", "the windows of D21 and D56 overlap"),
    ('_code = "D56"', '_code = "D57"', "D57", "no visit D57"),
    ('_code = "D56"', '_code = "PRE"', '_code = "PRE"', "visit PRE has no target"),
    ('"vas", "dlqi"]\nun', '"vas", "epds"]\nun', "epds", "no rule scores instrument epds"),
    ('instrument = "dlqi"', 'instrument = "sas"', '"sas"', "no instrument sas"),
    ('"responders_75"', '"responders_76"', "responders_76", "no method responders_76"),
    ('"change"\ninstrument = "vas"', '"change"\ninstrument = "sds"', '"sds"', "no instrument sds"),
    ('id = "E5n"', 'id = "E5z"', 'id = "E5z"', "no rule computes criterion E5z"),
    ('id = "X1"', 'id = "E10"', "[[criteria]]", "E10 is defined twice"),
    ('name = "wbc"', 'name = "leukocytes"', "[[laboratory_tests]]", "the test wbc is missing"),
    ('canonical_unit = "g/L"', 'canonical_unit = "g/dL"', '= "g/dL"', "with the factor 1"),
    ('loinc = "1742-6"', 'loinc = "1920-8"', "[[laboratory_tests]]", "1920-8 is named twice"),
    ('"suspected_grade"', '"hunch"', "hunch", "no condition hunch"),
    ("age_min = 20", "age_min = 80", "age_min = 80", "age_min is above age_max"),
    (
        "wbc_lt = 3.5",
        "calcium_low_lt = 3.5",
        "calcium_low_lt",
        "calcium_low_lt is above calcium_high_gt",
    ),
    ("female = 120", "", "anaemia_lt_g_per_l", "no limit for female"),
    ("puva = 28", "", "washout_days]", "no days for puva"),
    ('\ndose = "assumption: for tests"', "", "[sources]", "no source for dose.weight_max_age_days"),
    ("week12 =", "week13 =", "[sources]", "no source for week12.anchor"),
    ("[sources]", '[sources]\ncats = "registry: none"', "cats", "no setting cats"),
]


@pytest.mark.parametrize(("right", "wrong", "at", "reason"), WRONG)
def test_wrong_file_is_refused_with_its_line(
    tmp_path: Path, right: str, wrong: str, at: str, reason: str
) -> None:
    assert right in RIGHT
    text = RIGHT.replace(right, wrong, 1)
    refused = refusal_of(tmp_path, text)
    assert reason in refused.reason
    assert refused.line is not None
    assert at in text.splitlines()[refused.line - 1]
    assert f"wrong.toml, line {refused.line}: {refused.reason}" == str(refused)


def test_infusion_needs_a_target(tmp_path: Path) -> None:
    text = RIGHT.replace('activities = ["consent",', 'activities = ["infusion", "consent",')
    text = text.replace("has_infusion = false", "has_infusion = true", 1)
    refused = refusal_of(tmp_path, text)
    assert refused.line == line_with(text, "range_days")
    assert "an infusion needs a target" in refused.reason


def test_missing_member_is_told_by_the_table_that_lacks_it(tmp_path: Path) -> None:
    text = RIGHT.replace('title = "Visit D21"\n', "")
    refused = refusal_of(tmp_path, text)
    assert refused.line == line_with(text, "[[visits]]", 3)
    assert refused.reason == "visits.2.title: Field required"


def test_second_of_two_equal_codes_is_named(tmp_path: Path) -> None:
    text = RIGHT.replace('code = "TYO"', 'code = "BER"')
    refused = refusal_of(tmp_path, text)
    assert refused.line == line_with(text, "[[sites]]", 2)


@pytest.mark.parametrize(
    ("wrong", "line"), [("places = = 1", 2), ("\n\nplaces = 1\nplaces = 2", 5), ("x = [1,", 2)]
)
def test_broken_syntax_is_told_with_its_line(tmp_path: Path, wrong: str, line: int) -> None:
    assert refusal_of(tmp_path, f"# first\n{wrong}").line == line


def test_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(b'title = "\xff"')
    with pytest.raises(WrongStudyFile) as refused:
        load_study(path)
    assert (refused.value.line, refused.value.path) == (None, path)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongStudyFile):
        load_study(tmp_path / "none.toml")
    with pytest.raises(WrongStudyFile, match="no such folder"):
        load_studies(tmp_path / "none")


def test_number_of_a_built_in_study_is_not_taken_again(tmp_path: Path) -> None:
    built_in = (BUILT_IN / "NCT03745417.toml").read_text("utf-8")
    (tmp_path / "again.toml").write_text(built_in, encoding="utf-8")
    with pytest.raises(WrongStudyFile, match="NCT03745417 is defined twice"):
        load_studies(tmp_path)


def test_study_without_infusions_is_a_study(tmp_path: Path) -> None:
    text = RIGHT.replace("has_infusion = true", "has_infusion = false")
    path = tmp_path / "none_given.toml"
    path.write_text(text.replace('"infusion", ', ""), encoding="utf-8")
    assert load_study(path).infusion_visits == ()


TOML = """
top = 1
"quoted.name" = 2
[table.inner]
dotted.name = 3
[[array]]
[[array.of]]
key = 4
[[array.of]]
key = 5  # comment
[array.last]
[[array]]
[[array.of]]
key = [
  6,
]
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("top",), 2),
        (("quoted.name",), 3),
        (("table", "inner"), 4),
        (("table", "inner", "dotted", "name"), 5),
        (("array", 0, "of", 0, "key"), 8),
        (("array", 0, "of", 1, "key"), 10),
        (("array", 0, "last", "lacking"), 11),
        (("array", 1, "of", 0, "key", 0), 14),
        (("array", 1, "lacking"), 12),
        (("array",), 6),
        (("lacking",), 1),
    ],
)
def test_place_in_a_file_has_a_line(place: tuple[str | int, ...], line: int) -> None:
    assert line_of(TOML, place) == line
