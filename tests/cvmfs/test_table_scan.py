"""Tables read straight from their pages, against what SQLite says of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.cvmfs.table_scan import LARGEST_DATABASE_BYTES, TableScan, scan_table

Value = int | float | bytes | None
COLUMNS = ("a", "b", "c")


def database(rows: Sequence[Sequence[Value]], before: str = "", declared: str = "a, b, c") -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = bytes
    connection.executescript(f"{before}; CREATE TABLE t ({declared})")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t (a, b, c) VALUES (?, ?, ?)", rows)
    connection.execute("COMMIT")
    return connection


def everything(scan: TableScan) -> list[tuple[Value, ...]]:
    rows = scan.rows(scan.cells)
    assert rows is not None
    return [tuple(rows.value(name, index) for name in COLUMNS) for index in range(len(rows))]


def by_text(rows: Sequence[Sequence[Value]]) -> list[str]:
    return sorted(repr(tuple(row)) for row in rows)


SIZES = (7, 15, 23, 31, 47)
INTEGERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    *(st.integers(-(2**size) - 2, 2**size + 2) for size in SIZES),
)
VALUES = st.one_of(INTEGERS, st.none(), st.floats(allow_nan=False), st.binary(max_size=300))


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=200), st.sampled_from([512, 1024, 4096, 65536]))
def test_every_value_is_what_sqlite_says(rows: list[tuple[Value, ...]], page_bytes: int) -> None:
    scan = scan_table(database(rows, f"PRAGMA page_size = {page_bytes}"), "t")
    if scan is not None and scan.rows(scan.cells) is not None:
        assert by_text(everything(scan)) == by_text(rows)
    else:
        # Some row needed more than its page.
        assert max(sum(len(value) for value in row if isinstance(value, bytes)) for row in rows) > 400


@pytest.mark.parametrize("value", [0, 1, -1, 127, 128, -129, 2**23, -(2**23) - 1, 2**31, 2**47, 2**63 - 1, -(2**63)])
def test_columns_are_read_at_once(value: int) -> None:
    rows: list[tuple[Value, ...]] = [(value, b"x" * 20, b"name"), (None, b"", None), (b"text", None, 1.5), (7, 0, 1)]
    scan = scan_table(database(rows), "t")
    assert scan is not None
    found = scan.rows(scan.cells)
    assert found is not None
    assert found.integers("a").tolist() == [value, 0, 0, 7]
    assert found.is_integer("a").tolist() == [True, False, False, True]
    assert found.is_null("a").tolist() == [False, True, False, False]
    assert found.is_bytes("b").tolist() == [True, True, False, False]
    assert found.lengths("b").tolist() == [20, 0, 0, 0]
    assert found.texts("c") == [b"name", b"", b"", b""]
    assert found.blobs("b", 20, found.lengths("b") == 20).tobytes() == b"x" * 20 + bytes(60)
    assert found.taken(np.array([3, 0])).integers("a").tolist() == [7, value]


def test_a_table_of_many_pages_is_whole() -> None:
    rows = [(number, b"%d" % number, None) for number in range(20_000)]
    scan = scan_table(database(rows, "PRAGMA page_size = 512"), "t")
    assert scan is not None
    assert sorted(everything(scan), key=lambda row: row[0]) == rows  # type: ignore[arg-type,return-value]


def test_columns_that_were_added_later_are_missing_from_older_rows() -> None:
    connection = database([(1, 2, 3)])
    connection.execute("ALTER TABLE t ADD COLUMN d")
    connection.execute("INSERT INTO t VALUES (4, 5, 6, x'07')")
    scan = scan_table(connection, "t")
    assert scan is not None
    rows = scan.rows(scan.cells)
    assert rows is not None
    assert [rows.value("d", index) for index in range(2)] == [None, b"\7"]
    assert rows.is_null("d").tolist() == [True, False]


def test_a_column_may_read_as_null_whatever_is_there() -> None:
    scan = scan_table(database([(1, 2, 3)]), "t", ("b", "else"))
    assert scan is not None
    assert everything(scan) == [(1, None, 3)]
    rows = scan.rows(scan.cells, ("a",))
    assert rows is not None
    assert rows.is_null("else").tolist() == [True]


def test_what_is_not_plain_is_left_to_sqlite() -> None:
    long = scan_table(database([(b"x" * 5000, 2, 3)]), "t")
    assert long is not None
    assert long.rows(long.cells) is None
    assert scan_table(database([], declared="a INTEGER PRIMARY KEY, b, c"), "t") is None
    assert scan_table(database([], declared="a, b, c, PRIMARY KEY (a)) WITHOUT ROWID; CREATE TABLE u (a"), "t") is None
    assert scan_table(database([], declared="a, b DEFAULT 5, c"), "t") is None
    assert scan_table(database([(1, 2, 3)], "PRAGMA encoding = 'UTF-16le'"), "t") is None
    assert scan_table(database([]), "missing") is None


def test_a_large_database_is_left_to_sqlite() -> None:
    connection = database([])
    connection.execute("INSERT INTO t VALUES (zeroblob(?), 0, 0)", (LARGEST_DATABASE_BYTES,))
    assert scan_table(connection, "t") is None


@pytest.mark.property
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_never_does_more_than_show_other_values(data: st.DataObject) -> None:
    whole = bytearray(database([(n, b"%d" % n * 9, -n) for n in range(60)], "PRAGMA page_size = 512").serialize())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(512, len(whole) - 1))] = data.draw(st.integers(0, 255))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = bytes
    try:
        connection.deserialize(bytes(whole))
        scan = scan_table(connection, "t")
    except sqlite3.DatabaseError:
        return
    rows = None if scan is None else scan.rows(scan.cells)
    if rows is not None:
        for name in COLUMNS:
            rows.integers(name)
            rows.texts(name)
            rows.blobs(name, 20, rows.lengths(name) == 20)
