"""An archive's bytes come out of any packing, out of pipes too, and what does not belong to it is damage."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import threading
import tracemalloc

import pytest
import zstandard

from outcrop.stratum0.publishing.packed_archive import DAMAGE, PlainBytes
from tests.stratum0.archives import COMPRESSIONS

DATA = random.Random(1).randbytes(5000) + bytes(5000)
PACKED = {ending: pack(DATA) for ending, pack in COMPRESSIONS.items() if ending != "tar"}
ENDINGS = list(PACKED)
DAMAGES = (*DAMAGE, OSError)
SKIPPABLE_FRAME = b"\x5f\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note"


class Trickle(io.RawIOBase):
    """A pipe that gives a byte at a time, and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, 1))


def plain(packed: bytes, size: int = 1000) -> bytes:
    """All that `packed` holds, read `size` bytes at a time."""
    reader = PlainBytes(io.BytesIO(packed))
    return b"".join(iter(lambda: reader.read(size), b""))


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_was_packed_comes_out(ending: str) -> None:
    assert plain(PACKED[ending]) == DATA


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=len)
def test_what_was_not_packed_comes_out_as_it_is(data: bytes) -> None:
    assert plain(data) == data


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_pipe_that_gives_a_byte_at_a_time_is_read(ending: str) -> None:
    reader = PlainBytes(Trickle(PACKED[ending] + bytes(3) + PACKED[ending]))  # type: ignore[arg-type]
    assert b"".join(iter(lambda: reader.read(10_000), b"")) == DATA + DATA


@pytest.mark.parametrize("padding", [0, 4, 5000])
@pytest.mark.parametrize("ending", ENDINGS)
def test_streams_that_follow_each_other_are_read_on(ending: str, padding: int) -> None:
    """Padding of 5,000 NULs is longer than what is read at once."""
    assert plain(PACKED[ending] + bytes(padding) + PACKED[ending] + bytes(padding)) == DATA + DATA


@pytest.mark.parametrize("rubbish", [b"x", b"rubbish", bytes(4) + b"rubbish", bytes(5000) + b"x"], ids=len)
@pytest.mark.parametrize("ending", ENDINGS)
def test_rubbish_after_a_stream_is_damage(ending: str, rubbish: bytes) -> None:
    with pytest.raises(ValueError, match="neither more of it nor padding"):
        plain(PACKED[ending] + rubbish)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_stream_in_another_packing_is_damage(ending: str) -> None:
    other = ENDINGS[ENDINGS.index(ending) - 1]
    with pytest.raises(ValueError, match="neither more of it nor padding"):
        plain(PACKED[ending] + PACKED[other])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_second_stream_without_an_end_is_damage(ending: str) -> None:
    for lost in (1, 9, len(PACKED[ending]) - 7):
        with pytest.raises(DAMAGES):
            plain(PACKED[ending] + PACKED[ending][:-lost])


def test_skippable_frames_stand_anywhere_among_frames() -> None:
    frame = PACKED["tar.zst"]
    assert plain(SKIPPABLE_FRAME + frame + SKIPPABLE_FRAME + frame + SKIPPABLE_FRAME) == DATA + DATA


def test_every_skippable_frame_is_known() -> None:
    for number in range(16):
        assert plain(bytes([0x50 + number]) + SKIPPABLE_FRAME[1:] + PACKED["tar.zst"]) == DATA


def test_the_largest_window_is_taken() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=31, strategy=zstandard.STRATEGY_FAST, hash_log=6)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(DATA) + packer.flush()
    assert zstandard.get_frame_parameters(packed).window_size == 2**31
    assert plain(packed) == DATA


def test_packed_zeros_come_out_piece_by_piece() -> None:
    """bzip2 packs 45 MB of zeros into 40 bytes: what goes in at once must not come out at once."""
    packed = COMPRESSIONS["tar.bz2"](bytes(2**24)) * 2
    tracemalloc.start()
    try:
        reader = PlainBytes(io.BytesIO(packed))
        assert sum(map(len, iter(lambda: reader.read(2**20), b""))) == 2**25
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.integration
@pytest.mark.parametrize(
    "command", [["pzstd", "-c"], ["zstd", "-c", "--long=31"], ["xz", "-c", "-T2"]], ids=lambda command: command[0]
)
def test_what_real_programs_write_into_a_pipe_is_read(command: list[str]) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"needs {command[0]}")
    read_end, write_end = os.pipe()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write_end, stderr=subprocess.DEVNULL) as program:
        os.close(write_end)
        assert program.stdin is not None
        feeding = threading.Thread(target=lambda: program.communicate(DATA))
        feeding.start()
        with open(read_end, "rb") as pipe:
            reader = PlainBytes(pipe)
            assert b"".join(iter(lambda: reader.read(4096), b"")) == DATA
        feeding.join()
