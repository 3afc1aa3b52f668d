"""Participants are numbered exactly, whatever their ids are."""

from uuid import UUID

import numpy as np

from services.scoring.scans.copying import SHORT_FIELD, UUID_FIELD, Rows
from services.scoring.scans.scanning import Owners

ROW = np.dtype([("participant", UUID_FIELD), ("site", SHORT_FIELD)])


def rows(*ids: UUID, site: int = 0) -> Rows:
    halves = [((one.int >> 64, one.int & (2**64 - 1)), site) for one in ids]
    return np.array(halves, ROW)


def test_rows_find_their_participant_or_nobody() -> None:
    known, stranger = [UUID(int=number << 64 | 7) for number in (5, 3, 9)], UUID(int=4 << 64 | 7)
    owners = Owners()
    owners.take(rows(*known[:2]))
    owners.take(rows(known[2], site=1))
    owners.settle()
    assert set(owners.ids) == set(known)
    numbers, kept = owners.numbers(rows(known[2], stranger, known[0], known[0]))
    assert kept.tolist() == [0, 2, 3]
    assert [owners.ids[number] for number in numbers] == [known[2], known[0], known[0]]
    assert owners.site[numbers].tolist() == [1, 0, 0]


def test_ids_that_share_a_key_are_parted() -> None:
    first = UUID(int=(5 << 64) | 7)
    # One more in the upper half, and the first multiplier less in the lower.
    twin = UUID(int=(6 << 64) | (7 - 0x9E3779B97F4A7C15) % 2**64)
    owners = Owners()
    owners.take(rows(first, twin, first))
    owners.settle()
    assert set(owners.ids) == {first, twin}
    numbers, _ = owners.numbers(rows(twin, first))
    assert [owners.ids[number] for number in numbers] == [twin, first]


def test_of_nobody_no_row_is_anybodys() -> None:
    owners = Owners()
    owners.take(rows())
    owners.settle()
    numbers, kept = owners.numbers(rows(UUID(int=1)))
    assert (owners.ids, numbers.tolist(), kept.tolist()) == ([], [], [])
