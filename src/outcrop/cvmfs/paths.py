"""Paths inside a repository and their hashes.

A path is raw bytes without normalisation: `b""` is the root, `b"/a/b"` something below it. Catalogs key rows by the
MD5 of the path, kept as two little-endian signed 64-bit integers. The parent of the root is (0, 0).
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple, NewType

from outcrop.errors import InvalidValue

RepositoryPath = NewType("RepositoryPath", bytes)
ROOT = RepositoryPath(b"")

_TWO_INTEGERS = struct.Struct("<qq")


class PathHash(NamedTuple):
    """The two halves of a path's MD5."""

    part1: int
    part2: int


NO_PARENT = PathHash(0, 0)
ROOT_HASH_TEXT = hashlib.md5(b"", usedforsecurity=False).hexdigest()


def path_hash(path: bytes) -> PathHash:
    """The hash that catalogs know `path` by."""
    return PathHash(*_TWO_INTEGERS.unpack(hashlib.md5(path, usedforsecurity=False).digest()))


def parent(path: bytes) -> RepositoryPath:
    """The directory that holds `path`; the root's parent is the root."""
    return RepositoryPath(path.rpartition(b"/")[0])


def parent_hash(path: bytes) -> PathHash:
    """The hash of the parent; (0, 0) for the root."""
    return path_hash(parent(path)) if path else NO_PARENT


def name(path: bytes) -> bytes:
    """The last component; empty for the root."""
    return path.rpartition(b"/")[2]


def join(directory: bytes, child: bytes) -> RepositoryPath:
    """The path of `child` in `directory`."""
    return RepositoryPath(directory + b"/" + child)


def is_below(path: bytes, ancestor: bytes) -> bool:
    """Whether `path` is `ancestor` itself or lies below it."""
    return path == ancestor or path.startswith(ancestor + b"/")


def ancestors(path: bytes) -> list[RepositoryPath]:
    """The directories that lead to `path`, from the root down, without `path` itself."""
    parts = path.split(b"/")
    return [RepositoryPath(b"/".join(parts[:depth])) for depth in range(1, len(parts))]


def repository_path(text: str | bytes) -> RepositoryPath:
    """What a user calls a path, as a path: `a/b/`, `/a//b` and `./a/b` are `/a/b`.

    Raises InvalidValue for `..`, which could only leave the repository, for NUL, and for text that stands for no bytes.
    """
    try:
        raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise _impossible_path(text) from error
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts or b"\0" in raw:
        raise _impossible_path(text)
    return RepositoryPath(b"".join(b"/" + part for part in parts))


def _impossible_path(text: str | bytes) -> InvalidValue:
    raw = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    return InvalidValue(
        what=f"the path {raw.decode('utf-8', 'backslashreplace')!r}",
        problem="cannot lead to anything in a repository",
        hint="write the path from the repository's root, as in `/versions/2026.06`",
    )


def is_canonical(path: bytes) -> bool:
    """Whether `path` is written the one way that hashes: `b""`, or names that each follow a `/`."""
    first, *names = path.split(b"/")
    return not first and b"\0" not in path and not any(name in (b"", b".", b"..") for name in names)


def shown(path: bytes) -> str:
    """`path` for people: the root as `/`, bytes that are not UTF-8 as surrogates (`console` writes them back)."""
    return path.decode("utf-8", "surrogateescape") or "/"
