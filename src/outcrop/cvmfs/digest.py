"""Content digests and path hashes.

CernVM-FS names every object by a 160-bit digest of its bytes *as stored*. The algorithm shows as a tag behind the
hexadecimal text (`-rmd160`, `-shake128`; none for SHA-1) and is recognised by the length of that text alone.
Only lower-case hexadecimal is legal. SHAKE-128 is squeezed to 160 bits. MD5 names paths, never contents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from outcrop.errors import FormatError, MissingCapability

DIGEST_BYTES = 20
"""All content digests have 160 bits, whatever their algorithm."""

Buffer = bytes | bytearray | memoryview


class Algorithm(Enum):
    """A content digest algorithm; the value is its tag in texts and file names."""

    SHA1 = ""
    RMD160 = "-rmd160"
    SHAKE128 = "-shake128"

    @property
    def label(self) -> str:
        """The name by which people and settings know it."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> Algorithm:
        """The algorithm called `label` (`sha1`, `rmd160`, `shake128`); ValueError for another."""
        for algorithm in cls:
            if algorithm.label == label.lower():
                return algorithm
        raise ValueError(f"no digest algorithm is called {label!r}")


_BY_TEXT_LENGTH = {2 * DIGEST_BYTES + len(algorithm.value): algorithm for algorithm in Algorithm}
_HEXADECIMAL = frozenset("0123456789abcdef")


class _HashState(Protocol):
    def update(self, data: Buffer, /) -> None: ...


class Hasher:
    """Digests a stream piece by piece."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._state = _new_state(algorithm)

    def update(self, data: Buffer) -> None:
        self._state.update(data)

    def digest(self) -> Digest:
        if self.algorithm is Algorithm.SHAKE128:
            return Digest(self.algorithm, self._state.digest(DIGEST_BYTES))  # type: ignore[attr-defined]
        return Digest(self.algorithm, self._state.digest())  # type: ignore[attr-defined]


def _new_state(algorithm: Algorithm) -> _HashState:
    if algorithm is Algorithm.SHA1:
        return hashlib.sha1(usedforsecurity=False)
    if algorithm is Algorithm.SHAKE128:
        return hashlib.shake_128(usedforsecurity=False)
    try:
        return hashlib.new("ripemd160", usedforsecurity=False)
    except ValueError as error:
        raise MissingCapability(
            what="RIPEMD-160",
            problem="this Python's OpenSSL does not offer it",
            hint="enable OpenSSL's legacy provider, or use a Python built with OpenSSL 3.0.7 or newer",
        ) from error


@dataclass(frozen=True, slots=True, order=False)
class Digest:
    """A content digest: the algorithm and its 20 bytes."""

    algorithm: Algorithm
    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != DIGEST_BYTES:
            problem = f"is {len(self.raw)} bytes, not {DIGEST_BYTES}"
            raise FormatError(what="a digest", field="its length", problem=problem)

    @property
    def hexadecimal(self) -> str:
        """The 40 digits, without the algorithm's tag."""
        return self.raw.hex()

    @property
    def text(self) -> str:
        """The digits and the algorithm's tag, as manifests and databases write them."""
        return self.raw.hex() + self.algorithm.value

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str, *, what: str = "a digest", field: str = "its text") -> Digest:
        """The digest that `text` spells; FormatError names `what` and `field` if it spells none."""
        algorithm = _BY_TEXT_LENGTH.get(len(text))
        digits = text[: 2 * DIGEST_BYTES]
        if algorithm is None or not text.endswith(algorithm.value) or not _HEXADECIMAL.issuperset(digits):
            raise FormatError(what=what, field=field, problem=f"is not a digest: {text[:80]!r}")
        return cls(algorithm, bytes.fromhex(digits))

    @classmethod
    def of(cls, data: Buffer, algorithm: Algorithm = Algorithm.SHA1) -> Digest:
        """The digest of `data`."""
        return cls.of_pieces((data,), algorithm)

    @classmethod
    def of_pieces(cls, pieces: Iterable[Buffer], algorithm: Algorithm = Algorithm.SHA1) -> Digest:
        """The digest of `pieces` joined."""
        hasher = Hasher(algorithm)
        for piece in pieces:
            hasher.update(piece)
        return hasher.digest()
