"""An archive's plain bytes, read once from front to back: nothing is sought, so a pipe serves as well as a file.

How it is packed is told by its first bytes. Several streams of one format may follow each other, as parallel
compressors write them, with NULs between and after them, as tapes and block devices leave them. Whatever else follows
a stream is damage, in every format alike.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol

import zstandard

from outcrop.storage.interface import PIECE_BYTES

MAXIMUM_ZSTD_WINDOW = 2**31
"""Bytes: the largest window that `zstd --long=31` writes. The library takes 128 MiB unless it is told otherwise."""
_PACKED_BYTES = 2048
"""How much goes into a decompressor at once: some KiB come out as a rule, 64 MiB where zstd packed zeros."""
_GZIP_HEADER = 16 + zlib.MAX_WBITS
"""Tells zlib to take gzip's header, and to prove checksum and length (zlib manual, `inflateInit2`)."""
_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE_FRAMES = tuple(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16))
"""Frames for others than readers (RFC 8878, 3.1.2): `pzstd` begins with one."""

DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, ValueError)
"""What reading raises where the bytes are not what was packed; bzip2's is an OSError without a number."""


class _Stream(Protocol):
    """One compressed stream on its way out of its packing."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _GreedyStream(Protocol):
    """A stream that can only give all at once."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _AllAtOnce:
    """A greedy stream as any other: what comes of `_PACKED_BYTES` is little enough."""

    needs_input = True

    def __init__(self, stream: _GreedyStream) -> None:
        self._stream = stream

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, _max_length: int, /) -> bytes:
        return self._stream.decompress(data)


def _gzip_stream() -> _Stream:
    return _AllAtOnce(zlib.decompressobj(_GZIP_HEADER))


def _xz_stream() -> _Stream:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ)


def _zstd_stream() -> _Stream:
    return _AllAtOnce(zstandard.ZstdDecompressor(max_window_size=MAXIMUM_ZSTD_WINDOW).decompressobj())


@dataclass(frozen=True, slots=True)
class _Packing:
    """A way to pack: what its streams begin with, and what unpacks one."""

    name: str
    magics: tuple[bytes, ...]
    new_stream: Callable[[], _Stream]


_PACKINGS = (
    _Packing("gzip", (b"\x1f\x8b",), _gzip_stream),
    _Packing("bzip2", (b"BZh",), bz2.BZ2Decompressor),
    _Packing("xz", (b"\xfd7zXZ\x00",), _xz_stream),
    _Packing("zstd", (_ZSTD_FRAME, *_ZSTD_SKIPPABLE_FRAMES), _zstd_stream),
)
_LONGEST_MAGIC = max(len(magic) for packing in _PACKINGS for magic in packing.magics)


class PlainBytes:
    """What `file` holds, unpacked if it is packed by gzip, bzip2, xz or zstd.

    Reading raises one of `DAMAGE`, or an OSError, where the bytes are damaged or end too early."""

    def __init__(self, file: IO[bytes]) -> None:
        self._pieces = _plain_pieces(file)
        self._piece = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none only at the end."""
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._piece = memoryview(piece)
        part, self._piece = bytes(self._piece[:size]), self._piece[size:]
        return part


def _plain_pieces(file: IO[bytes]) -> Iterator[bytes]:
    start = _at_least(file, b"", _LONGEST_MAGIC)
    for packing in _PACKINGS:
        if start.startswith(packing.magics):
            yield from _unpacked(file, packing, start)
            return
    yield start
    while piece := file.read(PIECE_BYTES):
        yield piece


def _unpacked(file: IO[bytes], packing: _Packing, packed: bytes) -> Iterator[bytes]:
    while packed:
        if not packed.startswith(packing.magics):
            raise ValueError(f"what follows the {packing.name} data is neither more of it nor padding")
        stream = packing.new_stream()
        while not stream.eof:
            if stream.needs_input:
                packed = packed or file.read(_PACKED_BYTES)
                if not packed:
                    raise EOFError(f"the {packing.name} data has no end")
            yield stream.decompress(packed, PIECE_BYTES)
            packed = b""
        packed = _after_padding(file, stream.unused_data)


def _after_padding(file: IO[bytes], packed: bytes) -> bytes:
    """The beginning of what comes after NULs, as long as a magic is; empty at the end of the file."""
    packed = packed.lstrip(b"\0")
    while not packed:
        piece = file.read(_PACKED_BYTES)
        if not piece:
            return b""
        packed = piece.lstrip(b"\0")
    return _at_least(file, packed, _LONGEST_MAGIC)


def _at_least(file: IO[bytes], start: bytes, size: int) -> bytes:
    """`start` and what follows it, of `size` bytes or more unless the file ends; a pipe gives what it has by bits."""
    while len(start) < size and (piece := file.read(size - len(start))):
        start += piece
    return start
