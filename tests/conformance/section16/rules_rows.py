"""Rules for a catalog's tables, properties and single rows (section 3)."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from . import catalog as c
from .catalog import Row
from .database import Text, check_tables
from .digests import DIGEST_BYTES, PathHash, path_hash
from .findings import Violation, shown, warning
from .inspection import Inspection

_SCHEMA = "2.5"
_SCHEMA_REVISIONS = (6, 7)
_PARENT_INDEX = ("idx_catalog_parent", ["parent_1", "parent_2"])

_NAME_LIMIT = 255
"""Bytes of a file name (NAME_MAX)."""
_UNSIGNED_32 = 1 << 32
_NANOSECONDS = 1_000_000_000
_XATTR_VERSION = 1
_XATTR_LENGTHS = 2
"""Bytes for the lengths of key and value before each attribute, and for version and count before the first."""

_ROWID_WASTE = 0.25
"""Share of unused row numbers above which the stock publisher rewrites a catalog; inodes are row numbers."""
_ROOT_ENTRIES, _NESTED_ENTRIES = 200_000, 500_000
_FILE_BYTES = 1 << 30
"""Limits at which the stock publisher warns."""

_FILE_TYPES = {
    "directory": (stat.S_IFDIR,),
    "regular file": (stat.S_IFREG,),
    "symbolic link": (stat.S_IFLNK,),
    "special file": (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK),
}


def section_3_types(repository: Inspection) -> Iterator[Violation]:
    """Every column holds its own type: integers, texts, 20-byte digests, unsigned owners, nanoseconds below 10^9."""
    for catalog in repository.catalogs.values():
        yield from (violation for violation in catalog.misread if violation.rule == "3.types")
        for row in catalog.rows:
            for problem in _values(row):
                yield Violation("3.types", catalog.place(row), problem)


def _values(row: Row) -> Iterator[str]:
    if row.digest is not None and len(row.digest) != DIGEST_BYTES:
        yield f"hash of {len(row.digest)} bytes"
    if row.digest is not None and not row.is_regular:
        yield "only regular files have a hash"
    if row.size < 0:
        yield f"size {row.size}"
    if row.mtimens is not None and not 0 <= row.mtimens < _NANOSECONDS:
        yield f"mtimens {row.mtimens}"
    for name, number in (("uid", row.uid), ("gid", row.gid), ("mode", row.mode)):
        if not 0 <= number < _UNSIGNED_32:
            yield f"{name} {number} is no unsigned 32-bit number"
    if b"\x00" in row.symlink:
        yield "symlink contains NUL"
    if row.symlink and not row.is_symlink:
        yield f"symlink {row.symlink!r} on what is no symbolic link"


def section_3_schema(repository: Inspection) -> Iterator[Violation]:
    """All six tables are there with their columns in order, their keys, and the index over the parent's path hash."""
    for catalog in repository.catalogs.values():
        database = catalog.database
        yield from check_tables("3.schema", database, c.TABLES)
        name, columns = _PARENT_INDEX
        indexed = [row[2] for row in database.rows(f"PRAGMA index_info({name})")]
        if [column.decode() if isinstance(column, bytes) else column for column in indexed] != columns:
            yield Violation("3.schema", catalog.where, f"no index {name} on {', '.join(columns)}")
        if not any(row[2] == b"catalog" for row in database.rows("PRAGMA foreign_key_list(chunks)")):
            yield Violation("3.schema", catalog.where, "chunks has no foreign key to catalog")


def section_3_properties(repository: Inspection) -> Iterator[Violation]:
    """The properties name a schema that clients read, a revision, a time, and the mountpoint of a nested catalog."""
    for catalog in repository.catalogs.values():
        where = catalog.where
        for key, value in catalog.properties.items():
            if not isinstance(value, Text):
                yield Violation("3.properties", where, f"{key} is {value!r} and no text")
        if catalog.text_property("schema") != _SCHEMA:
            yield Violation("3.properties", where, f"schema {catalog.text_property('schema')!r} is not {_SCHEMA!r}")
        if catalog.number_property("schema_revision") not in _SCHEMA_REVISIONS:
            found = catalog.text_property("schema_revision")
            yield Violation("3.properties", where, f"schema_revision {found!r} is none of {_SCHEMA_REVISIONS}")
        for key in ("revision", "last_modified"):
            if catalog.number_property(key) is None:
                yield Violation("3.properties", where, f"{key} {catalog.text_property(key)!r} is no unsigned number")
        if "TTL" in catalog.properties and catalog.number_property("TTL") is None:
            yield Violation("3.properties", where, f"TTL {catalog.text_property('TTL')!r} is no unsigned number")
        prefix = catalog.properties.get("root_prefix", b"")
        if prefix != catalog.mountpoint:
            yield Violation("3.properties", where, f"root_prefix {prefix!r} is not {catalog.mountpoint!r}")


def section_3_path(repository: Inspection) -> Iterator[Violation]:
    """Every row is reached from the catalog's root by names, and its path hash is the MD5 of the path so found.

    Names are single, non-empty path components, each once in a directory; only directories have entries.
    """
    for catalog in repository.catalogs.values():
        rows = {row.hash: row for row in catalog.rows}
        root = path_hash(catalog.mountpoint)
        seen: set[tuple[PathHash, bytes]] = set()
        for row in catalog.rows:
            where = catalog.place(row)
            if row.hash == root:
                continue
            if row.hash not in catalog.paths:
                yield Violation("3.path", where, f"row {row.rowid} hangs below no directory of the catalog")
            elif path_hash(catalog.paths[row.hash]) != row.hash:
                yield Violation("3.path", where, f"path hash {row.hash} is not that of the path")
            elif row.parent in rows and not rows[row.parent].is_directory:
                yield Violation("3.path", where, "its parent is no directory")
            for problem in _name(row.name):
                yield Violation("3.path", where, problem)
            if (row.parent, row.name) in seen:
                yield Violation("3.path", where, "its directory has another entry of that name")
            seen.add((row.parent, row.name))


def _name(name: bytes) -> Iterator[str]:
    if not name:
        yield "empty name"
    if name in (b".", b".."):
        yield f"name {name!r}"
    if b"/" in name or b"\x00" in name:
        yield f"name {name!r} contains a slash or NUL"
    if len(name) > _NAME_LIMIT:
        yield f"name of {len(name)} bytes"


def section_3_flags(repository: Inspection) -> Iterator[Violation]:
    """The flags name one file type, which the mode confirms, and add only what goes with that type.

    The algorithm is a known one and given only with a hash or chunks; compression is zlib or none; compression,
    chunks, external data and direct I/O belong to regular files.
    """
    for catalog in repository.catalogs.values():
        for row in catalog.rows:
            for problem in _flags(row):
                yield Violation("3.flags", catalog.place(row), f"flags {row.flags:#x}, mode {row.mode:o}: {problem}")


def _flags(row: Row) -> Iterator[str]:
    if row.flags & ~c.KNOWN_FLAGS:
        yield "unknown bits"
    if row.is_directory == bool(row.flags & c.FILE):
        yield "neither or both of directory and file"
    if row.flags & (c.SYMLINK | c.SPECIAL) and not row.flags & c.FILE:
        yield "symbolic links and special files carry the file bit too"
    if row.is_symlink and row.is_special:
        yield "both symbolic link and special file"
    kind = _kind(row)
    if stat.S_IFMT(row.mode) not in _FILE_TYPES[kind]:
        yield f"the mode is not that of a {kind}"
    if not row.is_directory and row.flags & (c.NESTED_MOUNTPOINT | c.NESTED_ROOT | c.BIND_MOUNTPOINT):
        yield "only directories are mountpoints"
    if bin(row.flags & (c.NESTED_MOUNTPOINT | c.NESTED_ROOT | c.BIND_MOUNTPOINT)).count("1") > 1:
        yield "more than one kind of mountpoint"
    if row.algorithm is None:
        yield "unknown hash algorithm"
    if row.flags >> c.ALGORITHM_SHIFT & c.THREE_BITS and row.digest is None and not row.is_chunked:
        yield "an algorithm without a hash"
    if row.compression > c.UNCOMPRESSED:
        yield "unknown compression"
    if not row.is_regular and (row.compression or row.flags & (c.CHUNKED | c.EXTERNAL | c.DIRECT_IO)):
        yield "chunks, compression, external data or direct I/O on what is no regular file"


def _kind(row: Row) -> str:
    if row.is_directory:
        return "directory"
    if row.is_symlink:
        return "symbolic link"
    return "special file" if row.is_special else "regular file"


def section_3_xattr(repository: Inspection) -> Iterator[Violation]:
    """An attribute blob has version 1, a count above 0 and that many attributes, sorted by key and filling it.

    NULL stands for no attributes; keys carry their namespace; lengths are one byte each, so 255 is the limit.
    """
    for catalog in repository.catalogs.values():
        for row in catalog.rows:
            if row.xattr is not None and (problem := _xattr_problem(row.xattr)):
                yield Violation("3.xattr", catalog.place(row), problem)


def _xattr_problem(blob: bytes) -> str | None:
    if len(blob) < _XATTR_LENGTHS or blob[0] != _XATTR_VERSION:
        return f"blob of {len(blob)} bytes is not of version {_XATTR_VERSION}"
    keys: list[bytes] = []
    position = _XATTR_LENGTHS
    for _ in range(blob[1]):
        lengths = blob[position : position + _XATTR_LENGTHS]
        position += _XATTR_LENGTHS + sum(lengths)
        if len(lengths) < _XATTR_LENGTHS or position > len(blob):
            return "blob is cut short"
        value_end, (key_length, value_length) = position, lengths
        keys.append(blob[value_end - value_length - key_length : value_end - value_length])
    if position != len(blob):
        return f"{len(blob) - position} bytes after the last attribute"
    if not keys:
        return "no attributes, which is NULL"
    if keys != sorted(set(keys)):
        return "attributes are not sorted by key or one is there twice"
    without_namespace = [key for key in keys if not all(key.partition(b"."))]
    return f"keys without a namespace: {without_namespace!r}" if without_namespace else None


def section_3_rowid(repository: Inspection) -> Iterator[Violation]:
    """Row numbers, which become inodes, are positive and leave few gaps."""
    for catalog in repository.catalogs.values():
        numbers = [row.rowid for row in catalog.rows]
        if numbers and min(numbers) < 1:
            yield Violation("3.rowid", catalog.where, f"row number {min(numbers)} is no inode")
        elif numbers and 1 - len(numbers) / max(numbers) > _ROWID_WASTE:
            yield warning("3.rowid", catalog.where, f"{len(numbers)} rows are numbered up to {max(numbers)}")


def section_3_limits(repository: Inspection) -> Iterator[Violation]:
    """Catalogs and files stay below the sizes at which the stock publisher warns."""
    for catalog in repository.catalogs.values():
        limit = _NESTED_ENTRIES if catalog.mountpoint else _ROOT_ENTRIES
        if len(catalog.rows) > limit:
            yield warning("3.limits", catalog.where, f"{len(catalog.rows)} entries in {shown(catalog.mountpoint)}")
        for row in catalog.rows:
            if row.is_regular and row.size > _FILE_BYTES:
                yield warning("3.limits", catalog.place(row), f"a file of {row.size} bytes")
