import pytest

from tests.scoring.scoring_calls import (
    OTHER_SITE,
    Scoring,
    faults,
    identity,
    kind,
    pasi,
    source,
    valid,
    wrote,
)

WHY = "transcribed wrongly"


@pytest.fixture
async def path(scoring: Scoring) -> str:
    return await scoring.consented()


async def recorded(scoring: Scoring, path: str) -> str:
    """Return the path of a PASI of 6 points."""
    made = await scoring.assessed(path, pasi() | source())
    return f"{path}/assessments/{made['id']}"


async def test_a_correction_adds_a_version_and_keeps_the_first(scoring: Scoring, path: str) -> None:
    one = await recorded(scoring, path)
    corrected = await scoring.put(one, pasi(1, 3, change_reason=WHY), If_Match='"1"')
    assert wrote(corrected) == (200, "updated")
    assert corrected.headers["ETag"] == '"2"'
    assert corrected.json()["derived"]["pasi_tenths"] == 30
    first, second = (await scoring.get(f"{one}/versions")).json()["items"]
    assert (first["version"], first["derived"]["pasi_tenths"]) == (1, 60)
    assert (second["version"], second["derived"]["pasi_tenths"]) == (2, 30)
    assert second["source_ref"] == first["source_ref"]


async def test_as_of_gives_the_record_as_it_stood(scoring: Scoring, path: str) -> None:
    one = await recorded(scoring, path)
    at = (await scoring.get(one)).json()["recorded_at"]
    await scoring.put(one, pasi(1, 3, change_reason=WHY), If_Match='"1"')
    assert (await scoring.get(f"{one}?as_of={at}")).json()["version"] == 1
    assert (await scoring.get(one)).json()["version"] == 2
    early = await scoring.get(f"{one}?as_of=2021-01-01T00:00:00Z")
    assert kind(early) == (404, "not-found")
    future = await scoring.get(f"{one}?as_of=2100-01-01T00:00:00Z")
    assert faults(future) == {("as_of", "in_the_future")}
    assert (await scoring.get(f"{one}?as_of=2021-01-01")).status_code == 422


async def test_the_same_content_again_is_unchanged(scoring: Scoring, path: str) -> None:
    one = await recorded(scoring, path)
    same = await scoring.put(one, pasi(change_reason=WHY), If_Match='"1"')
    assert wrote(same) == (200, "unchanged")
    assert len((await scoring.get(f"{one}/versions")).json()["items"]) == 1


@pytest.mark.parametrize("reason", [None, "", "  "])
async def test_a_correction_says_why(scoring: Scoring, path: str, reason: str | None) -> None:
    one = await recorded(scoring, path)
    refused = await scoring.put(one, pasi(1, 3, change_reason=reason), If_Match='"1"')
    assert refused.status_code == 422
    assert {pointer for pointer, _ in faults(refused)} == {"/change_reason"}
    assert (await scoring.get(one)).json()["version"] == 1


async def test_a_correction_names_the_version_it_changes(scoring: Scoring, path: str) -> None:
    one = await recorded(scoring, path)
    body = pasi(1, 3, change_reason=WHY)
    assert kind(await scoring.put(one, body)) == (428, "version-required")
    assert kind(await scoring.put(one, body, If_Match="*")) == (428, "version-required")
    for tag in ('"0"', '"2"', '""', '"1", "2"', 'W/"1"'):
        assert kind(await scoring.put(one, body, If_Match=tag)) == (412, "stale")


async def test_a_correction_is_checked_like_the_first_entry(scoring: Scoring, path: str) -> None:
    one = await recorded(scoring, path)
    impossible = pasi(5, 3, change_reason=WHY)
    future = pasi(assessed_at="2100-01-01T00:00:00Z", change_reason=WHY)
    early = pasi(assessed_at="2021-08-01T00:00:00Z", change_reason=WHY)
    assert len(faults(await scoring.put(one, impossible, If_Match='"1"'))) == 4
    assert faults(await scoring.put(one, future, If_Match='"1"')) == {
        ("/assessed_at", "in_the_future")
    }
    assert kind(await scoring.put(one, early, If_Match='"1"')) == (409, "no-consent-in-force")


async def test_a_correction_may_change_the_instrument(scoring: Scoring, path: str) -> None:
    one = await recorded(scoring, path)
    body = valid("bsa", change_reason=WHY)
    assert wrote(await scoring.put(one, body, If_Match='"1"')) == (200, "updated")
    assert (await scoring.get(one)).json()["rule"] == "bsa/1"


async def test_a_retracted_record_stays_readable_and_takes_no_corrections(
    scoring: Scoring, path: str
) -> None:
    one = await recorded(scoring, path)
    retracted = await scoring.post(f"{one}/retraction", {"reason": WHY}, If_Match='"1"')
    assert wrote(retracted) == (200, "updated")
    assert (retracted.json()["record_status"], retracted.json()["version"]) == ("retracted", 2)
    again = await scoring.post(f"{one}/retraction", {"reason": WHY}, If_Match='"2"')
    assert wrote(again) == (200, "unchanged")
    refused = await scoring.put(one, pasi(1, 3, change_reason=WHY), If_Match='"2"')
    assert kind(refused) == (409, "record-retracted")
    assert (await scoring.get(one)).json()["answers"] == pasi()["answers"]


async def test_a_retraction_names_version_and_reason(scoring: Scoring, path: str) -> None:
    one = await recorded(scoring, path)
    why = {"reason": WHY}
    assert kind(await scoring.post(f"{one}/retraction", why)) == (428, "version-required")
    assert kind(await scoring.post(f"{one}/retraction", why, If_Match='"7"')) == (412, "stale")
    blank = await scoring.post(f"{one}/retraction", {"reason": " "}, If_Match='"1"')
    assert faults(blank) == {("/reason", "blank")}


async def test_a_record_is_found_below_its_own_participant_only(
    scoring: Scoring, path: str
) -> None:
    one = await recorded(scoring, path)
    other = f"{await scoring.consented()}/assessments/{one.rpartition('/')[2]}"
    body = pasi(1, 3, change_reason=WHY)
    assert kind(await scoring.get(other)) == (404, "not-found")
    assert kind(await scoring.get(f"{other}/versions")) == (404, "not-found")
    assert kind(await scoring.put(other, body, If_Match='"1"')) == (404, "not-found")
    why = {"reason": WHY}
    assert kind(await scoring.post(f"{other}/retraction", why, If_Match='"1"')) == (
        404,
        "not-found",
    )
    assert kind(await scoring.get(f"{path}/assessments/no-id")) == (404, "not-found")


async def test_another_sites_record_can_be_neither_read_nor_changed(
    scoring: Scoring, path: str
) -> None:
    one = await recorded(scoring, path)
    body = pasi(1, 3, change_reason=WHY)
    elsewhere = [OTHER_SITE]
    for answer in (
        await scoring.get(one, sites=elsewhere),
        await scoring.get(f"{path}/assessments", sites=elsewhere),
        await scoring.get(f"{one}/versions", sites=elsewhere),
        await scoring.get(f"{path}/outcomes", sites=elsewhere),
        await scoring.put(one, body, If_Match='"1"', sites=elsewhere),
        await scoring.post(f"{one}/retraction", {"reason": WHY}, If_Match='"1"', sites=elsewhere),
    ):
        assert kind(answer) == (404, "not-found")


@pytest.mark.parametrize("role", ["statistician", "auditor", "safety_officer", "admin"])
async def test_only_writers_correct_and_retract(scoring: Scoring, path: str, role: str) -> None:
    one = await recorded(scoring, path)
    body = pasi(1, 3, change_reason=WHY)
    put = await scoring.put(one, body, If_Match='"1"', role=role)
    retract = await scoring.post(f"{one}/retraction", {"reason": WHY}, If_Match='"1"', role=role)
    assert kind(put) == kind(retract) == (403, "not-permitted")


async def test_a_list_pages_without_skipping_or_repeating(scoring: Scoring, path: str) -> None:
    made = [(await scoring.assessed(path, pasi(1, n)))["id"] for n in range(5)]
    seen, following = [], f"{path}/assessments?limit=2"
    while following:
        answer = await scoring.get(following)
        seen += [one["id"] for one in answer.json()["items"]]
        cursor = answer.json()["next"]
        following = f"{path}/assessments?limit=2&after={cursor}" if cursor else ""
    assert seen == made
    assert (await scoring.get(f"{path}/assessments?limit=501")).status_code == 422
    assert faults(await scoring.get(f"{path}/assessments?after=x")) == {("after", "cursor")}


async def test_a_statistician_reads_scores_without_direct_identifiers(scoring: Scoring) -> None:
    path = await scoring.consented(external_id="EDC-99", birth_date="1985-04-12")
    one = await recorded(scoring, path)
    for read in (
        await scoring.get(f"{path}/assessments", role="statistician"),
        await scoring.get(one, role="statistician"),
        await scoring.get(f"{path}/outcomes", role="statistician"),
    ):
        assert read.status_code == 200
        assert "EDC-99" not in read.text
        assert "birth" not in read.text
        assert read.headers["Cache-Control"] == "no-store"
    assert str(identity(path)) in (await scoring.get(one, role="statistician")).text


@pytest.mark.parametrize("role", ["participant", "service", "admin", "safety_officer"])
async def test_others_read_no_assessments(scoring: Scoring, path: str, role: str) -> None:
    assert kind(await scoring.get(f"{path}/assessments", role=role)) == (403, "not-permitted")
