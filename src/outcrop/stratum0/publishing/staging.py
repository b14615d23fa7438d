"""What comes in, collected before anything of it goes into a catalog, and given back a directory at a time.

Trees come in any order (an archive's members stand as they were added), while catalogs are best written directory by
directory, parents first, with all that a directory gets at hand: its hard links, its marker of a nested catalog. The
entries wait in a database that SQLite keeps in a temporary file once it is large: memory does not grow with them.
"""

from __future__ import annotations

import sqlite3
import stat
import struct
from collections.abc import Iterator, Sequence
from itertools import count, groupby
from typing import NamedTuple

from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.digest import DIGEST_BYTES, Digest
from outcrop.cvmfs.entry import ENTRY_COLUMNS, Chunk, SoundRow, algorithm_of
from outcrop.cvmfs.paths import RepositoryPath, join, name, parent, shown
from outcrop.errors import InvalidValue

_WHAT = "the temporary file of what comes in"
_BATCH = 1000
"""How many entries are written at once: more gain nothing."""

_SCHEMA = f"""
CREATE TABLE staged (directory BLOB, name BLOB, tree INTEGER, implied INTEGER, links INTEGER, chunks BLOB,
  {", ".join(f"{column} BLOB" for column in ENTRY_COLUMNS[1:])}, PRIMARY KEY (directory, name)) WITHOUT ROWID
"""
_CHUNK = struct.Struct(f"<QQ{DIGEST_BYTES}s")


class _Row(NamedTuple):
    """A row of the database: where the entry goes and where it is from, then what it is."""

    directory: bytes
    name: bytes
    tree: int
    implied: int
    links: int
    chunks: bytes | None
    mode: int
    size: int
    mtime: int
    mtimens: int | None
    uid: int
    gid: int
    hardlinks: int
    hash: bytes | None
    symlink: bytes
    xattr: bytes | None
    flags: int

    @property
    def says(self) -> tuple[object, ...]:
        """What the entry is."""
        return self[5:]


_PUT = f"INSERT INTO staged VALUES ({', '.join('?' * len(_Row._fields))})"
_REPLACE = _PUT.replace("INSERT", "REPLACE", 1)
_SUBDIRECTORIES = """
CASE WHEN mode & 0xf000 = 0x4000 THEN 2 + (SELECT count(*) FROM staged AS child
  WHERE child.directory = CAST(staged.directory || '/' || staged.name AS BLOB) AND child.mode & 0xf000 = 0x4000)
ELSE hardlinks END
"""
_IN_ORDER = (
    f"SELECT {', '.join(_SUBDIRECTORIES if column == 'hardlinks' else column for column in _Row._fields)} "
    "FROM staged ORDER BY directory, name"
)


class Staged(NamedTuple):
    """One entry that comes in, as a catalog will have it.

    Members of one hard link group have the same `links`, which is 0 for all others. Of an `implied` directory nothing
    is said but that it is there."""

    row: SoundRow
    chunks: tuple[Chunk, ...]
    links: int
    implied: bool

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.row.mode)


class Staging:
    """The entries that come in. Of a path that several trees have, the last tree's counts."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._waiting: dict[tuple[bytes, bytes], _Row] = {}
        self._link_groups = count(1)
        with sqlite_border(_WHAT):
            self._database.execute("PRAGMA journal_mode = MEMORY")
            self._database.execute(_SCHEMA)

    def add(
        self,
        path: RepositoryPath,
        row: SoundRow,
        chunks: Sequence[Chunk] = (),
        *,
        tree: int = 0,
        implied: bool = False,
    ) -> None:
        """Takes the entry `row` at `path` in. An `implied` directory gives way to what is said of it, by any tree.

        InvalidValue, now or when the entries are given back, if the same tree says something else of the path too."""
        packed = b"".join(_CHUNK.pack(one.offset, one.size, one.digest.raw) for one in chunks) if chunks else None
        self._put(_Row(parent(path), name(path), tree, implied, 0, packed, *row[1:]))

    def add_link(self, path: RepositoryPath, target: RepositoryPath, *, tree: int = 0) -> None:
        """Takes a hard link to the entry at `target` in; InvalidValue if the tree has no such file before it."""
        self._flush()
        row = self._stored((parent(target), name(target)))
        if row is None or row.tree != tree or stat.S_ISDIR(row.mode) or path == target:
            problem = f"is a hard link to {shown(target)}, which is no file before it"
            raise InvalidValue(what=shown(path), problem=problem, hint="nothing was published")
        row = row._replace(links=row.links or next(self._link_groups))
        with sqlite_border(_WHAT):
            self._database.execute(_REPLACE, row)
        self._put(row._replace(directory=parent(path), name=name(path), implied=False))

    def _put(self, row: _Row) -> None:
        key = row[:2]
        old = self._waiting.get(key)
        if old is None or _gives_way(old, row):
            self._waiting[key] = row
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _stored(self, key: tuple[bytes, bytes]) -> _Row | None:
        with sqlite_border(_WHAT):
            row = self._database.execute("SELECT * FROM staged WHERE directory = ? AND name = ?", key).fetchone()
        return None if row is None else _Row(*row)

    def _flush(self) -> None:
        rows = [self._waiting[key] for key in sorted(self._waiting)]
        self._waiting.clear()
        with sqlite_border(_WHAT):
            self._database.execute("BEGIN")
            try:
                self._database.executemany(_PUT, rows)
            except sqlite3.IntegrityError:
                # Some path has come in before, which is rare: now one by one.
                self._database.execute("ROLLBACK")
                self._database.execute("BEGIN")
                for row in rows:
                    old = self._stored(row[:2])
                    if old is None or _gives_way(old, row):
                        self._database.execute(_REPLACE, row)
            self._database.execute("COMMIT")

    def get(self, path: RepositoryPath) -> Staged | None:
        """What comes in at `path`, if anything does."""
        key = (parent(path), name(path))
        row = self._waiting.get(key) or self._stored(key)
        return None if row is None else _staged(row)

    def sizes(self) -> dict[RepositoryPath, int]:
        """How many entries come in directly in each directory."""
        self._flush()
        with sqlite_border(_WHAT):
            return dict(self._database.execute("SELECT directory, count(*) FROM staged WHERE name != x'' GROUP BY 1"))

    def has(self, names: Sequence[bytes]) -> bool:
        """Whether anything comes in that has one of these names, in whatever directory."""
        self._flush()
        places = ", ".join("?" * len(names))
        with sqlite_border(_WHAT):
            found = self._database.execute(f"SELECT 1 FROM staged WHERE name IN ({places}) LIMIT 1", names).fetchone()
        return found is not None

    def directories(self) -> Iterator[tuple[RepositoryPath, list[Staged]]]:
        """What comes in, a directory at a time: its path and its entries by name. Parents come before what they hold.

        The link count of a directory is that of one which holds nothing else than what comes in.
        The repository's root, if it comes in, is the one entry without a name, in the directory without a name."""
        self._flush()
        with sqlite_border(_WHAT):
            for directory, group in groupby(self._database.execute(_IN_ORDER), key=lambda row: row[0]):
                yield RepositoryPath(directory), _with_link_counts([_staged(_Row(*row)) for row in group])

    def close(self) -> None:
        self._database.close()


def _with_link_counts(staged: list[Staged]) -> list[Staged]:
    """The entries of one directory. A group spans one directory: a file with no other link in it stands alone."""
    members: dict[int, int] = {}
    for one in staged:
        if one.links:
            members[one.links] = members.get(one.links, 0) + 1
    if not members:
        return staged
    return [_counted(one, members[one.links]) if one.links else one for one in staged]


def _counted(one: Staged, links: int) -> Staged:
    return one._replace(row=one.row._replace(hardlinks=links), links=one.links if links > 1 else 0)


def _gives_way(old: _Row, row: _Row) -> bool:
    """Whether `row` takes the place of `old`; InvalidValue if one tree says both."""
    if row.implied and (old.tree == row.tree or stat.S_ISDIR(old.mode)):
        return False
    if old.tree != row.tree or old.implied:
        return True
    if old.says != row.says:
        raise InvalidValue(
            what=shown(join(row.directory, row.name)),
            problem="stands twice in what comes in, as different things",
            hint="nothing was published; make the archive again with the one that is meant",
        )
    return bool(row.links)


def _staged(row: _Row) -> Staged:
    chunks: tuple[Chunk, ...] = ()
    if row.chunks:
        algorithm = algorithm_of(row.flags)
        pieces = _CHUNK.iter_unpack(row.chunks)
        chunks = tuple(Chunk(offset, size, Digest(algorithm, raw)) for offset, size, raw in pieces)
    return Staged(SoundRow(row.name, *row[6:]), chunks, row.links, bool(row.implied))
