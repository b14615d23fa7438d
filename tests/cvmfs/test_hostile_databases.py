"""Databases that somebody made to run code, to never end or to fill the memory: refused, each with its reason."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable

import pytest

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.database import SQLITE_MAGIC, database_from_bytes, database_to_bytes, sqlite_border
from outcrop.cvmfs.history import History
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.reflog import Reflog
from outcrop.errors import FormatError, StorageError
from tests.cvmfs.databases import empty_database, endless_catalog, small_catalog
from tests.cvmfs.refusal import refused

REPOSITORY = RepositoryName("test.example.org")


def catalog_database() -> sqlite3.Connection:
    connection = small_catalog().connection
    connection.text_factory = str
    return connection


def history_database() -> sqlite3.Connection:
    return History.create(empty_database(), REPOSITORY).connection


def reflog_database() -> sqlite3.Connection:
    return Reflog.create(empty_database(), REPOSITORY).connection


Parse = Callable[[bytes], object]
KINDS: dict[str, tuple[Callable[[], sqlite3.Connection], Parse, str]] = {
    "catalog": (catalog_database, Catalog.parse, "catalog"),
    "history": (history_database, History.parse, "tags"),
    "reflog": (reflog_database, Reflog.parse, "refs"),
}
every_kind = pytest.mark.parametrize(("make", "parse", "table"), KINDS.values(), ids=KINDS)

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, x FROM n"


@every_kind
def test_a_view_in_the_place_of_a_table(make: Callable[[], sqlite3.Connection], parse: Parse, table: str) -> None:
    for name in ("properties", table):
        connection = make()
        connection.execute(f"DROP TABLE {name}")
        connection.execute(f"CREATE VIEW {name} (key, value) AS {ENDLESS}")
        with refused("schema"):
            parse(database_to_bytes(connection))


@every_kind
def test_a_view_that_calls_itself_a_table(make: Callable[[], sqlite3.Connection], parse: Parse, table: str) -> None:
    connection = make()
    connection.execute("DROP TABLE properties")
    connection.execute(f"CREATE VIEW properties (key, value) AS {ENDLESS}")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET type = 'table' WHERE type = 'view'")
    with refused(""):
        parse(database_to_bytes(connection))
    assert table


@every_kind
def test_a_trigger(make: Callable[[], sqlite3.Connection], parse: Parse, table: str) -> None:
    for disguise in ("trigger", "table", "index"):
        connection = make()
        connection.execute(f"CREATE TRIGGER t AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET type = ? WHERE type = 'trigger'", (disguise,))
        with refused("schema" if disguise == "trigger" else ""):
            parse(database_to_bytes(connection))


@every_kind
@pytest.mark.parametrize("storage", ["VIRTUAL", "STORED"])
def test_a_computed_column(make: Callable[[], sqlite3.Connection], parse: Parse, table: str, storage: str) -> None:
    connection = make()
    connection.execute("DROP TABLE properties")
    connection.execute(
        f"CREATE TABLE properties (key TEXT, value TEXT as/**/(printf('%.*c', 999999999, key)) {storage})"
    )
    with refused("schema"):
        parse(database_to_bytes(connection))
    assert table


@every_kind
def test_a_virtual_table(make: Callable[[], sqlite3.Connection], parse: Parse, table: str) -> None:
    connection = make()
    try:
        connection.execute("CREATE VIRTUAL TABLE v USING fts5(content)")
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no full-text search to make a virtual table of")
    with refused("schema"):
        parse(database_to_bytes(connection))
    assert table


@every_kind
def test_another_encoding(make: Callable[[], sqlite3.Connection], parse: Parse, table: str) -> None:
    connection = empty_database()
    connection.execute("PRAGMA encoding = 'UTF-16le'")
    connection.executescript("".join(line + ";\n" for line in schema_of(make())))
    connection.execute("INSERT OR REPLACE INTO properties VALUES ('schema', '1.0')")
    with refused("encoding"):
        parse(database_to_bytes(connection))
    assert table


def schema_of(connection: sqlite3.Connection) -> list[str]:
    connection.text_factory = str
    return [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]


@every_kind
def test_a_write_ahead_log(make: Callable[[], sqlite3.Connection], parse: Parse, table: str) -> None:
    data = bytearray(database_to_bytes(make()))
    data[18:20] = b"\2\2"
    with refused("journal mode"):
        parse(bytes(data))
    assert table


@every_kind
def test_a_value_beyond_all_measure(make: Callable[[], sqlite3.Connection], parse: Parse, table: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(database_to_bytes(make()))
    connection.execute("INSERT INTO properties VALUES ('x', zeroblob(17000000))")
    with refused("database"):
        parse(database_to_bytes(connection))
    assert table


@every_kind
def test_pages_that_are_damaged(make: Callable[[], sqlite3.Connection], parse: Parse, table: str) -> None:
    data = database_to_bytes(make())
    page_bytes = int.from_bytes(data[16:18], "big")
    for begin in range(0, len(data), page_bytes):
        damaged = bytearray(data)
        damaged[max(begin, 100) : begin + page_bytes] = b"\xa5" * (begin + page_bytes - max(begin, 100))
        try:
            parsed = parse(bytes(damaged))
            if isinstance(parsed, Catalog):
                list(parsed.rows())
        except FormatError:
            continue
    assert table


def test_a_record_of_a_length_beyond_all_memory() -> None:
    data = bytearray(database_to_bytes(reflog_database()))
    (first_record,) = struct.unpack_from(">H", data, SCHEMA_PAGE_HEADER_END)
    data[first_record : first_record + 8] = b"\xff" * 8
    with refused("the database"):
        Reflog.parse(bytes(data))


SCHEMA_PAGE_HEADER_END = 100 + 8
"""The first page of a database: the file's header, the page's own, then the places of the records."""


@pytest.mark.timeout(20)
def test_a_tree_whose_pages_stand_in_it_many_times() -> None:
    with refused("the database"):
        Catalog.parse(endless_catalog())


@every_kind
def test_a_file_that_is_cut_off(make: Callable[[], sqlite3.Connection], parse: Parse, table: str) -> None:
    data = database_to_bytes(make())
    for length in (0, 15, 16, 17, 99, 100, 101, 1023, 1024):
        with refused(""):
            parse(data[:length])
    assert table


@pytest.mark.parametrize("data", [b"", b"rubbish", SQLITE_MAGIC[:-1], b"sqlite format 3\0" + bytes(1000)])
def test_what_is_no_database(data: bytes) -> None:
    with refused("first bytes"):
        database_from_bytes(data, "a catalog")


def test_a_database_that_cannot_grow_is_trouble_of_the_disk() -> None:
    connection = empty_database()
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StorageError) as caught, sqlite_border("a catalog"):
        connection.execute("CREATE TABLE t (a)")
    assert caught.value.hint
