"""Which files a revision's layers need, and where each comes from.

Most files are one object of the cache, which the kernel reads without asking anybody. The rest is *served*: put
together by the layer of missing files on every first use. These are files in chunks, external files, and those whose
object is read in two ways in one revision (the cache has room for one file a digest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from outcrop.client.cache.layout import object_name
from outcrop.client.content import Content
from outcrop.client.contents import Piece
from outcrop.client.layers.metadata import SERVED_DIRECTORY
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.objects import ObjectKind, ObjectName


class PlainObject(NamedTuple):
    """An object that holds a whole file: its digest, how it is stored, plain bytes. Those of one `directory` (a number)
    are next to each other."""

    raw: bytes
    algorithm: Algorithm
    compression: Compression
    size: int
    directory: int

    @property
    def content(self) -> Content:
        return Content(ObjectName(Digest(self.algorithm, self.raw), ObjectKind.FILE), self.compression, self.size)

    @property
    def piece(self) -> Piece:
        content = self.content
        return Piece(0, self.size, content.object, self.compression)

    @property
    def name(self) -> bytes:
        """Where the object lies below the root of a cache."""
        return object_name(Digest(self.algorithm, self.raw))


class ServedFile(NamedTuple):
    """A file that is put together when it is read: its path in the repository, its size in bytes."""

    path: bytes
    size: int


class Needed(NamedTuple):
    """All files that have bytes."""

    objects: Sequence[PlainObject]
    served: Sequence[ServedFile]


class Needs:
    """Takes note of files, and says of each where the layers have it."""

    def __init__(self) -> None:
        self._objects: dict[bytes, PlainObject] = {}
        self._served: list[ServedFile] = []

    def redirect(self, path: bytes, entry: Entry, directory: int) -> bytes:
        """Where the bytes of the file `entry` at `path` lie. `directory` is the number of the directory it is in."""
        digest = entry.digest
        if digest is not None and not entry.is_chunked and not entry.is_external:
            name = object_name(digest)
            known = self._objects.get(name)
            if known is None:
                self._objects[name] = PlainObject(
                    digest.raw, digest.algorithm, entry.compression, entry.size, directory
                )
                return b"/" + name
            if (known.compression, known.size) == (entry.compression, entry.size):
                return b"/" + name
        self._served.append(ServedFile(path, entry.size))
        return b"/%b/%d" % (SERVED_DIRECTORY, len(self._served) - 1)

    def all(self) -> Needed:
        """Everything noted so far, in its order."""
        return Needed(list(self._objects.values()), self._served)
