"""Proof that one object is what its name and its catalog say, piece by piece as it is read.

Objects of usual size are gathered and inflated at once, which is three times as fast as a stream; of larger ones no
more than a piece is in memory.
"""

from __future__ import annotations

import zlib

import deflate

from outcrop.cvmfs.compression import MAXIMUM_EXPANSION, Compression
from outcrop.cvmfs.digest import Hasher
from outcrop.stratum0.check.problems import Kind, Problem
from outcrop.stratum0.check.references import Claim

GATHERED_BYTES = 16 * 1024 * 1024
"""The largest chunk with default limits. Each worker holds one such object, and what it inflates to."""

_SMALLEST_ALLOWANCE = 64 * 1024
_PIECE_BYTES = 1024 * 1024
_CHECKSUM_BYTES = 4


class Proof:
    """Takes in the bytes of the object that `claim` is about; `problem` says in the end what is wrong with them."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._hasher = Hasher(claim.algorithm)
        self._stored = 0
        self._inflates = claim.size is not None and claim.compression is Compression.ZLIB
        # Whoever states a size must not decide how much memory a longer object takes.
        self._allowance = min(GATHERED_BYTES, 2 * (claim.size or 0) + _SMALLEST_ALLOWANCE) if self._inflates else 0
        if claim.size is not None and claim.size > GATHERED_BYTES:
            self._allowance = 0
        self._gathered: list[bytes] = []
        self._stream: _InflatedSize | None = None

    def write(self, piece: bytes) -> None:
        """Takes the next bytes as they are stored."""
        self._hasher.update(piece)
        self._stored += len(piece)
        if not self._inflates:
            return
        if self._stream is not None:
            self._stream.write(piece)
            return
        self._gathered.append(piece)
        if self._stored > self._allowance:
            self._stream = _InflatedSize(self.claim.size or 0)
            for gathered in self._gathered:
                self._stream.write(gathered)
            self._gathered = []

    def problem(self) -> Problem | None:
        """What is wrong with the object, now that all of it has come; None if nothing is."""
        if self._hasher.digest().raw != self.claim.digest:
            return self._told(Kind.ALTERED, "its bytes do not have the digest in its name")
        if self.claim.size is None:
            return None
        if not self._inflates:
            wrong = None if self._stored == self.claim.size else f"has {self._stored} bytes, not {self.claim.size}"
        elif self._stream is not None:
            wrong = self._stream.problem()
        else:
            wrong = _wrong_stream(b"".join(self._gathered), self.claim.size)
        return None if wrong is None else self._told(Kind.OBJECT, wrong)

    def _told(self, kind: Kind, detail: str) -> Problem:
        return problem_of(self.claim, kind, detail)


def problem_of(claim: Claim, kind: Kind, detail: str) -> Problem:
    """A problem with the object that `claim` is about."""
    return Problem(kind, detail, path=claim.path, name=claim.name, size=claim.size)


def _wrong_stream(stored: bytes, size: int) -> str | None:
    """What is wrong with the zlib stream `stored`, which should hold `size` bytes; None if nothing is."""
    if size > MAXIMUM_EXPANSION * len(stored):
        return f"its zlib stream is too short to hold {size} bytes"
    try:
        # libdeflate takes no stream for an empty buffer: a byte to spare shows what an empty file holds.
        plain = deflate.zlib_decompress(stored, size or 1)
    except (deflate.DeflateError, ValueError):
        return f"is no zlib stream, or holds more than {size} bytes"
    if len(plain) != size:
        return f"holds {len(plain)} bytes, not {size}"
    if zlib.adler32(plain) != int.from_bytes(stored[-_CHECKSUM_BYTES:], "big"):
        return "has bytes behind its zlib stream"
    return None


class _InflatedSize:
    """Inflates a stream and keeps nothing but its size."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._size = 0
        self._inflater = zlib.decompressobj()
        self._wrong: str | None = None

    def write(self, piece: bytes) -> None:
        if self._wrong is not None:
            return
        if self._inflater.eof:
            self._wrong = "has bytes behind its zlib stream"
            return
        try:
            while piece and not self._inflater.eof:
                self._size += len(self._inflater.decompress(piece, _PIECE_BYTES))
                piece = self._inflater.unconsumed_tail
                if self._size > self._expected:
                    self._wrong = f"holds more than {self._expected} bytes"
                    return
        except zlib.error as error:
            self._wrong = f"is no zlib stream ({error})"
        if self._inflater.unused_data:
            self._wrong = "has bytes behind its zlib stream"

    def problem(self) -> str | None:
        if self._wrong is None and not self._inflater.eof:
            return "its zlib stream is cut off"
        if self._wrong is None and self._size != self._expected:
            return f"holds {self._size} bytes, not {self._expected}"
        return self._wrong
