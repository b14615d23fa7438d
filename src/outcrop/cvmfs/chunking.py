"""Where the reference publisher cuts large files into chunks.

A 32-bit state takes in byte after byte, `x = (x << 1) ^ byte`, and is warmed up by the 32 bytes before the first place
where a cut is allowed. A cut falls before the byte that brings x within `0xffffffff // average` of 0x7fffffff, at the
latest after `maximum` bytes. A byte has left the state after 32 steps, so x depends on the last 32 bytes alone and can
be computed for all places of a window at once, by doubling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from outcrop.errors import InvalidValue

MIB = 1024 * 1024
_STATE_BITS = 32
_MAGIC = 0x7FFFFFFF
_BLOCK_BYTES = 256 * 1024
"""How many places are computed at once: small enough for the processor's cache, and a cut near the front ends early."""


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Sizes of chunks in bytes; a file of at most `minimum` is never cut."""

    minimum: int = 4 * MIB
    average: int = 8 * MIB
    maximum: int = 16 * MIB

    def __post_init__(self) -> None:
        if not _STATE_BITS <= self.minimum <= self.average <= self.maximum:
            raise InvalidValue(
                what=f"chunk sizes of {self.minimum}, {self.average} and {self.maximum} bytes",
                problem="are not in order",
                hint="the smallest is at least 32 bytes, the average between it and the largest",
            )


class ByteSource(Protocol):
    """Something that bytes are read from; fewer than asked for come only at its end."""

    def read(self, size: int, /) -> bytes: ...


def find_cut(window: bytes | memoryview, limits: ChunkLimits) -> int | None:
    """Where the chunk that begins with `window` ends, or None if its end is not within the window.

    `window` holds the file from the chunk's beginning on, `limits.maximum` + 1 bytes of it or all there are.
    """
    import numpy

    threshold = numpy.int32(0xFFFFFFFF // limits.average)
    last = min(len(window), limits.maximum)
    if len(window) <= limits.minimum:
        return None
    data = numpy.frombuffer(window, dtype=numpy.uint8)
    for begin in range(limits.minimum, last, _BLOCK_BYTES):
        end = min(begin + _BLOCK_BYTES, last)
        state = data[begin - _STATE_BITS + 1 : end].astype(numpy.uint32)
        width = 1
        while width < _STATE_BITS:
            shifted = state[:-width] << numpy.uint32(width)
            state[width:] ^= shifted
            width *= 2
        distance = (state[_STATE_BITS - 1 :] - numpy.uint32(_MAGIC)).view(numpy.int32)
        hits = numpy.flatnonzero(numpy.abs(distance) < threshold)
        if hits.size:
            return begin + int(hits[0])
    return limits.maximum if len(window) > limits.maximum else None


def split(source: ByteSource, limits: ChunkLimits) -> Iterator[bytes]:
    """The chunks of everything that `source` gives; an empty source gives one empty chunk.

    At most twice `limits.maximum` bytes are in memory.
    """
    window = b""
    while True:
        missing = limits.maximum + 1 - len(window)
        more = source.read(missing)
        window += more
        if not more or len(more) < missing:
            break
        cut = find_cut(window, limits)
        assert cut is not None, "a window longer than the maximum always has a cut"
        yield window[:cut]
        window = window[cut:]
    while (cut := find_cut(window, limits)) is not None:
        yield window[:cut]
        window = window[cut:]
    yield window
