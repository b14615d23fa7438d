"""What proves that a file in a cache is the object whose name it has.

1. The checksum that was computed when the object came, or was proven: in an attribute of its file, else in the
   cache's book (`outcrop.client.cache.checksum_book`).
2. The digest in its name, over the plain bytes: the object is stored uncompressed.
3. The digest in its name, over what the encoders of publishers make of the plain bytes: the object is stored as the
   reference publisher stores it, or ours (`outcrop.client.cache.by_digest`).
4. The size that catalogs of the same cache state. That proves nothing, but another size is damage.

An object that another encoder compressed, without an attribute, cannot be proven without a download: it is fetched anew
when it is used.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from outcrop.client.cache.by_digest import Prover, pieces_of
from outcrop.client.cache.checksum import attribute_of, checksum_of
from outcrop.client.cache.checksum_book import ChecksumBook
from outcrop.client.catalog_file import open_catalog
from outcrop.client.content import new_checksum
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.digest import Digest
from outcrop.errors import OutcropError

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
    """A verdict, how an object is stored that its digest proves and the checksum that belongs to it, and what is wrong
    with a damaged one."""

    verdict: Verdict
    compression: Compression = Compression.ZLIB
    checksum: bytes = b""
    problem: str = ""


SizesByDigest = Mapping[bytes, frozenset[int]]
"""The sizes in bytes that catalogs state of objects, by the raw digest."""


def examine(path: bytes, digest: Digest, sizes: SizesByDigest, book: ChecksumBook) -> Proof:
    """What is known of the file `path` that has the name of `digest`, in the cache that `book` belongs to.
    FileNotFoundError if it is gone meanwhile; a file that cannot be read is damaged."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        known = _known_checksums(descriptor, digest, book)
        if not known:
            return _by_digest(descriptor, digest, sizes)
        checksums = {compression: new_checksum(compression) for compression in Compression}
        for piece in pieces_of(descriptor):
            for checksum in checksums.values():
                checksum.update(piece)
        if known & {checksum.digest() for checksum in checksums.values()}:
            return Proof(Verdict.SOUND)
        return Proof(Verdict.DAMAGED, problem="its bytes have changed")
    except FileNotFoundError:
        raise
    except OSError as error:
        return Proof(Verdict.DAMAGED, problem=f"it cannot be read ({error.strerror})")
    finally:
        os.close(descriptor)


def _known_checksums(descriptor: int, digest: Digest, book: ChecksumBook) -> set[bytes]:
    """The checksums of which the file must have one. A file says which reading of its digest it is kept for, the book
    has both."""
    attribute = attribute_of(descriptor)
    if attribute is not None:
        return {attribute}
    found = (book.find(digest, compression) for compression in Compression)
    return {checksum for checksum in found if checksum is not None}


def _by_digest(descriptor: int, digest: Digest, sizes: SizesByDigest) -> Proof:
    compression = Prover().stored_as(descriptor, digest)
    if compression is not None:
        return Proof(Verdict.PROVEN, compression, checksum_of(descriptor, compression))
    known, size = sizes.get(digest.raw), os.fstat(descriptor).st_size
    if known is not None and size not in known:
        stated = " or ".join(str(one) for one in sorted(known))
        return Proof(Verdict.DAMAGED, problem=f"it has {size} bytes instead of {stated}")
    return Proof(Verdict.UNPROVEN)


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
