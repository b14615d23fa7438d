"""Chunking against a second implementation, byte by byte, and against what the reference publisher cut."""

from __future__ import annotations

import hashlib
import io
import itertools
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outcrop.cvmfs.chunking import ChunkLimits, find_cut, split
from outcrop.cvmfs.compression import Compression, inflate_exactly
from outcrop.cvmfs.objects import ObjectKind
from outcrop.cvmfs.paths import join
from outcrop.errors import InvalidValue
from tests.cvmfs.samples import expected, sample, server_setting
from tests.cvmfs.strategies import chunk_limits


def slow_offsets(data: bytes, limits: ChunkLimits) -> list[int]:
    """Where chunks begin, from the description of the algorithm: one byte after the other."""
    offsets = [0]
    if len(data) <= limits.minimum:
        return offsets
    threshold = 0xFFFFFFFF // limits.average
    start, state = 0, 0
    position = start + limits.minimum - 32
    while position < len(data):
        state = (state << 1 & 0xFFFFFFFF) ^ data[position]
        difference = (state - 0x7FFFFFFF) & 0xFFFFFFFF
        signed = difference - 2**32 if difference >= 2**31 else difference
        distance = signed if signed == -(2**31) else abs(signed)  # the absolute value wraps around
        is_mark = position >= start + limits.minimum and distance < threshold
        if is_mark or position == start + limits.maximum:
            offsets.append(position)
            start, state = position, 0
            position = start + limits.minimum - 32
        else:
            position += 1
    return offsets


def fast_offsets(data: bytes, limits: ChunkLimits) -> list[int]:
    pieces = list(split(io.BytesIO(data), limits))
    assert b"".join(pieces) == data
    return list(itertools.accumulate((len(piece) for piece in pieces[:-1]), initial=0))


@st.composite
def limits_and_contents(draw: st.DrawFn) -> tuple[ChunkLimits, bytes]:
    limits = draw(chunk_limits())
    edges = [limits.minimum, limits.average, limits.maximum, 2 * limits.minimum, 2 * limits.maximum]
    length = draw(st.one_of(st.sampled_from(edges), st.integers(0, 3 * limits.maximum))) + draw(st.integers(-2, 2))
    filling = draw(st.sampled_from(["random", "zeros", "ones", "text"]))
    source = random.Random(draw(st.integers(0, 2**32)))
    if filling == "random":
        return limits, source.randbytes(max(0, length))
    if filling == "text":
        return limits, bytes(source.choices(b"abc \n", k=max(0, length)))
    return limits, (b"\0" if filling == "zeros" else b"\xff") * max(0, length)


@pytest.mark.property
@given(limits_and_contents())
@example((ChunkLimits(32, 32, 32), bytes(100)))
@example((ChunkLimits(32, 32, 4096), b"\xff" * 9000))
def test_cuts_fall_where_the_description_says(drawn: tuple[ChunkLimits, bytes]) -> None:
    limits, data = drawn
    assert fast_offsets(data, limits) == slow_offsets(data, limits)


@pytest.mark.parametrize("seed", range(3))
def test_cuts_beyond_one_block_of_places(seed: int) -> None:
    limits = ChunkLimits(64 * 1024, 500_000, 600_001)
    data = random.Random(seed).randbytes(900_000)
    assert fast_offsets(data, limits) == slow_offsets(data, limits)


@pytest.mark.parametrize("length", [0, 1, 99, 100])
def test_a_file_of_at_most_the_minimum_is_never_cut(length: int) -> None:
    assert fast_offsets(bytes(length), ChunkLimits(100, 150, 200)) == [0]
    assert find_cut(bytes(length), ChunkLimits(100, 150, 200)) is None


@pytest.mark.parametrize(
    ("length", "offsets"), [(199, [0]), (200, [0]), (201, [0, 200]), (400, [0, 200]), (401, [0, 200, 400])]
)
def test_a_cut_at_the_end_of_the_file_is_none(length: int, offsets: list[int]) -> None:
    """Zeros are never a mark, so only the maximum cuts."""
    assert fast_offsets(bytes(length), ChunkLimits(100, 150, 200)) == offsets


def test_a_state_of_all_ones_is_a_mark_too() -> None:
    limits = ChunkLimits(64, 100, 1000)
    ones = b"\0" * 40 + b"\1" + b"\0" * 59
    assert fast_offsets(ones, limits) == slow_offsets(ones, limits)


class Trickle(io.BytesIO):
    """A source that counts what it is asked for at once."""

    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        self.largest = max(self.largest, size)
        return super().read(size)


def test_memory_is_bounded() -> None:
    source = Trickle(bytes(100_000))
    assert all(len(piece) <= 200 for piece in split(source, ChunkLimits(100, 150, 200)))
    assert source.largest <= 201


@pytest.mark.parametrize("sizes", [(31, 64, 64), (64, 63, 128), (64, 128, 127), (0, 0, 0), (-1, 5, 9)])
def test_limits_must_be_in_order(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidValue) as caught:
        ChunkLimits(*sizes)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["test.example.org", "rmd.example.org"])
def test_the_samples_files_are_cut_at_the_same_places(name: str) -> None:
    limits = ChunkLimits(*(int(server_setting(name, f"CVMFS_{which}_CHUNK_SIZE")) for which in ("MIN", "AVG", "MAX")))
    repository = sample(name)
    files = [one for one in expected(name)["entries"] if one["type"] == "file" and isinstance(one["path"], str)]
    checksums = {one["path"]: one["sha256"] for one in files}
    compared = 0
    for catalog in repository.catalogs():
        pending = [catalog.properties.root_prefix]
        while pending:
            directory = pending.pop()
            for entry in catalog.children(directory):
                path = join(directory, entry.name)
                if entry.is_directory:
                    pending.append(path)
                if not entry.is_chunked or entry.is_external:
                    continue
                chunks = catalog.chunks(path, entry)
                stored = [(repository.stored(chunk.digest, ObjectKind.CHUNK), chunk.size) for chunk in chunks]
                plain = b"".join(
                    inflate_exactly(data, size, what="a chunk") if entry.compression is Compression.ZLIB else data
                    for data, size in stored
                )
                assert hashlib.sha256(plain).hexdigest() == checksums[path.decode()]
                assert fast_offsets(plain, limits) == [chunk.offset for chunk in chunks]
                compared += 1
    assert compared
