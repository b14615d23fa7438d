"""Checksums of objects whose files cannot carry one: on file systems without attributes, and of files that belong to
somebody else.

The checksum of an object's plain bytes is the same wherever the object lies, so what stands here holds for the caches
below as well, and is never outdated. `.outcrop/checksums/xx` has those of the objects in `xx`: records of 60 bytes,
only ever appended to, by any number of processes. Each record has a CRC, since appending is not atomic on every network
file system: what two have mixed up is passed over, and proven anew.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress

from outcrop.client.cache.bookkeeping import bookkeeping, make_directory, open_shared
from outcrop.client.cache.checksum import CHECK_ATTRIBUTE
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest

BOOK_NAME = b"checksums"
_RECORD = struct.Struct("<20sB3x32sI")
_KEY_BYTES = 24
_CHECKED_BYTES = _RECORD.size - 4
_MOST_BYTES = 16_384 * _RECORD.size
"""A file that has grown beyond this (256 of them: four million objects) begins anew with its newer half."""

_ALGORITHMS = tuple(Algorithm)


class ChecksumBook:
    """The checksums that are kept in the cache `root`."""

    def __init__(self, root: bytes) -> None:
        self._directory = b"%b/%b" % (bookkeeping(root), BOOK_NAME)

    def find(self, digest: Digest, compression: Compression) -> bytes | None:
        """The checksum of the object `digest`, stored by `compression`; None where none is kept."""
        key = _key(digest, compression)
        try:
            with open(self._file(key), "rb") as file:
                data = file.read()
        except OSError:
            return None
        end = len(data)
        while (start := data.rfind(key, 0, end)) >= 0:
            record = data[start : start + _RECORD.size]
            if len(record) == _RECORD.size and start % _RECORD.size == 0:
                _, _, checksum, check = _RECORD.unpack(record)
                if zlib.crc32(record[:_CHECKED_BYTES]) == check:
                    return bytes(checksum)
            end = start + _KEY_BYTES - 1
        return None

    def note(self, file: int | bytes, digest: Digest, compression: Compression, checksum: bytes) -> None:
        """Keeps the `checksum` of an object with its `file`, or here where that cannot be."""
        try:
            os.setxattr(file, CHECK_ATTRIBUTE, checksum)
        except OSError:
            # No attributes here, somebody else's file, no room.
            self.add(digest, compression, checksum)

    def add(self, digest: Digest, compression: Compression, checksum: bytes) -> None:
        """Keeps the `checksum` of an object, as far as anything can be written."""
        key = _key(digest, compression)
        record = key + checksum
        record += struct.pack("<I", zlib.crc32(record))
        with suppress(OSError):
            self._append(self._file(key), record)

    def _append(self, path: bytes, record: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            descriptor = open_shared(path, flags)
        except FileNotFoundError:
            make_directory(self._directory)
            descriptor = open_shared(path, flags)
        try:
            size = os.fstat(descriptor).st_size
            # A torn record must not shift those that follow.
            os.write(descriptor, bytes(-size % _RECORD.size) + record)
        finally:
            os.close(descriptor)
        if size > _MOST_BYTES:
            _halve(path)

    def _file(self, key: bytes) -> bytes:
        return b"%b/%02x" % (self._directory, key[0])


def _key(digest: Digest, compression: Compression) -> bytes:
    # The two ways to read one digest are two contents.
    return digest.raw + bytes((_ALGORITHMS.index(digest.algorithm) << 4 | compression, 0, 0, 0))


def _halve(path: bytes) -> None:
    # What another process appends meanwhile may get lost: it is proven once more then.
    with open(path, "rb") as file:
        data = file.read()
    kept = len(data) // _RECORD.size // 2 * _RECORD.size
    temporary = b"%b.%d" % (path, os.getpid())
    descriptor = open_shared(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(descriptor, "wb") as file:
        file.write(data[len(data) - kept :])
    os.rename(temporary, path)
