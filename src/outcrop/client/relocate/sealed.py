"""Looks for a prefix in compressed data: it is not changed there, but whoever relocates a tree learns of it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

import zstandard

from outcrop.client.relocate.formats import Format
from outcrop.client.relocate.places import Data

MAXIMUM_INFLATED_BYTES = 256 * 1024 * 1024
"""So much of a compressed file is looked at: a second or two. Longer ones are reported as searched in part."""

_CHUNK_BYTES = 1024 * 1024
_BROKEN = (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError, zstandard.ZstdError)


@dataclass(frozen=True, slots=True)
class Inside:
    """How often a prefix is in compressed data; `complete` is False where not all of it could be read."""

    count: int
    complete: bool = True
    names: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ZipLayout:
    """`first`: where the archive itself begins; what stands before it (a shebang line) belongs to nobody."""

    first: int
    inside: Inside


class _Inflating(Protocol):
    """What the decompressors of the standard library and of zstandard have in common."""

    def read(self, size: int, /) -> bytes: ...


def search_compressed(data: Data, kind: Format, needle: bytes, limit: int = MAXIMUM_INFLATED_BYTES) -> Inside:
    """How often `needle` is in what the compressed file `data` holds, up to `limit` inflated bytes."""
    count = read = 0
    tail = b""
    try:
        inflating = _inflating(io.BufferedReader(_Stream(data)), kind)
        while chunk := inflating.read(_CHUNK_BYTES):
            read += len(chunk)
            window = tail + chunk
            count += window.count(needle)
            # Shorter than the needle, so that nothing is counted twice.
            tail = window[-(len(needle) - 1) :]
            if read >= limit:
                return Inside(count, complete=False)
    except _BROKEN:
        return Inside(count, complete=False)
    return Inside(count)


def _inflating(stream: IO[bytes] | io.BufferedReader, kind: Format) -> _Inflating:
    match kind:
        case Format.GZIP:
            return gzip.GzipFile(fileobj=stream)
        case Format.BZIP2:
            return bz2.BZ2File(stream)
        case Format.XZ:
            return lzma.LZMAFile(stream)
        case _:
            return zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)


class _Stream(io.RawIOBase):
    """`data` as a file, without a copy of it."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self._data = data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        chunk = self._data[self._position : self._position + len(view)]
        view[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)


def read_zip(data: Data, needle: bytes, limit: int = MAXIMUM_INFLATED_BYTES) -> ZipLayout | None:
    """Which members of the zip archive `data` hold `needle`; None if it is no archive after all."""
    try:
        with zipfile.ZipFile(io.BufferedReader(_Stream(data))) as archive:
            members = archive.infolist()
            first = min((member.header_offset for member in members), default=0)
            found = [(name, count) for name, count in _members_with(archive, members, needle, limit) if count]
            complete = sum(member.file_size for member in members) <= limit
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, *_BROKEN):
        return None
    names = tuple(name for name, _ in found)
    return ZipLayout(first, Inside(sum(count for _, count in found), complete, names))


def _members_with(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], needle: bytes, limit: int
) -> Iterator[tuple[bytes, int]]:
    """What members hold how many needles, until `limit` bytes have been inflated."""
    left = limit
    for member in members:
        left -= member.file_size
        if left < 0:
            return
        yield member.filename.encode("utf-8", "surrogateescape"), archive.read(member).count(needle)
