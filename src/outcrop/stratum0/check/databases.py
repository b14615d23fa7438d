"""Rules for the SQLite files of a repository: their headers, their tables, the types of their values.

What tables there must be is asked of the writers of this package: a database is held against an empty one that they
make. A look at two databases with the same schema costs one.
"""

from __future__ import annotations

import sqlite3
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from outcrop.cvmfs.catalog_edit import EditableCatalog
from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.history import History
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import ROOT
from outcrop.cvmfs.reflog import Reflog

_HEADER_BYTES = 100
_WASTED_PAGES = 0.2
"""Share of unused pages above which the reference publisher rewrites a database."""

Make = Callable[[sqlite3.Connection], object]
"""Makes an empty database of one kind."""

_SOME_REPOSITORY = RepositoryName("some.example.org")

ADDED_COLUMNS = {("nested_catalogs", "size"): 1, ("catalog", "xattr"): 2, ("catalog", "mtimens"): 7}
ADDED_TABLES = {"bind_mountpoints": 4}
"""The revisions of the catalogs' schema that demand what was added after the first."""


def empty_catalog(connection: sqlite3.Connection) -> object:
    return EditableCatalog.create(connection, ROOT, Entry(name=b"", mode=stat.S_IFDIR | 0o755, linkcount=2))


def empty_history(connection: sqlite3.Connection) -> object:
    return History.create(connection, _SOME_REPOSITORY)


def empty_reflog(connection: sqlite3.Connection) -> object:
    return Reflog.create(connection, _SOME_REPOSITORY)


@dataclass(frozen=True, slots=True)
class _Table:
    """Columns as name, type and place in the primary key; indexes as tuples of columns; tables that keys point to."""

    columns: tuple[tuple[str, str, int], ...]
    indexes: frozenset[tuple[str, ...]]
    foreign: frozenset[str]


Schema = tuple[tuple[str, _Table], ...]


def header_problems(image: bytes) -> Iterator[str]:
    """What is wrong with the head of a database file that SQLite itself takes."""
    if len(image) < _HEADER_BYTES:
        yield "is shorter than the head of a database"
        return
    (page_bytes,) = struct.unpack_from(">H", image, 16)
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    change_counter, pages = struct.unpack_from(">2I", image, 24)
    (valid_for,) = struct.unpack_from(">I", image, 92)
    if change_counter == valid_for and page_bytes * pages != len(image):
        yield f"has {len(image)} bytes, not {pages} pages of {page_bytes}"


def waste(image: bytes) -> Iterator[str]:
    """What the reference publisher would tidy up; nothing of what is too short to be a database."""
    if len(image) < _HEADER_BYTES:
        return
    pages, _, free = struct.unpack_from(">3I", image, 28)
    if pages and free / pages > _WASTED_PAGES:
        yield f"{free} of its {pages} pages are unused"
    if struct.unpack_from(">I", image, 52)[0]:
        yield "auto_vacuum is on"


def table_problems(connection: sqlite3.Connection, make: Make, revision: int, what: str) -> Iterator[str]:
    """The tables, columns, keys and indexes that are missing or different, and columns that hold values of another type
    than theirs (a reader of bytes cannot tell text from blob). In words.

    `revision` is that of a catalog's schema: what later revisions added need not be there."""
    with sqlite_border(what):
        texts = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        key = (frozenset((bytes(name), bytes(sql)) for name, sql in texts), make, revision)
        look = _looks.get(key)
        if look is None:
            schema = _schema_of(connection)
            look = _Look(
                tuple(_differences(schema, _model(make), revision)), tuple(_type_queries(schema, _model(make)))
            )
            if len(_looks) < _KEPT_LOOKS:
                _looks[key] = look
        yield from look.problems
        for table, columns, query in look.queries:
            for column, number in zip(columns, connection.execute(query).fetchone(), strict=True):
                if number:
                    yield f"{number} of the values in {table}.{column} are of another type"


@dataclass(frozen=True, slots=True)
class _Look:
    """What is wrong with a schema, and for each of its tables the columns and the query that counts values of another
    type in them."""

    problems: tuple[str, ...]
    queries: tuple[tuple[str, tuple[str, ...], str], ...]


_KEPT_LOOKS = 64
"""Two or three publishers are behind a repository, each with a schema of its own for every revision."""
_looks: dict[tuple[frozenset[tuple[bytes, bytes]], Make, int], _Look] = {}


def _type_queries(found: Schema, model: Schema) -> Iterator[tuple[str, tuple[str, ...], str]]:
    present = dict(found)
    for table, expected in model:
        names = {name for name, _, _ in present[table].columns} if table in present else set()
        columns = [(name, kind) for name, kind, _ in expected.columns if name in names]
        if columns:
            # What may be NULL is decided where the values are read.
            tests = (f"coalesce(sum(typeof({name}) NOT IN ('{kind.lower()}', 'null')), 0)" for name, kind in columns)
            yield table, tuple(name for name, _ in columns), f"SELECT {', '.join(tests)} FROM {table}"


@cache
def _model(make: Make) -> Schema:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        make(connection)
        return _schema_of(connection)
    finally:
        connection.close()


def _schema_of(connection: sqlite3.Connection) -> Schema:
    names = [_text(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return tuple((name, _table(connection, name)) for name in sorted(names) if not name.startswith("sqlite_"))


def _table(connection: sqlite3.Connection, name: str) -> _Table:
    quoted = '"' + name.replace('"', '""') + '"'
    columns = connection.execute(f"PRAGMA table_info({quoted})").fetchall()
    indexes = [_text(row[1]) for row in connection.execute(f"PRAGMA index_list({quoted})")]
    return _Table(
        tuple((_text(row[1]), _text(row[2]).upper(), int(row[5])) for row in columns),
        frozenset(
            tuple(_text(row[2]) for row in connection.execute(f'PRAGMA index_info("{index}")')) for index in indexes
        ),
        frozenset(_text(row[2]) for row in connection.execute(f"PRAGMA foreign_key_list({quoted})")),
    )


def _differences(found: Schema, model: Schema, revision: int) -> Iterator[str]:
    present = dict(found)
    for name, expected in model:
        table = present.get(name)
        if table is None:
            if ADDED_TABLES.get(name, 0) <= revision:
                yield f"has no table {name}"
            continue
        names = {column for column, _, _ in table.columns}
        columns = tuple(
            column
            for column in expected.columns
            if column[0] in names or ADDED_COLUMNS.get((name, column[0]), 0) <= revision
        )
        if table.columns != columns:
            shown = ", ".join(f"{column} {kind}" for column, kind, _ in table.columns)
            yield f"its table {name} has the columns {shown}"
        for index in sorted(expected.indexes - table.indexes):
            yield f"its table {name} has no index of {', '.join(index)}"
        for other in sorted(expected.foreign - table.foreign):
            yield f"its table {name} has no key into {other}"


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
