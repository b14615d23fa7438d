"""What proves that a file in a cache is the object whose name it has.

1. The attribute with the checksum that was computed when the object came, as far as there is one.
2. The digest in its name, over the plain bytes: the object is stored uncompressed.
3. The digest in its name, over the plain bytes compressed by zlib at level 6: the object is stored as the reference
   publisher stores it. This works for what a stock client or `cvmfs_preload` put there, and for catalogs.
4. The size that catalogs of the same cache state. That proves nothing, but another size is damage.

An object that another encoder compressed, without an attribute, cannot be proven without a download.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from outcrop.client.cache.checksum import CHECK_ATTRIBUTE, NO_ATTRIBUTES, READ_BYTES
from outcrop.client.catalog_file import open_catalog
from outcrop.client.content import new_checksum
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.digest import Digest, Hasher
from outcrop.errors import OutcropError

_REFERENCE_LEVEL = 6
_DATABASE_START = b"SQLite format 3\0"
_REGULAR_FILE = 4
"""The bit of a catalog's flags that says so. Source: `outcrop.cvmfs.entry`."""


class Verdict(Enum):
    """What is known of a file. `SOUND` by its checksum, `PROVEN` by its digest."""

    SOUND = "sound"
    PROVEN = "proven"
    UNPROVEN = "unproven"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Proof:
    """A verdict, the checksum that belongs to a file that is proven without one, and what is wrong with a damaged
    one."""

    verdict: Verdict
    checksum: bytes = b""
    problem: str = ""


SizesByDigest = Mapping[bytes, frozenset[int]]
"""The sizes in bytes that catalogs state of objects, by the raw digest."""


def attribute_of(file: int | bytes) -> bytes | None:
    """The checksum kept with `file`; None where there is none. OSError where it cannot be read."""
    try:
        return os.getxattr(file, CHECK_ATTRIBUTE)
    except OSError as error:
        if error.errno in NO_ATTRIBUTES:
            return None
        raise


def examine(path: bytes, digest: Digest, sizes: SizesByDigest) -> Proof:
    """What is known of the file `path` that has the name of `digest`. FileNotFoundError if it is gone meanwhile; a file
    that cannot be read is damaged."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        attribute = attribute_of(descriptor)
        if attribute is None:
            return _by_digest(descriptor, digest, sizes)
        checksums = {compression: new_checksum(compression) for compression in Compression}
        for piece in _pieces(descriptor):
            for checksum in checksums.values():
                checksum.update(piece)
        if attribute in [checksum.digest() for checksum in checksums.values()]:
            return Proof(Verdict.SOUND)
        return Proof(Verdict.DAMAGED, problem="its bytes have changed")
    except FileNotFoundError:
        raise
    except OSError as error:
        return Proof(Verdict.DAMAGED, problem=f"it cannot be read ({error.strerror})")
    finally:
        os.close(descriptor)


def _by_digest(descriptor: int, digest: Digest, sizes: SizesByDigest) -> Proof:
    plain, stored = Hasher(digest.algorithm), Hasher(digest.algorithm)
    checksums = {compression: new_checksum(compression) for compression in Compression}
    compressor = zlib.compressobj(_REFERENCE_LEVEL)
    size = 0
    for piece in _pieces(descriptor):
        plain.update(piece)
        stored.update(compressor.compress(piece))
        for checksum in checksums.values():
            checksum.update(piece)
        size += len(piece)
    stored.update(compressor.flush())
    for hasher, compression in ((plain, Compression.NONE), (stored, Compression.ZLIB)):
        if hasher.digest() == digest:
            return Proof(Verdict.PROVEN, checksums[compression].digest())
    known = sizes.get(digest.raw)
    if known is not None and size not in known:
        stated = " or ".join(str(one) for one in sorted(known))
        return Proof(Verdict.DAMAGED, problem=f"it has {size} bytes instead of {stated}")
    return Proof(Verdict.UNPROVEN)


def _pieces(descriptor: int) -> Iterator[bytes]:
    offset = 0
    while piece := os.pread(descriptor, READ_BYTES, offset):
        yield piece
        offset += len(piece)


def is_database(path: bytes) -> bool:
    """Whether the file begins as a catalog or a history does."""
    with suppress(OSError), open(path, "rb") as file:
        return file.read(len(_DATABASE_START)) == _DATABASE_START
    return False


def sizes_in_catalog(path: bytes) -> Iterator[tuple[bytes, int]]:
    """Raw digests and sizes of all contents and catalogs that the catalog in the file `path` names; nothing if it is no
    catalog that can be read."""
    with suppress(OutcropError), _connection(path) as connection, sqlite_border(os.fsdecode(path)):
        for query in (
            f"SELECT hash, size FROM catalog WHERE hash IS NOT NULL AND flags & {_REGULAR_FILE}",
            "SELECT hash, size FROM chunks",
        ):
            for raw, size in connection.execute(query):
                if isinstance(raw, bytes) and isinstance(size, int):
                    yield raw, size


@contextmanager
def _connection(path: bytes) -> Iterator[sqlite3.Connection]:
    catalog = open_catalog(Path(os.fsdecode(path)), os.fsdecode(path))
    try:
        yield catalog.connection
    finally:
        catalog.close()
