"""Whether a plain file is the object whose name it has, where nothing but the name tells.

A digest is over the bytes as a server stores them. Where these are the plain bytes, the file is digested. Where they
are a zlib stream, the plain bytes are compressed again by each of the encoders that publishers use: the reference's,
whose objects stock clients and `cvmfs_preload` put into caches, and ours. An object of any other encoder cannot be
proven.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

from outcrop.client.cache.checksum import READ_BYTES
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest, Hasher
from outcrop.cvmfs.encoders import ENCODERS, REFERENCE_LEVEL, Compress

_WHOLE_BYTES = 32 * 1024 * 1024
"""Up to here a file is compressed in memory, as all encoders but zlib ask for. Our publisher cuts larger ones into
chunks that are smaller than this."""


class Prover:
    """Proves files by their digests. It tries the encoder that the last one came from first: a repository is published
    by one as a rule."""

    def __init__(self) -> None:
        self._encoders = list(ENCODERS.values())
        self._try_first(ENCODERS["zlib"])

    def stored_as(self, descriptor: int, digest: Digest, compression: Compression | None = None) -> Compression | None:
        """How a server stores the bytes of the open file if the object `digest` has them; None where that cannot be
        shown. Only `compression` is tried where that is known. OSError where the file cannot be read."""
        size = os.fstat(descriptor).st_size
        if size > _WHOLE_BYTES:
            found = _stored_in_pieces(descriptor, digest)
            return found if compression in (None, found) else None
        data = b"".join(pieces_of(descriptor))
        if compression is not Compression.ZLIB and Digest.of(data, digest.algorithm) == digest:
            return Compression.NONE
        if compression is not Compression.NONE:
            for encoder in self._encoders:
                if Digest.of(encoder(data), digest.algorithm) == digest:
                    self._try_first(encoder)
                    return Compression.ZLIB
        return None

    def _try_first(self, encoder: Compress) -> None:
        # Another thread may do the same at this moment; an order is all that could get lost.
        self._encoders = [encoder, *(one for one in self._encoders if one is not encoder)]


def _stored_in_pieces(descriptor: int, digest: Digest) -> Compression | None:
    plain, stored = Hasher(digest.algorithm), Hasher(digest.algorithm)
    compressor = zlib.compressobj(REFERENCE_LEVEL)
    for piece in pieces_of(descriptor):
        plain.update(piece)
        stored.update(compressor.compress(piece))
    stored.update(compressor.flush())
    if plain.digest() == digest:
        return Compression.NONE
    return Compression.ZLIB if stored.digest() == digest else None


def pieces_of(descriptor: int) -> Iterator[bytes]:
    """The bytes of the open file from its beginning, a piece at a time. OSError where it cannot be read."""
    offset = 0
    while piece := os.pread(descriptor, READ_BYTES, offset):
        yield piece
        offset += len(piece)
