"""SQLite files of a repository: their headers, their tables, their rows (sections 3, 5, 6; rule 16.10)."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .findings import Violation, warning

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_WRITE_VERSION_AT, _READ_VERSION_AT = 18, 19
_ROLLBACK_JOURNAL = 1
"""Value of the two version bytes for a rollback journal; 2 is WAL, which the stock client cannot open."""
_UTF_8 = 1
_WASTE_LIMIT = 0.20
"""Share of free pages above which the stock publisher rewrites a database."""

Value: TypeAlias = int | float | str | bytes | None
"""What a column may hold; of the bytes, the TEXT ones are of the class Text."""


class Text(bytes):
    """A value that SQLite stores as TEXT, in raw bytes; a plain `bytes` is a BLOB."""

    @property
    def shown(self) -> str:
        return self.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the description lists it; `optional` columns come with a later schema revision."""

    name: str
    columns: tuple[tuple[str, str], ...]
    primary_key: tuple[str, ...]
    optional: frozenset[str] = frozenset()


@dataclass(slots=True)
class Database:
    """An open copy in memory of a database file, with the bytes it was opened from."""

    where: str
    image: bytes
    connection: sqlite3.Connection

    def rows(self, query: str) -> list[tuple[Value, ...]]:
        """Raises sqlite3.Error where the file is damaged or lacks what the query names."""
        return list(self.connection.execute(query))

    def columns(self, table: str) -> list[tuple[str, str, int]]:
        """Name, declared type and place in the primary key of each column; empty where there is no such table."""
        kinds = self.rows(f"SELECT type FROM sqlite_master WHERE name = '{table}' COLLATE NOCASE")
        if [kind for (kind,) in kinds] != [b"table"]:
            return []
        described = self.rows(f"PRAGMA table_info({table})")
        return [(_name(row[1]), _name(row[2]).upper(), int(row[5] or 0)) for row in described]

    def pairs(self, table: str, key: str, value: str) -> dict[str, Value]:
        """A two-column table as a mapping; empty where it is missing."""
        if not {key, value} <= {name for name, _, _ in self.columns(table)}:
            return {}
        return {_name(name): content for name, content in self.rows(f"SELECT {key}, {value} FROM {table}")}

    def close(self) -> None:
        self.connection.close()


def open_database(where: str, image: bytes) -> Database:
    """A database opened from its bytes; raises sqlite3.Error or ValueError for what is none.

    A file left in WAL mode is opened as if it were not, so that the rest of it can be judged too.
    """
    if len(image) < _HEADER_BYTES or not image.startswith(_MAGIC):
        raise ValueError("no SQLite file")
    readable = bytearray(image)
    readable[_WRITE_VERSION_AT] = readable[_READ_VERSION_AT] = _ROLLBACK_JOURNAL
    connection = sqlite3.connect(":memory:")
    try:
        connection.text_factory = Text
        connection.deserialize(bytes(readable))
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return Database(where, image, connection)


def check_file(database: Database) -> Iterator[Violation]:
    """Yields what rule 16.10 forbids: another journal mode or encoding, or a file that was not closed properly."""
    image, where = database.image, database.where
    versions = image[_WRITE_VERSION_AT], image[_READ_VERSION_AT]
    if versions != (_ROLLBACK_JOURNAL, _ROLLBACK_JOURNAL):
        yield Violation("16.10", where, f"file format versions {versions}: the journal mode is not DELETE")
    (page_size,) = struct.unpack_from(">H", image, 16)
    page_size = 65536 if page_size == 1 else page_size
    change_counter, pages, _, free_pages = struct.unpack_from(">4I", image, 24)
    (largest_root, encoding) = struct.unpack_from(">2I", image, 52)
    (valid_for,) = struct.unpack_from(">I", image, 92)
    if change_counter == valid_for and page_size * pages != len(image):
        yield Violation("16.10", where, f"{len(image)} bytes instead of {pages} pages of {page_size}")
    if encoding != _UTF_8:
        yield Violation("16.10", where, f"text encoding {encoding} is not UTF-8")
    if largest_root:
        yield warning("16.10", where, "auto_vacuum is on")
    if pages and free_pages / pages > _WASTE_LIMIT:
        yield warning("16.10", where, f"{free_pages} of {pages} pages are free")
    report = [_name(message) for (message,) in database.rows("PRAGMA integrity_check")]
    if report != ["ok"]:
        yield Violation("16.10", where, f"damaged database: {'; '.join(report[:3])}")


def check_tables(rule: str, database: Database, tables: Sequence[Table]) -> Iterator[Violation]:
    """Yields tables and columns that are missing, of another type, in another order, or under another key."""
    for table in tables:
        found = database.columns(table.name)
        if not found:
            yield Violation(rule, database.where, f"no table {table.name}")
            continue
        present = {name for name, _, _ in found}
        expected = [column for column in table.columns if column[0] in present or column[0] not in table.optional]
        if [(name, kind) for name, kind, _ in found] != expected:
            listed = ", ".join(f"{name} {kind}" for name, kind, _ in found)
            yield Violation(rule, database.where, f"columns of table {table.name}: {listed}")
        key = tuple(name for name, _, place in sorted(found, key=lambda column: column[2]) if place)
        if key != table.primary_key:
            yield Violation(rule, database.where, f"primary key of table {table.name}: {', '.join(key) or 'none'}")


def _name(value: Value) -> str:
    """A name or message of SQLite's as a string, whatever type a broken file gives it."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
