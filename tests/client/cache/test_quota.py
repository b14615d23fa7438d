"""What goes first, as rules on numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.cache.quota import NOTHING, Cut, PinnedObject, Quota, Ranks, honoured
from outcrop.client.content import BLOCK_BYTES, disk_bytes

SECOND = 10**9
NOW = 1_800_000_000 * SECOND


def chosen(objects: list[tuple[int, int]], excess: int) -> list[int]:
    """The numbers of the objects (used at, size) that go, in the order in which a sweep meets them."""
    ranks = Ranks(NOW)
    for used, size in objects:
        ranks.add(used, size)
    cut = ranks.cut(excess)
    left, gone = cut.bytes_at_rank, []
    for number, (used, size) in enumerate(objects):
        rank = ranks.rank(used)
        if rank < cut.rank or (rank == cut.rank and left > 0):
            left -= size if rank == cut.rank else 0
            gone.append(number)
    return gone


@pytest.mark.parametrize(("size", "counts"), [(0, 4096), (1, 4096), (4096, 4096), (4097, 8192)])
def test_file_counts_as_its_blocks(size: int, counts: int) -> None:
    assert disk_bytes(size) == counts


def test_nothing_goes_where_nothing_must() -> None:
    ranks = Ranks(NOW)
    ranks.add(NOW, 4096)
    assert ranks.cut(0) == ranks.cut(-5) == NOTHING


def test_everything_goes_where_that_is_not_enough() -> None:
    assert chosen([(NOW, 4096), (NOW - 1, 4096)], 10**9) == [0, 1]
    assert Ranks(NOW).cut(100) == Cut(-1, 0)


def test_a_time_in_the_future_goes_first() -> None:
    assert chosen([(NOW - SECOND, 4096), (NOW + 3600 * SECOND, 4096)], 1) == [1]


def test_a_clock_that_is_a_little_fast_is_no_future() -> None:
    assert chosen([(NOW - SECOND, 4096), (NOW + 20 * SECOND, 4096)], 1) == [0]


@pytest.mark.property
@given(
    st.lists(
        st.tuples(st.integers(NOW - 10**6 * SECOND, NOW), st.integers(1, 50).map(lambda blocks: blocks * BLOCK_BYTES)),
        max_size=60,
    ),
    st.integers(0, 10**7),
)
def test_the_least_recently_used_go_and_no_more_than_must(objects: list[tuple[int, int]], excess: int) -> None:
    gone = chosen(objects, excess)
    kept = [number for number in range(len(objects)) if number not in gone]
    freed = sum(objects[number][1] for number in gone)
    assert freed >= min(excess, sum(size for _, size in objects))
    milliseconds = [used // 10**6 for used, _ in objects]
    if gone and kept:
        assert max(milliseconds[number] for number in gone) <= min(milliseconds[number] for number in kept)
    if gone:
        # Without the last one of the youngest, it would not have been enough.
        youngest = max(milliseconds[number] for number in gone)
        last = [number for number in gone if milliseconds[number] == youngest][-1]
        assert freed - objects[last][1] < excess


@pytest.mark.property
@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_later_use_never_ranks_lower_within_the_years_that_count(first: int, second: int) -> None:
    ranks = Ranks(NOW)
    early, late = sorted(min(used, NOW) for used in (first, second))
    assert 0 < ranks.rank(early) <= ranks.rank(late)


def test_pins_are_honoured_up_to_their_share_the_last_used_first() -> None:
    pinned = [PinnedObject(b"old", 400, 1), PinnedObject(b"new", 400, 3), PinnedObject(b"middle", 400, 2)]
    assert honoured(pinned, 1200) == {b"old", b"new", b"middle"}
    assert honoured(pinned, 1199) == {b"new", b"middle"}
    assert honoured(pinned, 399) == set()


@pytest.mark.property
@given(st.integers(1024 * 1024, 2**50), st.integers(1, 10_000))
def test_what_is_reserved_ahead_is_a_sixteenth_at_most(limit: int, members: int) -> None:
    quota = Quota(limit)
    assert quota.step(members) * members <= limit // 16
    assert quota.step(members) % BLOCK_BYTES == 0
    assert quota.largest + quota.largest <= limit
