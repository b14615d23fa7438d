"""Objects that the tests put into caches."""

from __future__ import annotations

import os
import zlib

from outcrop.client.cache import Cache
from outcrop.client.content import Content
from outcrop.client.incoming import SMALL_BYTES
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName

SMALL, LARGE = b"small " * 10, os.urandom(4 * SMALL_BYTES) + b"0" * 5_000_000


def content_of(
    data: bytes,
    compression: Compression = Compression.ZLIB,
    algorithm: Algorithm = Algorithm.SHA1,
    size: int | None = -1,
    kind: ObjectKind = ObjectKind.FILE,
) -> tuple[Content, bytes]:
    """What asks for an object that holds `data`, and the stored bytes."""
    stored = zlib.compress(data) if compression is Compression.ZLIB else data
    name = ObjectName(Digest.of(stored, algorithm), kind)
    return Content(name, compression, len(data) if size == -1 else size), stored


def insert(cache: Cache, content: Content, stored: bytes, piece: int = 100_000) -> None:
    incoming = cache.incoming(content)
    try:
        for begin in range(0, len(stored), piece):
            incoming.write(stored[begin : begin + piece])
        incoming.finish()
    finally:
        incoming.abandon()


def read(cache: Cache, content: Content) -> bytes | None:
    descriptor = cache.open(content)
    if descriptor is None:
        return None
    with open(descriptor, "rb") as file:
        return file.read()


def read_at_once(cache: Cache, content: Content) -> bytes | None:
    if content.size is None:
        return read(cache, content)
    data = cache.read(content, memoryview(bytearray(content.size + 10)))
    return None if data is None else bytes(data)


def leftovers(cache: Cache) -> list[str]:
    return os.listdir(cache.root / "txn")
