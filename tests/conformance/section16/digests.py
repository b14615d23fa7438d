"""Digests, numbers, object names and path hashes as the files write them (section 0; path hash: section 3)."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from enum import Enum
from typing import NewType, Protocol

PathHash = NewType("PathHash", tuple[int, int])

DIGEST_BYTES = 20
NULL_DIGEST = "0" * 40
"""What the stock publisher writes where a catalog or history has no predecessor."""

OBJECT_NAME = re.compile(r"(?P<digest>[0-9a-f]{38}(?:-rmd160|-shake128)?)(?P<letter>[PCHXML]?)")
"""The name of a file below data/xx, the first two hex digits being the directory."""

_DECIMAL = re.compile(r"[0-9]{1,20}")
"""An unsigned number of at most 64 bits' worth of digits."""

_DIGEST = re.compile(r"(?P<hex>[0-9a-f]{40})(?P<tag>(?:-rmd160|-shake128)?)")
_DIGEST_WITH_LETTER = re.compile(r"[0-9a-f]{40}(?:-rmd160|-shake128)?[A-Z]")


class Algorithm(Enum):
    """A hash algorithm for objects: its number in the catalog's flags and its tag in texts."""

    SHA1 = (0, "")
    RMD160 = (1, "-rmd160")
    SHAKE128 = (2, "-shake128")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def tag(self) -> str:
        return self.value[1]


class RunningHash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Shake128:
    """SHAKE-128 squeezed to 160 bit, with the methods of the other hashes."""

    def __init__(self) -> None:
        self._state = hashlib.shake_128()

    def update(self, data: bytes, /) -> None:
        self._state.update(data)

    def hexdigest(self) -> str:
        return self._state.hexdigest(DIGEST_BYTES)


def new_hash(algorithm: Algorithm) -> RunningHash:
    """A hash that is fed in pieces."""
    match algorithm:
        case Algorithm.SHA1:
            return hashlib.sha1(usedforsecurity=False)
        case Algorithm.RMD160:
            return hashlib.new("ripemd160", usedforsecurity=False)
        case Algorithm.SHAKE128:
            return _Shake128()


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest with its algorithm, as every reference in a repository carries it."""

    algorithm: Algorithm
    hexadecimal: str

    def __str__(self) -> str:
        return self.hexadecimal + self.algorithm.tag

    def object_path(self, letter: str) -> str:
        """Where the object lies below the repository's directory: digest, then algorithm tag, then type letter."""
        return f"data/{self.hexadecimal[:2]}/{self.hexadecimal[2:]}{self.algorithm.tag}{letter}"


def digest_of(data: bytes, algorithm: Algorithm) -> Digest:
    state = new_hash(algorithm)
    state.update(data)
    return Digest(algorithm, state.hexdigest())


def algorithm_by_tag(tag: str) -> Algorithm:
    """Raises ValueError for a tag that names no algorithm."""
    for algorithm in Algorithm:
        if algorithm.tag == tag:
            return algorithm
    raise ValueError(f"unknown hash algorithm {tag!r}")


def parse_digest(text: str) -> Digest:
    """The digest that a text names; raises ValueError unless it is lower-case hex with a known tag and no letter."""
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no digest")
    return Digest(algorithm_by_tag(match["tag"]), match["hex"])


def optional_digest(text: str | None) -> Digest | None:
    """The digest that a text names, or nothing where it names none: what is wrong with it is another rule's concern."""
    try:
        return None if text is None else parse_digest(text)
    except ValueError:
        return None


def decimal(text: str | None) -> int | None:
    """The unsigned 64-bit number that a text writes in plain digits; nothing for any other text."""
    if text is None or _DECIMAL.fullmatch(text) is None or int(text) >= 1 << 64:
        return None
    return int(text)


def ends_with_type_letter(text: str) -> bool:
    """Whether a text is a digest but for the type letter that belongs into file names only."""
    return _DIGEST_WITH_LETTER.fullmatch(text) is not None


def path_hash(path: bytes) -> PathHash:
    """The two halves of the MD5 of an absolute path, "" for the root, each a little-endian signed integer."""
    first, second = struct.unpack("<qq", hashlib.md5(path, usedforsecurity=False).digest())
    return PathHash((first, second))
