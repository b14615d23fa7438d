"""Every object that a repository refers to, each once, in the order of their names.

They are kept in a temporary database that SQLite moves to disk when it grows, so that memory does not depend on how
many there are. One object may be claimed twice, with different sizes: then both claims are there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.objects import DATA_DIRECTORY, ObjectKind, ObjectName
from outcrop.cvmfs.paths import RepositoryPath

_ALGORITHMS = tuple(Algorithm)
_KINDS = tuple(ObjectKind)
_SUFFIXES = {
    (number, letter): algorithm.value + kind.value
    for number, algorithm in enumerate(_ALGORITHMS)
    for letter, kind in enumerate(_KINDS)
}
"""What stands behind the digits in an object's name, by the numbers that the database has for algorithm and kind."""

_CACHE_KIB = 32 * 1024
"""How much of the database stays in memory: 300,000 objects or so."""

PREFIXES = tuple(f"{number:02x}" for number in range(256))
"""The directories of `data/`: the first two digits of the digests in them."""


class Claim(NamedTuple):
    """What is said of an object. A tuple, since there is one for every object of a repository.

    `name` is relative to the repository's address. `size` is in bytes before compression, None where the digest is all
    that is known. `path` is the first file in the tree that says so."""

    name: str
    digest: bytes
    algorithm: Algorithm
    compression: Compression = Compression.ZLIB
    size: int | None = None
    path: RepositoryPath | None = None


class Directory(NamedTuple):
    """What is referred to in one directory: the contents of files, in the order of their names; other objects of which
    nothing but the digest is known; and the names of those that are looked at elsewhere."""

    prefix: str
    claims: list[Claim]
    unread: list[Claim]
    read: set[str]


class References:
    """The objects that are referred to. `close` forgets them."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{_CACHE_KIB};"
            "CREATE TABLE claims (digest BLOB, algorithm INTEGER, kind INTEGER, compression INTEGER, size INTEGER,"
            " path BLOB, PRIMARY KEY (digest, algorithm, kind, compression, size)) WITHOUT ROWID;"
            "CREATE TABLE known (digest BLOB, algorithm INTEGER, kind INTEGER,"
            " is_read INTEGER, PRIMARY KEY (digest, algorithm, kind)) WITHOUT ROWID; BEGIN"
        )

    def claim(self, references: Iterable[tuple[bytes, int, int, int, int, bytes]]) -> None:
        """Takes up contents that have to be there and hold what is said: raw digest, numbers of algorithm and kind
        (`number_of`), compression, size before compression, path. What was claimed before is passed over."""
        self._connection.executemany("INSERT OR IGNORE INTO claims VALUES (?, ?, ?, ?, ?, ?)", references)

    def know(self, name: ObjectName, *, is_read: bool) -> None:
        """Takes up an object that is not a file's content. `is_read` says that it is looked at elsewhere; where it is
        not, its digest is all that is known of it, and it need not be there."""
        row = (name.digest.raw, number_of(name.digest.algorithm), number_of(name.kind), is_read)
        self._connection.execute(
            "INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET is_read = max(is_read, excluded.is_read)",
            row,
        )

    def totals(self) -> tuple[int, int]:
        """How many contents are claimed, and how many bytes they hold before compression."""
        row = self._connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM claims").fetchone()
        return int(row[0]), int(row[1])

    def directories(self) -> Iterator[Directory]:
        """What is referred to in each directory of `data/`, empty ones included, in their order."""
        claims = self._by_prefix("digest, algorithm, kind, compression, size, path", "claims")
        known = self._by_prefix("digest, algorithm, kind, is_read", "known")
        for (prefix, claimed), (_, others) in zip(claims, known, strict=True):
            directory = f"{DATA_DIRECTORY}/{prefix}/"
            yield Directory(
                prefix,
                [
                    Claim(
                        directory + digest.hex()[2:] + _SUFFIXES[algorithm, kind],
                        digest,
                        _ALGORITHMS[algorithm],
                        Compression(compression),
                        size,
                        RepositoryPath(path),
                    )
                    for digest, algorithm, kind, compression, size, path in claimed
                ],
                [
                    Claim(directory + digest.hex()[2:] + _SUFFIXES[algorithm, kind], digest, _ALGORITHMS[algorithm])
                    for digest, algorithm, kind, is_read in others
                    if not is_read
                ],
                {
                    directory + digest.hex()[2:] + _SUFFIXES[algorithm, kind]
                    for digest, algorithm, kind, is_read in others
                    if is_read
                },
            )

    def _by_prefix(self, columns: str, table: str) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        rows = self._connection.execute(f"SELECT {columns} FROM {table} ORDER BY digest")
        groups = groupby(rows, key=lambda row: row[0][0])
        first, group = next(groups, (None, iter(())))
        for number, prefix in enumerate(PREFIXES):
            if number != first:
                yield prefix, []
                continue
            yield prefix, list(group)
            first, group = next(groups, (None, iter(())))

    def close(self) -> None:
        self._connection.close()


def number_of(value: Algorithm | ObjectKind) -> int:
    """The number that the database has for an algorithm or a kind of object."""
    return _ALGORITHMS.index(value) if isinstance(value, Algorithm) else _KINDS.index(value)
