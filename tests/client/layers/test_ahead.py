"""What comes along with a missing file."""

from __future__ import annotations

from outcrop.client.layers.ahead import FIRST_FILES, LARGEST_BYTES, MOST_BYTES, MOST_FILES, Ahead
from outcrop.client.layers.objects import PlainObject
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm


def objects(count: int, *, each: int = 10, size: int = 10) -> list[PlainObject]:
    """`count` objects of `size` bytes, `each` in a directory."""
    return [
        PlainObject(number.to_bytes(20, "big"), Algorithm.SHA1, Compression.ZLIB, size, number // each)
        for number in range(count)
    ]


def numbers(found: object) -> list[int]:
    assert isinstance(found, list | tuple)
    return [int.from_bytes(one.raw, "big") for one in found]


def test_a_first_miss_brings_what_is_behind_it_in_its_directory() -> None:
    assert numbers(Ahead(objects(100)).behind(13)) == list(range(14, 20))
    assert numbers(Ahead(objects(100, each=100)).behind(0)) == list(range(1, FIRST_FILES))


def test_a_second_miss_elsewhere_in_a_directory_brings_all_of_it_once() -> None:
    ahead = Ahead(objects(300, each=100))
    ahead.behind(150)
    assert numbers(ahead.behind(110)) == [number for number in range(100, 200) if number != 110]
    assert numbers(ahead.behind(120)) == []


def test_a_walk_brings_more_and_more_across_directories() -> None:
    ahead = Ahead(objects(20_000))
    position, seen, windows = 0, {0}, []
    while position < 15_000:
        found = numbers(ahead.behind(position))
        assert not seen & set(found)
        seen |= set(found)
        windows.append(len(found))
        position = max(seen) + 1
        seen.add(position)
    assert max(windows) == MOST_FILES
    assert windows == sorted(windows)
    assert seen >= set(range(15_000))


def test_a_walk_that_catches_up_asks_for_no_file_twice() -> None:
    ahead = Ahead(objects(1000, each=1000))
    first = numbers(ahead.behind(0))
    second = numbers(ahead.behind(20))
    assert not set(first) & set(second)
    assert numbers(ahead.behind(21)) == []


def test_two_walks_do_not_disturb_each_other() -> None:
    ahead = Ahead(objects(1000, each=500))
    ahead.behind(0)
    ahead.behind(500)
    assert numbers(ahead.behind(FIRST_FILES))[0] == FIRST_FILES + 1
    assert numbers(ahead.behind(500 + FIRST_FILES))[0] == 500 + FIRST_FILES + 1


def test_large_files_are_left_out_and_bytes_are_limited() -> None:
    large = objects(5, each=5, size=LARGEST_BYTES + 1)
    assert numbers(Ahead(large).behind(0)) == []
    some = objects(30, each=30, size=LARGEST_BYTES)
    assert len(numbers(Ahead(some).behind(0))) == MOST_BYTES // LARGEST_BYTES


def test_the_last_file_has_nothing_behind_it() -> None:
    assert numbers(Ahead(objects(3)).behind(2)) == []
