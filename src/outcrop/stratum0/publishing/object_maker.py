"""From plain bytes to objects: read, recognise, compress, digest, store. What one core does, in whatever process it is.

The digest is over the bytes as stored. What the index knows is not compressed again, as long as the store has it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.encoders import Compress
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import InvalidValue, storage_error
from outcrop.storage.interface import WritableStore
from outcrop.stratum0.publishing.content_index import ContentIndex, raw_digest


class PlainBytes(NamedTuple):
    """The bytes of one object: `data`, or where that is None all `size` bytes of the file at `path`."""

    size: int
    path: bytes = b""
    data: bytes | None = None

    def read(self) -> bytes:
        """The bytes; InvalidValue if the file has more or fewer of them than it had."""
        if self.data is not None:
            return self.data
        with OpenedFile(self.path) as source:
            data = source.read(self.size + 1)
        if len(data) != self.size:
            raise changed_while_read(self.path)
        return data


class MadeObjects(NamedTuple):
    """The digests of the objects that hold some plain bytes, in order, and of those that were not known before, the
    digest of the plain bytes first. Without their algorithm, since they often come from another process."""

    digests: list[bytes]
    new: list[tuple[bytes, bytes]]


class ObjectMaker:
    """Makes objects in `store`, with what `index` knows. Pickled, it does the same in another process."""

    def __init__(self, store: WritableStore, index: ContentIndex, algorithm: Algorithm, compress: Compress) -> None:
        self._store = store
        self._index = index
        self._algorithm = algorithm
        self._compress = compress

    def make(self, sources: Sequence[PlainBytes], kind: ObjectKind) -> MadeObjects:
        """Stores each of `sources` as an object, unless the store has it already."""
        contents = [source.read() for source in sources]
        raws = [raw_digest(data) for data in contents]
        known = dict(zip(raws, self._index.contents(raws, kind), strict=True))
        new: dict[bytes, bytes] = {}
        digests = []
        for raw, data in zip(raws, contents, strict=True):
            digest = new.get(raw) or known[raw]
            if digest is None or (raw not in new and not self._is_there(digest, kind)):
                new[raw] = digest = self._store_object(data, kind)
            digests.append(digest)
        self._index.note_contents(new.items(), kind)
        return MadeObjects(digests, list(new.items()))

    def _is_there(self, digest: bytes, kind: ObjectKind) -> bool:
        return self._store.exists(ObjectName(Digest(self._algorithm, digest), kind).path)

    def _store_object(self, data: bytes, kind: ObjectKind) -> bytes:
        stored = self._compress(data)
        digest = Digest.of(stored, self._algorithm)
        self._store.write(ObjectName(digest, kind).path, stored)
        return digest.raw


class OpenedFile:
    """The file at `path`, opened for reading without a buffer of ours; errors are told as StorageError."""

    def __init__(self, path: bytes) -> None:
        self._path = path

    def __enter__(self) -> OpenedFile:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error(error, os.fsdecode(self._path)) from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file."""
        pieces = []
        try:
            while size > 0 and (piece := os.read(self._descriptor, size)):
                pieces.append(piece)
                size -= len(piece)
        except OSError as error:
            raise storage_error(error, os.fsdecode(self._path)) from error
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]


def changed_while_read(path: bytes) -> InvalidValue:
    """The error for a file that has not the size that it had."""
    return InvalidValue(
        what=f"the file {os.fsdecode(path)}",
        problem="changed while it was read",
        hint="publish a tree that nobody writes to; nothing was published",
    )
