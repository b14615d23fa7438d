"""One file catalog, decoded row by row (section 3)."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .database import Database, Table, Text, Value
from .digests import DIGEST_BYTES, Algorithm, Digest, PathHash, decimal, path_hash
from .findings import Violation

DIRECTORY = 1
NESTED_MOUNTPOINT = 2
FILE = 4
SYMLINK = 8
SPECIAL = 16
NESTED_ROOT = 32
CHUNKED = 64
EXTERNAL = 128
BIND_MOUNTPOINT = 0x4000
HIDDEN = 0x8000
DIRECT_IO = 0x10000
ALGORITHM_SHIFT, COMPRESSION_SHIFT = 8, 11
THREE_BITS = 0b111
KNOWN_FLAGS = 0x1FFFF
UNCOMPRESSED = 1

MTIMENS_SINCE = 7
"""Schema revision from which the column mtimens must be there."""

TABLES = (
    Table("properties", (("key", "TEXT"), ("value", "TEXT")), ("key",)),
    Table(
        "catalog",
        (
            *((name, "INTEGER") for name in ("md5path_1", "md5path_2", "parent_1", "parent_2", "hardlinks")),
            ("hash", "BLOB"),
            *((name, "INTEGER") for name in ("size", "mode", "mtime", "mtimens", "flags")),
            ("name", "TEXT"),
            ("symlink", "TEXT"),
            ("uid", "INTEGER"),
            ("gid", "INTEGER"),
            ("xattr", "BLOB"),
        ),
        ("md5path_1", "md5path_2"),
        optional=frozenset({"mtimens"}),
    ),
    Table(
        "chunks",
        (*((name, "INTEGER") for name in ("md5path_1", "md5path_2", "offset", "size")), ("hash", "BLOB")),
        ("md5path_1", "md5path_2", "offset", "size"),
    ),
    Table("nested_catalogs", (("path", "TEXT"), ("sha1", "TEXT"), ("size", "INTEGER")), ("path",)),
    Table("bind_mountpoints", (("path", "TEXT"), ("sha1", "TEXT"), ("size", "INTEGER")), ("path",)),
    Table("statistics", (("counter", "TEXT"), ("value", "INTEGER")), ("counter",)),
)

_NUMBERS = (
    "md5path_1",
    "md5path_2",
    "parent_1",
    "parent_2",
    "hardlinks",
    "size",
    "mode",
    "mtime",
    "flags",
    "uid",
    "gid",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A directory entry. What the database holds in a wrong type is 0 or empty here and reported on its own."""

    rowid: int
    hash: PathHash
    parent: PathHash
    hardlinks: int
    digest: bytes | None
    size: int
    mode: int
    mtime: int
    mtimens: int | None
    flags: int
    name: bytes
    symlink: bytes
    uid: int
    gid: int
    xattr: bytes | None

    @property
    def link_group(self) -> int:
        return self.hardlinks >> 32

    @property
    def link_count(self) -> int:
        return self.hardlinks & 0xFFFFFFFF

    @property
    def is_directory(self) -> bool:
        return bool(self.flags & DIRECTORY)

    @property
    def is_symlink(self) -> bool:
        return bool(self.flags & SYMLINK)

    @property
    def is_special(self) -> bool:
        return bool(self.flags & SPECIAL)

    @property
    def is_regular(self) -> bool:
        return bool(self.flags & FILE) and not self.is_symlink and not self.is_special

    @property
    def is_chunked(self) -> bool:
        return bool(self.flags & CHUNKED)

    @property
    def is_external(self) -> bool:
        return bool(self.flags & EXTERNAL)

    @property
    def is_device(self) -> bool:
        return stat.S_ISCHR(self.mode) or stat.S_ISBLK(self.mode)

    @property
    def algorithm(self) -> Algorithm | None:
        """Nothing for a number that names no algorithm."""
        code = self.flags >> ALGORITHM_SHIFT & THREE_BITS
        return next((algorithm for algorithm in Algorithm if algorithm.code == code), None)

    @property
    def compression(self) -> int:
        return self.flags >> COMPRESSION_SHIFT & THREE_BITS

    @property
    def metadata(self) -> Row:
        """The row without its place and name: what members of a hard-link group share."""
        return replace(self, rowid=0, hash=PathHash((0, 0)), parent=PathHash((0, 0)), name=b"")

    def object_digest(self, raw: bytes | None) -> Digest | None:
        """A raw digest of this entry with the algorithm of its flags; nothing where either is unusable."""
        if raw is None or len(raw) != DIGEST_BYTES or self.algorithm is None:
            return None
        return Digest(self.algorithm, raw.hex())


@dataclass(frozen=True, slots=True)
class Chunk:
    offset: int
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Reference:
    """A row of nested_catalogs or bind_mountpoints."""

    path: bytes
    digest_text: str
    size: int | None


@dataclass(slots=True)
class Catalog:
    """A decoded catalog; `misread` are the violations found while decoding it."""

    where: str
    mountpoint: bytes
    stored_as: Digest
    database: Database
    properties: dict[str, Value]
    statistics: dict[str, Value]
    rows: list[Row]
    chunks: dict[PathHash, list[Chunk]]
    nested: list[Reference]
    bound: list[Reference]
    misread: list[Violation]
    paths: dict[PathHash, bytes] = field(default_factory=dict)
    children: dict[PathHash, list[Row]] = field(default_factory=dict)

    @property
    def root_row(self) -> Row | None:
        root = path_hash(self.mountpoint)
        return next((row for row in self.rows if row.hash == root), None)

    def text_property(self, key: str) -> str | None:
        value = self.properties.get(key)
        return value.shown if isinstance(value, Text) else None

    def number_property(self, key: str) -> int | None:
        return decimal(self.text_property(key))

    def path_of(self, row: Row) -> bytes:
        """The row's path, or its name behind a question mark where no way leads to it from the root."""
        return self.paths.get(row.hash, b"?/" + row.name)

    def place(self, row: Row) -> str:
        return f"{self.where} {self.path_of(row).decode('utf-8', 'backslashreplace') or '/'}"


def decode_catalog(where: str, mountpoint: bytes, stored_as: Digest, database: Database) -> Catalog:
    """A catalog with all its rows, and paths for those that can be reached from its root by name.

    Raises sqlite3.Error where a table cannot be read at all.
    """
    misread: list[Violation] = []
    rows = list(_rows(database, misread)) if database.columns("catalog") else []
    catalog = Catalog(
        where,
        mountpoint,
        stored_as,
        database,
        database.pairs("properties", "key", "value"),
        database.pairs("statistics", "counter", "value"),
        rows,
        _chunks(database, misread) if database.columns("chunks") else {},
        _references(database, "nested_catalogs", misread),
        _references(database, "bind_mountpoints", misread),
        misread,
    )
    for row in rows:
        catalog.children.setdefault(row.parent, []).append(row)
    root = path_hash(mountpoint)
    catalog.paths[root] = mountpoint
    pending = [root]
    while pending:
        parent = pending.pop()
        for row in catalog.children.get(parent, ()):
            if row.hash not in catalog.paths:
                catalog.paths[row.hash] = catalog.paths[parent] + b"/" + row.name
                pending.append(row.hash)
    return catalog


def _rows(database: Database, misread: list[Violation]) -> Iterator[Row]:
    has_mtimens = "mtimens" in {name for name, _, _ in database.columns("catalog")}
    nanoseconds = "mtimens" if has_mtimens else "NULL"
    columns = f"rowid, {', '.join(_NUMBERS)}, hash, {nanoseconds}, name, symlink, xattr"
    for rowid, *values in database.rows(f"SELECT {columns} FROM catalog ORDER BY rowid"):
        numbers = dict(zip(_NUMBERS, values, strict=False))
        digest, mtimens, name, symlink, xattr = values[len(_NUMBERS) :]
        where = f"{database.where} row {rowid!r}"
        for column, number in numbers.items():
            if not isinstance(number, int):
                misread.append(Violation("3.types", where, f"{column} is {number!r} and no integer"))
                numbers[column] = 0
        for column, text in (("name", name), ("symlink", symlink)):
            if text is None:
                misread.append(Violation("16.2", where, f"{column} is NULL"))
            elif not isinstance(text, Text):
                misread.append(Violation("3.types", where, f"{column} is {text!r} and no text"))
        for column, blob in (("hash", digest), ("xattr", xattr)):
            if blob is not None and (not isinstance(blob, bytes) or isinstance(blob, Text)):
                misread.append(Violation("3.types", where, f"{column} is {blob!r} and no blob"))
        if mtimens is not None and not isinstance(mtimens, int):
            misread.append(Violation("3.types", where, f"mtimens is {mtimens!r} and no integer"))
        whole = {column: number for column, number in numbers.items() if isinstance(number, int)}
        yield Row(
            rowid if isinstance(rowid, int) else 0,
            PathHash((whole["md5path_1"], whole["md5path_2"])),
            PathHash((whole["parent_1"], whole["parent_2"])),
            whole["hardlinks"],
            _blob(digest),
            whole["size"],
            whole["mode"],
            whole["mtime"],
            mtimens if isinstance(mtimens, int) else None,
            whole["flags"],
            _blob(name) or b"",
            _blob(symlink) or b"",
            whole["uid"],
            whole["gid"],
            _blob(xattr),
        )


def _chunks(database: Database, misread: list[Violation]) -> dict[PathHash, list[Chunk]]:
    chunks: dict[PathHash, list[Chunk]] = {}
    query = "SELECT md5path_1, md5path_2, offset, size, hash FROM chunks ORDER BY md5path_1, md5path_2, offset, size"
    for first, second, offset, size, digest in database.rows(query):
        where = f"{database.where} chunk at {offset!r}"
        if not (
            isinstance(first, int) and isinstance(second, int) and isinstance(offset, int) and isinstance(size, int)
        ):
            misread.append(Violation("3.types", where, "path hash, offset and size are not all integers"))
        elif not isinstance(digest, bytes) or isinstance(digest, Text):
            misread.append(Violation("3.types", where, f"hash is {digest!r} and no blob"))
        else:
            chunks.setdefault(PathHash((first, second)), []).append(Chunk(offset, size, digest))
    return chunks


def _references(database: Database, table: str, misread: list[Violation]) -> list[Reference]:
    if not database.columns(table):
        return []
    references = []
    for path, digest, size in database.rows(f"SELECT path, sha1, size FROM {table} ORDER BY path"):
        if not isinstance(path, Text) or not isinstance(digest, Text):
            misread.append(Violation("3.types", database.where, f"{table}: {path!r}, {digest!r} are not both texts"))
            continue
        if size is not None and not isinstance(size, int):
            misread.append(Violation("3.types", database.where, f"{table}: size {size!r} is no integer"))
        references.append(Reference(bytes(path), digest.shown, size if isinstance(size, int) else None))
    return references


def _blob(value: Value) -> bytes | None:
    return bytes(value) if isinstance(value, bytes) else None
