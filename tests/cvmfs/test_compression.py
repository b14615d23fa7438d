"""Stored contents: streams of any encoder in, and no more bytes out than allowed."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import deflate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.compression import MAXIMUM_EXPANSION, inflate, inflate_exactly
from tests.cvmfs.refusal import refused

ENCODERS: list[Callable[[bytes], bytes]] = [
    lambda data: zlib.compress(data, 0),
    lambda data: zlib.compress(data, 9),
    lambda data: bytes(deflate.zlib_compress(data)),
]
contents = st.one_of(st.binary(), st.binary(min_size=1, max_size=4).map(lambda piece: piece * 1000))


@pytest.mark.property
@given(contents, st.sampled_from(ENCODERS))
def test_what_went_in_comes_out(data: bytes, encode: Callable[[bytes], bytes]) -> None:
    stored = encode(data)
    assert inflate(stored, what="an object") == data
    assert inflate(stored, what="an object", limit=len(data)) == data
    assert inflate_exactly(stored, len(data), what="an object") == data


@pytest.mark.property
@given(contents, st.integers(-1000, 1000).filter(bool))
def test_another_size_is_refused(data: bytes, difference: int) -> None:
    size = max(0, len(data) + difference)
    if size != len(data):
        with refused("zlib stream"):
            inflate_exactly(zlib.compress(data), size, what="an object")


@pytest.mark.property
@given(contents.filter(bool))
def test_one_byte_over_the_limit_is_refused(data: bytes) -> None:
    with refused("zlib stream"):
        inflate(zlib.compress(data), what="an object", limit=len(data) - 1)


@pytest.mark.property
@given(contents, st.data())
def test_a_stream_that_is_cut_off_is_refused(data: bytes, choice: st.DataObject) -> None:
    stored = zlib.compress(data)
    cut = stored[: choice.draw(st.integers(0, len(stored) - 1))]
    with refused("zlib stream"):
        inflate(cut, what="an object")
    with refused("zlib stream"):
        inflate_exactly(cut, len(data), what="an object")


@pytest.mark.parametrize("data", [b"", b"rubbish", zlib.compress(b"x" * 99)[:-1] + b"\0", b"\x1f\x8b" + b"\0" * 20])
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with refused("an object"):
        inflate(data, what="an object")
    with refused("an object"):
        inflate_exactly(data, 99, what="an object")


def test_a_bomb_takes_no_more_memory_than_its_limit() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    with refused("zlib stream"):
        inflate(bomb, what="an object", limit=1000)
    with refused("zlib stream"):
        inflate_exactly(bomb, 1000, what="an object")


def test_a_stated_size_that_no_stream_can_have_asks_for_no_memory() -> None:
    stored = zlib.compress(b"x")
    for size in (MAXIMUM_EXPANSION * len(stored) + 1, 2**40, 2**63 - 1):
        with refused("zlib stream"):
            inflate_exactly(stored, size, what="an object")


def test_the_best_that_deflate_can_do_is_within_the_expansion() -> None:
    data = bytes(10_000_000)
    assert inflate_exactly(zlib.compress(data, 9), len(data), what="an object") == data
