"""Objects that a check reads itself: catalogs, history, certificate, meta-information."""

from __future__ import annotations

import zlib

from outcrop.cvmfs.compression import MAXIMUM_DATABASE_BYTES
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import ObjectName
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import NotFound, StorageError
from outcrop.storage.interface import ReadableStore
from outcrop.stratum0.check.findings import Findings
from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.check.references import References


class ObjectReader:
    """Reads objects whole, and notes each one that cannot be read, once. `references` come to know what was read."""

    def __init__(self, store: ReadableStore, findings: Findings, references: References | None) -> None:
        self.store = store
        self._findings = findings
        self._references = references
        self._failed: set[ObjectName] = set()

    def inflated(
        self, name: ObjectName, *, path: RepositoryPath | None = None, size: int | None = None
    ) -> bytes | None:
        """What the object holds; None, with a problem noted, where it is missing, altered or no zlib stream.

        `path` is where in the tree it is wanted, `size` what it should hold, for whoever mends it."""
        if self._references is not None:
            self._references.know(name, is_read=True)
        if name in self._failed:
            return None
        try:
            stored = self.store.read(name.path)
        except NotFound:
            self._fail(Kind.MISSING, "is missing", name, path, size)
            return None
        except StorageError as error:
            self._fail(Kind.UNREADABLE, str(error.fields.get("problem", error)), name, path, size)
            return None
        if Digest.of(stored, name.digest.algorithm) != name.digest:
            self._fail(Kind.ALTERED, "its bytes do not have the digest in its name", name, path, size)
            return None
        try:
            return inflate_whole(stored)
        except ValueError as error:
            self._fail(Kind.OBJECT, str(error), name, path, size)
            return None

    def _fail(self, kind: Kind, detail: str, name: ObjectName, path: RepositoryPath | None, size: int | None) -> None:
        self._failed.add(name)
        self._findings.add(kind, detail, path=path, name=name.path, size=size)


def inflate_whole(stored: bytes) -> bytes:
    """What the zlib stream `stored` holds; ValueError, in words, for what is none, is cut off or has more behind it."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(stored, MAXIMUM_DATABASE_BYTES)
    except zlib.error as error:
        raise ValueError(f"is no zlib stream ({error})") from error
    if not stream.eof:
        raise ValueError("its zlib stream is cut off, or holds more than any database")
    if stream.unused_data:
        raise ValueError(f"{len(stream.unused_data)} bytes follow its zlib stream")
    return plain
