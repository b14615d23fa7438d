"""File catalogs, written: rows are changed in place and the statistics follow every change.

`create` makes an empty catalog of schema 2.5, revision 7; `EditableCatalog` also takes an existing one. Row numbers
stay what they are where a row is replaced, since the reference client derives inode numbers from them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from outcrop.cvmfs.catalog import SCHEMA, SCHEMA_REVISION, Catalog, CatalogReference
from outcrop.cvmfs.counters import Counters, Counts, counts_of, counts_of_rows
from outcrop.cvmfs.database import database_to_bytes, set_property, sqlite_border
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import ENTRY_COLUMNS, Chunk, Entry, Mark, SoundRow, encode_entry
from outcrop.cvmfs.paths import is_below, join, parent_hash, path_hash
from outcrop.errors import FormatError

PAGE_BYTES = 1024
"""The reference's page size: most catalogs are small, and an empty one has a dozen pages."""

MAXIMUM_FREE_PAGES_SHARE = 0.2
MAXIMUM_ROW_NUMBER_WASTE = 0.25
"""The reference compacts a catalog beyond these shares of unused pages and unused row numbers."""

_SCHEMA_SQL = """
CREATE TABLE properties (key TEXT, value TEXT, CONSTRAINT pk_properties PRIMARY KEY (key));
CREATE TABLE catalog (md5path_1 INTEGER, md5path_2 INTEGER, parent_1 INTEGER, parent_2 INTEGER, hardlinks INTEGER,
  hash BLOB, size INTEGER, mode INTEGER, mtime INTEGER, mtimens INTEGER, flags INTEGER, name TEXT, symlink TEXT,
  uid INTEGER, gid INTEGER, xattr BLOB, CONSTRAINT pk_catalog PRIMARY KEY (md5path_1, md5path_2));
CREATE INDEX idx_catalog_parent ON catalog (parent_1, parent_2);
CREATE TABLE chunks (md5path_1 INTEGER, md5path_2 INTEGER, offset INTEGER, size INTEGER, hash BLOB,
  CONSTRAINT pk_chunks PRIMARY KEY (md5path_1, md5path_2, offset, size),
  FOREIGN KEY (md5path_1, md5path_2) REFERENCES catalog(md5path_1, md5path_2));
CREATE TABLE nested_catalogs (path TEXT, sha1 TEXT, size INTEGER, CONSTRAINT pk_nested_catalogs PRIMARY KEY (path));
CREATE TABLE bind_mountpoints (path TEXT, sha1 TEXT, size INTEGER, CONSTRAINT pk_bind_mountpoints PRIMARY KEY (path));
CREATE TABLE statistics (counter TEXT, value INTEGER, CONSTRAINT pk_statistics PRIMARY KEY (counter));
"""

_TEXT_COLUMNS = ("name", "symlink")
_PLACES = [f"CAST(:{column} AS TEXT)" if column in _TEXT_COLUMNS else f":{column}" for column in ENTRY_COLUMNS]
_UPDATE = (
    f"UPDATE catalog SET {', '.join(f'{c} = {p}' for c, p in zip(ENTRY_COLUMNS, _PLACES, strict=True))} "
    "WHERE md5path_1 = :path1 AND md5path_2 = :path2"
)
_INSERT = (
    f"INSERT INTO catalog (md5path_1, md5path_2, parent_1, parent_2, {', '.join(ENTRY_COLUMNS)}) "
    f"VALUES (:path1, :path2, :parent1, :parent2, {', '.join(_PLACES)})"
)
_INSERT_ROW = (
    f"INSERT INTO catalog (md5path_1, md5path_2, parent_1, parent_2, {', '.join(ENTRY_COLUMNS)}) "
    f"VALUES (?, ?, ?, ?, {', '.join('CAST(? AS TEXT)' if c in _TEXT_COLUMNS else '?' for c in ENTRY_COLUMNS)})"
)
_INSERT_CHUNK = "INSERT INTO chunks (md5path_1, md5path_2, offset, size, hash) VALUES (?, ?, ?, ?, ?)"
_COLLECT_BELOW = """
INSERT INTO temp.below WITH RECURSIVE found (path1, path2) AS (
  SELECT md5path_1, md5path_2 FROM catalog WHERE parent_1 = ?1 AND parent_2 = ?2
  UNION SELECT md5path_1, md5path_2 FROM catalog, found WHERE parent_1 = path1 AND parent_2 = path2)
SELECT path1, path2 FROM found
"""
_BELOW = "(md5path_1, md5path_2) IN (SELECT path1, path2 FROM temp.below)"

_KIND, _REGULAR, _LINK, _DIRECTORY = "mode & 0xf000", "mode & 0xf000 = 0x8000", "mode & 0xf000 = 0xa000", "0x4000"
_CHUNKED_FILE, _EXTERNAL_FILE = f"{_REGULAR} AND flags & 64", f"{_REGULAR} AND flags & 128"
_SQL_OF_COUNTER = {
    "regular": f"coalesce(sum({_REGULAR}), 0)",
    "symlink": f"coalesce(sum({_LINK}), 0)",
    "special": f"coalesce(sum({_KIND} NOT IN ({_DIRECTORY}, 0x8000, 0xa000)), 0)",
    "dir": f"coalesce(sum({_KIND} = {_DIRECTORY}), 0)",
    "chunked": f"coalesce(sum({_CHUNKED_FILE}), 0)",
    "file_size": f"coalesce(sum(size) FILTER (WHERE {_REGULAR}), 0)",
    "chunked_size": f"coalesce(sum(size) FILTER (WHERE {_CHUNKED_FILE}), 0)",
    "xattr": "count(xattr)",
    "external": f"coalesce(sum({_EXTERNAL_FILE}), 0)",
    "external_file_size": f"coalesce(sum(size) FILTER (WHERE {_EXTERNAL_FILE}), 0)",
}
"""What rows add to each counter, as `counters.counts_of` says it of one entry."""


class NewEntry(NamedTuple):
    """An entry about to be written, with its chunks."""

    row: SoundRow
    chunks: tuple[Chunk, ...] = ()


class CollectedRows(NamedTuple):
    """How many rows were found, and what they count."""

    rows: int
    counts: Counts


class EditableCatalog(Catalog):
    """A catalog open for change. `path` is where it is mounted; nothing is durable before `finish`."""

    def __init__(self, connection: sqlite3.Connection, what: str = "") -> None:
        super().__init__(connection, what)
        counters = self.counters
        self.own = counters.own
        self.subtree = counters.subtree
        with sqlite_border(self.what):
            connection.execute("BEGIN")
            revision = max(self.properties.schema_revision, SCHEMA_REVISION)
            _bring_up_to_date(connection, revision)
        self.properties = replace(self.properties, schema_revision=revision)
        self._columns = ", ".join(ENTRY_COLUMNS)

    @classmethod
    def create(
        cls, connection: sqlite3.Connection, path: bytes, root: Entry, what: str = "a catalog"
    ) -> EditableCatalog:
        """A new catalog mounted at `path`, whose only row is `root`."""
        with sqlite_border(what):
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.executescript(_SCHEMA_SQL)
            for key, value in {"schema": SCHEMA, "schema_revision": str(SCHEMA_REVISION), "revision": "0"}.items():
                set_property(connection, key, value)
            if path:
                connection.execute(
                    "INSERT INTO properties (key, value) VALUES ('root_prefix', CAST(? AS TEXT))", (path,)
                )
            connection.executemany("INSERT INTO statistics VALUES (?, ?)", Counters(Counts(), Counts()).rows())
        catalog = cls(connection, what)
        catalog.put(path, root)
        return catalog

    def put(self, path: bytes, entry: Entry, chunks: Sequence[Chunk] = ()) -> None:
        """Writes the row of `path`, in the place of the one that is there."""
        path1, path2 = path_hash(path)
        parent1, parent2 = parent_hash(path)
        values = {
            **encode_entry(entry)._asdict(),
            "path1": path1,
            "path2": path2,
            "parent1": parent1,
            "parent2": parent2,
        }
        with sqlite_border(self.what):
            old = self.lookup(path)
            if old is None:
                self.connection.execute(_INSERT, values)
            else:
                self.own -= counts_of(old, self._drop_chunks(path) if old.is_chunked else 0)
                self.connection.execute(_UPDATE, values)
            self.connection.executemany(
                _INSERT_CHUNK, [(path1, path2, chunk.offset, chunk.size, chunk.digest.raw) for chunk in chunks]
            )
        self.own += counts_of(entry, len(chunks))

    def add(self, directory: bytes, entries: Sequence[NewEntry]) -> None:
        """Writes rows for `entries`, none of which may be there, into `directory`: many at a time, without look-ups."""
        parent1, parent2 = path_hash(directory)
        rows: list[tuple[object, ...]] = []
        chunks: list[tuple[object, ...]] = []
        for row, own_chunks in entries:
            path1, path2 = path_hash(join(directory, row.name))
            rows.append((path1, path2, parent1, parent2, *row))
            chunks += [(path1, path2, chunk.offset, chunk.size, chunk.digest.raw) for chunk in own_chunks]
        with sqlite_border(self.what):
            self.connection.executemany(_INSERT_ROW, rows)
            if chunks:
                self.connection.executemany(_INSERT_CHUNK, chunks)
        self.own += counts_of_rows((row.mode, row.size, row.flags, row.xattr, len(pieces)) for row, pieces in entries)

    def remove_below(self, path: bytes) -> int:
        """Takes out every row below the directory `path`, where no catalog is nested; gives how many these were."""
        with self._collected_below(path) as (rows, counts):
            self._delete_collected()
        self.own -= counts
        return rows

    def move_below(self, path: bytes, other: EditableCatalog) -> int:
        """Moves every row below the directory `path`, which both have, into `other`; gives how many these were."""
        columns = f"md5path_1, md5path_2, parent_1, parent_2, {', '.join(ENTRY_COLUMNS)}"
        with self._collected_below(path) as (rows, counts), sqlite_border(other.what):
            # Numbers of hard link groups are unique within one catalog only.
            self.connection.execute(
                f"UPDATE catalog SET hardlinks = hardlinks + (? << 32) WHERE hardlinks >> 32 AND {_BELOW}",
                (other.highest_hardlink_group(),),
            )
            moving = self.connection.execute(f"SELECT {columns} FROM catalog WHERE {_BELOW} ORDER BY rowid")
            other.connection.executemany(_INSERT_ROW, moving)
            chunks = self.connection.execute(
                f"SELECT md5path_1, md5path_2, offset, size, hash FROM chunks WHERE {_BELOW}"
            )
            other.connection.executemany(_INSERT_CHUNK, chunks)
            self._delete_collected()
        self.own -= counts
        other.own += counts
        return rows

    @contextmanager
    def _collected_below(self, path: bytes) -> Iterator[CollectedRows]:
        """The keys of all rows below `path` are in the table `temp.below` for the block; gives what they count."""
        with sqlite_border(self.what):
            self.connection.execute("CREATE TEMP TABLE below (path1, path2, PRIMARY KEY (path1, path2)) WITHOUT ROWID")
            try:
                self.connection.execute(_COLLECT_BELOW, path_hash(path))
                yield self._count_collected()
            finally:
                self.connection.execute("DROP TABLE temp.below")

    def _count_collected(self) -> CollectedRows:
        (chunks,) = self.connection.execute(f"SELECT count(*) FROM chunks WHERE {_BELOW}").fetchone()
        row = self.connection.execute(
            f"SELECT count(*), {', '.join(_SQL_OF_COUNTER.values())} FROM catalog WHERE {_BELOW}"
        ).fetchone()
        counts = Counts(**dict(zip(_SQL_OF_COUNTER, row[1:], strict=True)), chunks=chunks)
        return CollectedRows(row[0], counts)

    def _delete_collected(self) -> None:
        self.connection.execute(f"DELETE FROM chunks WHERE {_BELOW}")
        self.connection.execute(f"DELETE FROM catalog WHERE {_BELOW}")

    def remove(self, path: bytes) -> None:
        """Takes the row of `path` out; what lies below it must be gone already."""
        old = self.lookup(path)
        if old is None:
            raise FormatError(what=self.what, field=f"the row of {path!r}", problem="is missing")
        with sqlite_border(self.what):
            self.own -= counts_of(old, self._drop_chunks(path) if old.is_chunked else 0)
            self.connection.execute("DELETE FROM catalog WHERE md5path_1 = ? AND md5path_2 = ?", path_hash(path))

    def _drop_chunks(self, path: bytes) -> int:
        cursor = self.connection.execute("DELETE FROM chunks WHERE md5path_1 = ? AND md5path_2 = ?", path_hash(path))
        return cursor.rowcount

    def below(self, path: bytes) -> Iterator[tuple[bytes, Entry]]:
        """Every entry of this catalog below the directory `path`, with its path, parents before children."""
        pending = [path]
        while pending:
            directory = pending.pop()
            for entry in self.children(directory):
                child = join(directory, entry.name)
                yield child, entry
                if entry.is_directory:
                    pending.append(child)

    def set_nested(self, reference: CatalogReference) -> None:
        """Points to the catalog at `reference.path`, in the place of an older reference to it."""
        self.forget_nested(reference.path)
        with sqlite_border(self.what):
            self.connection.execute(
                "INSERT INTO nested_catalogs (path, sha1, size) VALUES (CAST(? AS TEXT), ?, ?)",
                (reference.path, reference.digest.text, reference.size),
            )
        self.own += Counts(nested=1)

    def forget_nested(self, path: bytes) -> None:
        """Takes the reference to the catalog at `path` out, if there is one."""
        with sqlite_border(self.what):
            cursor = self.connection.execute("DELETE FROM nested_catalogs WHERE path = CAST(? AS TEXT)", (path,))
        self.own -= Counts(nested=cursor.rowcount)

    def forget_bind_mountpoints(self, path: bytes) -> None:
        """Takes the bind mountpoints at and below `path` out."""
        with sqlite_border(self.what):
            self.connection.execute(
                "DELETE FROM bind_mountpoints WHERE CAST(path AS BLOB) = ?1 OR substr(CAST(path AS BLOB), 1, ?2) = ?3",
                (path, len(path) + 1, path + b"/"),
            )

    def move_bind_mountpoints(self, path: bytes, other: EditableCatalog) -> None:
        """Moves the bind mountpoints at and below `path` into `other`."""
        for reference in self.bind_mountpoints():
            if is_below(reference.path, path):
                with sqlite_border(other.what):
                    other.connection.execute(
                        "INSERT INTO bind_mountpoints (path, sha1, size) VALUES (CAST(? AS TEXT), ?, ?)",
                        (reference.path, reference.digest.text, reference.size),
                    )
        self.forget_bind_mountpoints(path)

    def subdirectories(self, path: bytes) -> int:
        """How many directories lie directly in `path`."""
        with sqlite_border(self.what):
            row = self.connection.execute(
                "SELECT count(*) FROM catalog WHERE parent_1 = ? AND parent_2 = ? AND flags & 1", path_hash(path)
            ).fetchone()
        return int(row[0])

    def hardlink_members(self, directory: bytes, group: int) -> list[Entry]:
        """The members of a hard link group, which all lie in `directory`."""
        return [entry for entry in self.children(directory) if entry.hardlink_group == group]

    def highest_hardlink_group(self) -> int:
        """The greatest group number in use, 0 if there is none."""
        with sqlite_border(self.what):
            row = self.connection.execute("SELECT coalesce(max(hardlinks >> 32), 0) FROM catalog").fetchone()
        return int(row[0])

    def parked(self) -> bytes:
        """The database as it is now, to go on with later by `parse`; this object must not be used any more."""
        with sqlite_border(self.what):
            self._write_statistics()
            self.connection.execute("COMMIT")
        return database_to_bytes(self.connection)

    def _write_statistics(self) -> None:
        self.connection.executemany(
            "INSERT OR REPLACE INTO statistics (counter, value) VALUES (?, ?)",
            Counters(self.own, self.subtree).rows(),
        )

    def finish(self, *, revision: int, now: int, previous: Digest | None, ttl: int | None = None) -> None:
        """Writes properties and statistics, compacts where it pays, and ends the change. `ttl` is for the root."""
        with sqlite_border(self.what):
            set_property(self.connection, "revision", str(revision))
            set_property(self.connection, "last_modified", str(now))
            set_property(self.connection, "previous_revision", previous.text if previous else "")
            if ttl is not None:
                set_property(self.connection, "TTL", str(ttl))
            self._write_statistics()
            renumbers = self._wastes_row_numbers()
            if renumbers:
                self._renumber_rows()
            self.connection.execute("COMMIT")
            if renumbers or self._wastes_pages():
                self.connection.execute("VACUUM")

    def _wastes_row_numbers(self) -> bool:
        rows, highest = self.connection.execute("SELECT count(*), coalesce(max(rowid), 0) FROM catalog").fetchone()
        return bool(highest - rows > MAXIMUM_ROW_NUMBER_WASTE * highest)

    def _renumber_rows(self) -> None:
        """Gives the rows the numbers from 1 on, in the order that they have. (VACUUM keeps those of indexed tables.)"""
        numbers = self.connection.execute("SELECT rowid FROM catalog ORDER BY rowid").fetchall()
        self.connection.executemany(
            "UPDATE catalog SET rowid = ? WHERE rowid = ?",
            [(new, old) for new, (old,) in enumerate(numbers, start=1) if new != old],
        )

    def _wastes_pages(self) -> bool:
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        (free,) = self.connection.execute("PRAGMA freelist_count").fetchone()
        return bool(free > MAXIMUM_FREE_PAGES_SHARE * pages)


def nested_root(entry: Entry) -> Entry:
    """`entry`, a directory, as the first row of the catalog nested there."""
    return replace(entry, marks=entry.marks & ~Mark.NESTED_MOUNTPOINT | Mark.NESTED_ROOT)


def nested_mountpoint(entry: Entry) -> Entry:
    """`entry`, a directory, as the row of the parent that leads into a nested catalog."""
    return replace(entry, marks=entry.marks & ~Mark.NESTED_ROOT | Mark.NESTED_MOUNTPOINT)


def plain_directory(entry: Entry) -> Entry:
    """`entry`, a directory, as the row of a catalog that holds its children itself."""
    return replace(entry, marks=entry.marks & ~(Mark.NESTED_ROOT | Mark.NESTED_MOUNTPOINT))


_ADDED_COLUMNS = (
    ("nested_catalogs", "size", "INTEGER"),
    ("catalog", "xattr", "BLOB"),
    ("catalog", "mtimens", "INTEGER"),
)
"""What revisions 1, 2 and 7 of the schema added. (Revision 4 added a table.)"""


def _bring_up_to_date(connection: sqlite3.Connection, revision: int) -> None:
    """Adds what is not there. The stated revision alone does not tell: tables may have more than it demands."""
    for table, column, affinity in _ADDED_COLUMNS:
        columns = {row[1].lower() for row in connection.execute(f"PRAGMA table_info({table})")}
        if column.encode() not in columns:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {affinity}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS bind_mountpoints (path TEXT, sha1 TEXT, size INTEGER, "
        "CONSTRAINT pk_bind_mountpoints PRIMARY KEY (path))"
    )
    set_property(connection, "schema", SCHEMA)
    set_property(connection, "schema_revision", str(revision))
