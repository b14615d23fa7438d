"""File catalogs, read: what a directory tree holds, one SQLite database for each part of it.

Schema 2.5 (2.4 is read too), revisions 0 to 7. Rows are keyed by path hashes. A nested catalog begins at a directory
that stands in both databases: marked as mountpoint in the parent, as root in the child. A catalog without `mtimens`
(before revision 7) or `xattr` (before 2) reads as if these were NULL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from outcrop.cvmfs.counters import COUNTER_NAMES, Counters
from outcrop.cvmfs.database import (
    Database,
    digest_value,
    integer_value,
    properties_of,
    sqlite_border,
    text_value,
)
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import ENTRY_COLUMNS, Chunk, Entry, EntryRow, decode_chunk, decode_entry
from outcrop.cvmfs.fields import MAXIMUM_UINT64, MAXIMUM_UNIX_TIME, unsigned
from outcrop.cvmfs.manifest import DEFAULT_TTL_SECONDS
from outcrop.cvmfs.paths import PathHash, RepositoryPath, is_canonical, path_hash
from outcrop.errors import FormatError

SCHEMA = "2.5"
READABLE_SCHEMAS = ("2.4", "2.5")
SCHEMA_REVISION = 7
_NESTED_SIZE_SINCE, _XATTR_SINCE, _BIND_MOUNTPOINTS_SINCE, _ALL_COUNTERS_SINCE, _MTIMENS_SINCE = 1, 2, 4, 5, 7

NULL_DIGEST_TEXT = "0" * 40
"""How the reference publisher writes that there is no previous revision."""


@dataclass(frozen=True, slots=True)
class CatalogProperties:
    """The `properties` table. `root_prefix` is the mountpoint (the root's is empty), times in seconds."""

    schema_revision: int
    revision: int
    last_modified: int
    previous_revision: Digest | None
    root_prefix: RepositoryPath
    ttl: int
    voms_authz: str | None
    volatile: bool


@dataclass(frozen=True, slots=True)
class CatalogReference:
    """Another catalog that a catalog points to: its mountpoint, its object, its size in bytes before compression."""

    path: RepositoryPath
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """An entry with the keys of its row."""

    rowid: int
    path: PathHash
    parent: PathHash
    entry: Entry


class Catalog(Database):
    """One catalog, behind a connection to its database. `what` names it in errors."""

    kind = "a catalog"

    def __init__(self, connection: sqlite3.Connection, what: str = "") -> None:
        super().__init__(connection, what)
        self.properties = _properties(connection, self.what)
        revision = self.properties.schema_revision
        available = [
            "NULL" if (name == "mtimens" and revision < _MTIMENS_SINCE) or (name == "xattr" and revision < _XATTR_SINCE)
            else name
            for name in ENTRY_COLUMNS
        ]  # fmt: skip
        self._columns = ", ".join(available)

    @property
    def columns(self) -> str:
        """`ENTRY_COLUMNS` in SQL, with NULL for those that this revision of the schema lacks."""
        return self._columns

    @property
    def counters(self) -> Counters:
        """The statistics; FormatError if one is missing that this revision of the schema has."""
        with sqlite_border(self.what):
            rows = self.connection.execute("SELECT counter, value FROM statistics").fetchall()
        values = {text_value(name, self.what, "a counter's name"): value for name, value in rows}
        if self.properties.schema_revision >= _ALL_COUNTERS_SINCE:
            for name in (prefix + counter for prefix in ("self_", "subtree_") for counter in COUNTER_NAMES):
                if name not in values:
                    raise FormatError(what=self.what, field=f"the counter {name}", problem="is missing")
        return Counters.parse(values, self.what)

    def lookup(self, path: bytes) -> Entry | None:
        """The entry at `path`, None if this catalog has no such row."""
        with sqlite_border(self.what):
            row = self.connection.execute(
                f"SELECT {self._columns} FROM catalog WHERE md5path_1 = ? AND md5path_2 = ?", path_hash(path)
            ).fetchone()
        return None if row is None else decode_entry(EntryRow(*row), self.what)

    def child_rows(self, path: bytes) -> list[EntryRow]:
        """The rows of the entries directly in the directory `path`, in no order, as they stand there."""
        with sqlite_border(self.what):
            rows = self.connection.execute(
                f"SELECT {self._columns} FROM catalog WHERE parent_1 = ? AND parent_2 = ?", path_hash(path)
            ).fetchall()
        return [EntryRow(*row) for row in rows]

    def children(self, path: bytes) -> list[Entry]:
        """The entries directly in the directory `path`, sorted by name, hidden ones included."""
        entries = sorted((decode_entry(row, self.what) for row in self.child_rows(path)), key=lambda entry: entry.name)
        if entries and not entries[0].name:
            raise FormatError(what=self.what, field=f"the name of an entry in {path!r:.200}", problem="is empty")
        return entries

    def rows(self) -> Iterator[CatalogRow]:
        """Every row, in the order of their numbers."""
        with sqlite_border(self.what):
            cursor = self.connection.execute(
                f"SELECT rowid, md5path_1, md5path_2, parent_1, parent_2, {self._columns} FROM catalog ORDER BY rowid"
            )
            for rowid, path1, path2, parent1, parent2, *columns in cursor:
                if not all(isinstance(key, int) for key in (rowid, path1, path2, parent1, parent2)):
                    raise FormatError(what=self.what, field="the keys of a row", problem="are not numbers")
                entry = decode_entry(EntryRow(*columns), self.what)
                yield CatalogRow(rowid, PathHash(path1, path2), PathHash(parent1, parent2), entry)

    def chunks(self, path: bytes, entry: Entry) -> tuple[Chunk, ...]:
        """The chunks of the chunked file `entry` at `path`: contiguous, from 0 to its size. FormatError otherwise."""
        with sqlite_border(self.what):
            rows = self.connection.execute(
                "SELECT offset, size, hash FROM chunks WHERE md5path_1 = ? AND md5path_2 = ? ORDER BY offset",
                path_hash(path),
            ).fetchall()
        chunks = [decode_chunk(offset, size, raw, entry.algorithm, self.what) for offset, size, raw in rows]
        return self._checked_chunks(chunks, entry)

    def _checked_chunks(self, chunks: list[Chunk], entry: Entry) -> tuple[Chunk, ...]:
        end = 0
        for chunk in chunks:
            if chunk.offset != end:
                raise FormatError(what=self.what, field=f"the chunks of {entry.name!r}", problem=f"have a gap at {end}")
            end += chunk.size
        if end != entry.size:
            raise FormatError(
                what=self.what, field=f"the chunks of {entry.name!r}", problem=f"make {end} bytes of {entry.size}"
            )
        return tuple(chunks)

    def nested_catalogs(self) -> tuple[CatalogReference, ...]:
        """The catalogs nested directly in this one, sorted by mountpoint."""
        return self._references("nested_catalogs", has_size=self.properties.schema_revision >= _NESTED_SIZE_SINCE)

    def nested_catalog(self, path: bytes) -> CatalogReference | None:
        """The catalog nested at exactly `path`, None where there is none."""
        return next((nested for nested in self.nested_catalogs() if nested.path == path), None)

    def bind_mountpoints(self) -> tuple[CatalogReference, ...]:
        """Catalogs of other revisions that show below this one, sorted by mountpoint."""
        if self.properties.schema_revision < _BIND_MOUNTPOINTS_SINCE:
            return ()
        return self._references("bind_mountpoints", has_size=True)

    def _references(self, table: str, *, has_size: bool) -> tuple[CatalogReference, ...]:
        with sqlite_border(self.what):
            rows = self.connection.execute(
                f"SELECT path, sha1, {'coalesce(size, 0)' if has_size else '0'} FROM {table} ORDER BY path"
            ).fetchall()
        references = []
        for path, digest, size in rows:
            if not isinstance(path, bytes) or not path or not is_canonical(path):
                raise FormatError(what=self.what, field=f"a path in {table}", problem=f"is {path!r:.80}")
            references.append(
                CatalogReference(
                    RepositoryPath(path),
                    digest_value(digest, self.what, f"the digest in {table}"),
                    integer_value(size, self.what, f"the size in {table}"),
                )
            )
        return tuple(references)


def _properties(connection: sqlite3.Connection, what: str) -> CatalogProperties:
    values = properties_of(connection, what)
    schema = values.get("schema", "")
    if schema not in READABLE_SCHEMAS:
        raise FormatError(what=what, field="the property schema", problem=f"is {schema!r}, not one of 2.4 and 2.5")

    def number(key: str, default: int, maximum: int = MAXIMUM_UINT64) -> int:
        if key not in values:
            return default
        return unsigned(values[key], what=what, field=f"the property {key}", maximum=maximum)

    root_prefix = values.get("root_prefix", "").encode("utf-8", "surrogateescape")
    if not is_canonical(root_prefix):
        raise FormatError(what=what, field="the property root_prefix", problem=f"is no path: {root_prefix!r:.200}")
    voms_authz = values.get("voms_authz")
    if voms_authz is not None:
        text_value(voms_authz.encode("utf-8", "surrogateescape"), what, "the property voms_authz")

    previous = values.get("previous_revision", "")
    return CatalogProperties(
        schema_revision=number("schema_revision", 0),
        revision=number("revision", 0),
        last_modified=number("last_modified", 0, MAXIMUM_UNIX_TIME),
        previous_revision=(
            None
            if previous in ("", NULL_DIGEST_TEXT)
            else Digest.parse(previous, what=what, field="the property previous_revision")
        ),
        root_prefix=RepositoryPath(root_prefix),
        ttl=number("TTL", DEFAULT_TTL_SECONDS),
        voms_authz=voms_authz,
        volatile=values.get("volatile", "0") == "1",
    )
