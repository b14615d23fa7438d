"""An object on its way from a server into the cache: digested, inflated and measured while it streams.

Nothing gets a name in the cache before the digest of all stored bytes is right. Until then a compressed stream can
claim anything, so what it inflates to is bounded by the size that the (verified) catalog states, and what a server may
send is bounded too.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Protocol

from outcrop.client.content import Content, disk_bytes, new_checksum
from outcrop.cvmfs.compression import MAXIMUM_DATABASE_BYTES, Compression, inflate, inflate_exactly
from outcrop.cvmfs.digest import Hasher
from outcrop.errors import FormatError, IntegrityError, OutcropError, StorageError, storage_error

SMALL_BYTES = 256 * 1024
"""Stored bytes up to here wait in memory until the digest is known, and are then inflated at once: nine in ten objects
of a software repository, and several times faster than in pieces."""

INFLATED_PIECE_BYTES = 1024 * 1024
"""How much of a large object is inflated before it is written."""

_ENCODER_OVERHEAD_BYTES = 64 * 1024
"""zlib's worst case adds 5 bytes to 16 kB; other encoders and tiny files get a generous allowance."""


class Keeper(Protocol):
    """The cache, as far as an incoming object knows it."""

    @property
    def root(self) -> Path: ...

    def reserve(self, size: int) -> None: ...

    def give_back(self, size: int) -> None: ...

    def open_temporary(self) -> tuple[int, bytes]: ...

    def insert(self, content: Content, descriptor: int, temporary: bytes, checksum: bytes, reserved: int) -> None: ...


class Incoming:
    """A sink for the stored bytes of `content`. Ends with `finish` or `abandon`, whatever happened before.

    `trouble` is the StorageError of the cache, where that is what stopped it: another cache may take the object.
    """

    def __init__(self, content: Content, keeper: Keeper) -> None:
        self.content = content
        self.trouble: StorageError | None = None
        self._keeper = keeper
        self._hasher = Hasher(content.object.digest.algorithm)
        self._checksum = new_checksum(content.compression)
        self._small: bytearray | None = bytearray()
        self._inflater = zlib.decompressobj() if content.compression is Compression.ZLIB else None
        self._descriptor = -1
        self._temporary = b""
        self._stored = 0
        self._plain = 0
        self._reserved = 0
        plain_limit = MAXIMUM_DATABASE_BYTES if content.size is None else content.size
        self._plain_limit = plain_limit
        self._stored_limit = plain_limit
        if self._inflater is not None:
            self._stored_limit += plain_limit // 8 + _ENCODER_OVERHEAD_BYTES

    @property
    def what(self) -> str:
        return self.content.shown

    @property
    def received(self) -> int:
        """How many stored bytes have come."""
        return self._stored

    def write(self, piece: bytes) -> None:
        """Takes in the next stored bytes; IntegrityError when there are more than can be, StorageError for the disk."""
        self._stored += len(piece)
        if self._stored > self._stored_limit:
            raise IntegrityError(what=self.what, problem=f"more than {self._stored_limit} bytes came for it")
        self._hasher.update(piece)
        if self._small is None:
            self._inflate(piece)
            return
        self._small += piece
        if len(self._small) > SMALL_BYTES:
            begun, self._small = bytes(self._small), None
            self._inflate(begun)

    def finish(self) -> None:
        """Puts the object into the cache; IntegrityError or FormatError if it is not what was asked for."""
        try:
            digest = self._hasher.digest()
            if digest != self.content.object.digest:
                raise IntegrityError(what=self.what, problem=f"the {self._stored} bytes that came have another digest")
            if self._small is not None:
                self._write(self._inflated_at_once(bytes(self._small)))
            else:
                self._finish_stream()
            if self.content.size is not None and self._plain != self.content.size:
                raise FormatError(
                    what=self.what, field="its size", problem=f"is {self._plain} bytes, not {self.content.size}"
                )
            self._keep()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leaves nothing behind."""
        if self._reserved:
            reserved, self._reserved = self._reserved, 0
            self._keeper.give_back(reserved)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._temporary:
            temporary, self._temporary = self._temporary, b""
            try:
                os.unlink(temporary)
            except OSError:
                # It stays in `txn/` until it is a day old, and harms nobody.
                return

    def _inflated_at_once(self, stored: bytes) -> bytes | bytearray:
        if self._inflater is None:
            return stored
        if self.content.size is None:
            return inflate(stored, what=self.what)
        return inflate_exactly(stored, self.content.size, what=self.what)

    def _inflate(self, stored: bytes) -> None:
        if self._inflater is None:
            self._write(stored)
            return
        try:
            while stored and not self._inflater.eof:
                self._write(self._inflater.decompress(stored, INFLATED_PIECE_BYTES))
                stored = self._inflater.unconsumed_tail
        except zlib.error as error:
            raise IntegrityError(what=self.what, problem=f"it is no zlib stream ({error})") from error

    def _finish_stream(self) -> None:
        if self._inflater is None:
            return
        # zlib may have taken in all input and still owe the last bytes of a piece that was full.
        while not self._inflater.eof:
            plain = self._inflater.decompress(b"", INFLATED_PIECE_BYTES)
            if not plain:
                raise FormatError(what=self.what, field="the zlib stream", problem="is cut off")
            self._write(plain)

    def _write(self, plain: bytes | bytearray) -> None:
        self._plain += len(plain)
        if self._plain > self._plain_limit:
            raise FormatError(
                what=self.what, field="the zlib stream", problem=f"holds more than {self._plain_limit} bytes"
            )
        self._checksum.update(plain)
        self._reserve()
        try:
            if self._descriptor < 0:
                self._descriptor, self._temporary = self._keeper.open_temporary()
            rest = memoryview(plain)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise self._storage_trouble(error) from error

    def _reserve(self) -> None:
        """Takes room for what has come, or for all that will come where that is known."""
        needed = disk_bytes(self._plain if self.content.size is None else self.content.size)
        if needed <= self._reserved:
            return
        try:
            self._keeper.reserve(needed - self._reserved)
        except StorageError as error:
            self.trouble = error
            raise
        except OSError as error:
            raise self._storage_trouble(error) from error
        self._reserved = needed

    def _keep(self) -> None:
        checksum = self._checksum.digest()
        try:
            self._keeper.insert(self.content, self._descriptor, self._temporary, checksum, self._reserved)
        except OSError as error:
            raise self._storage_trouble(error) from error
        self._temporary, self._reserved = b"", 0

    def _storage_trouble(self, error: OSError) -> StorageError:
        self.trouble = storage_error(error, f"the cache {self._keeper.root}")
        self.trouble.__cause__ = error
        return self.trouble


def ended_by_cache(incoming: Incoming, error: OutcropError) -> bool:
    """Whether `error`, with which `incoming` ended, is the cache's and not the server's."""
    return error is incoming.trouble
