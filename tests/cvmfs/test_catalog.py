"""Catalogs, read: what was written comes back, and every table can be wrong in a way that is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.counters import COUNTER_NAMES, Counters, Counts
from outcrop.cvmfs.database import database_from_bytes, database_to_bytes
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.paths import name, parent, parent_hash, path_hash
from tests.cvmfs.databases import CHUNKED, CHUNKS, DIGEST, FILE, ROOT_ENTRY, counted, finished, small_catalog, written
from tests.cvmfs.refusal import refused
from tests.cvmfs.strategies import CatalogContent, catalog_contents


@pytest.mark.property
@given(catalog_contents())
@settings(max_examples=60)
def test_written_and_back(content: CatalogContent) -> None:
    catalog = finished(written(content))
    assert catalog.properties.root_prefix == content.mountpoint
    for path, stored in content.rows.items():
        assert catalog.lookup(path) == stored.entry
        if stored.entry.is_chunked:
            assert catalog.chunks(path, stored.entry) == stored.chunks
        below = [other for other in content.rows if other != content.mountpoint and parent(other) == path]
        names = sorted(name(other) for other in below)
        assert [entry.name for entry in catalog.children(path)] == names
    assert catalog.nested_catalogs() == tuple(sorted(content.nested.values(), key=lambda one: one.path))
    for path, reference in content.nested.items():
        assert catalog.nested_catalog(path) == reference
    assert catalog.counters == Counters(counted(content.rows.values(), len(content.nested)), Counts())
    rows = list(catalog.rows())
    assert {row.path: row.entry for row in rows} == {path_hash(path): s.entry for path, s in content.rows.items()}
    assert {row.path: row.parent for row in rows} == {path_hash(path): parent_hash(path) for path in content.rows}
    assert catalog.lookup(content.mountpoint + b"/not there") is None


def test_what_is_not_there() -> None:
    catalog = Catalog.parse(database_to_bytes(small_catalog().connection))
    assert catalog.nested_catalogs() == catalog.bind_mountpoints() == ()
    assert catalog.nested_catalog(b"/x") is None
    assert catalog.children(b"/file") == []


def broken(sql: str, *values: object) -> Catalog:
    """A small catalog after `sql`."""
    connection = small_catalog().connection
    connection.execute(sql, values)
    return Catalog.parse(database_to_bytes(connection))


Read = Callable[[Catalog], object]
READS: dict[str, Read] = {
    "lookup": lambda catalog: catalog.lookup(b"/file"),
    "children": lambda catalog: catalog.children(b""),
    "rows": lambda catalog: list(catalog.rows()),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", None),
        ("name", b"blob/with/slash"),
        ("symlink", None),
        ("size", -1),
        ("size", "many"),
        ("mode", 0),
        ("mtime", "today"),
        ("mtimens", 10**9),
        ("uid", -1),
        ("gid", 2**32),
        ("hardlinks", 0),
        ("hash", b"short"),
        ("hash", None),
        ("xattr", b"\2\0"),
        ("flags", 1),
    ],
)
def test_a_malformed_column_is_named(column: str, value: object, read: Read) -> None:
    catalog = broken(f"UPDATE catalog SET {column} = ? WHERE name = 'file'", value)
    with refused(column):
        read(catalog)


def test_an_entry_without_a_name_below_the_root_is_refused() -> None:
    with refused("name"):
        broken("UPDATE catalog SET name = '' WHERE name = 'file'").children(b"")


@pytest.mark.parametrize("column", ["md5path_1", "md5path_2", "parent_1", "parent_2"])
def test_keys_are_numbers(column: str) -> None:
    with refused("keys"):
        list(broken(f"UPDATE catalog SET {column} = 'x' WHERE name = 'file'").rows())


@pytest.mark.parametrize(
    ("sql", "field"),
    [
        ("DELETE FROM chunks WHERE offset = 0", "chunks of b'big'"),
        ("DELETE FROM chunks WHERE offset = 10", "chunks of b'big'"),
        ("DELETE FROM chunks", "chunks of b'big'"),
        ("UPDATE chunks SET offset = 11 WHERE offset = 10", "chunks of b'big'"),
        ("UPDATE chunks SET offset = 9 WHERE offset = 10", "chunks of b'big'"),
        ("UPDATE chunks SET size = 21 WHERE offset = 10", "chunks of b'big'"),
        ("UPDATE chunks SET size = 0 WHERE offset = 10", "chunk's size"),
        ("UPDATE chunks SET size = NULL", "chunk's size"),
        ("UPDATE chunks SET offset = 'x'", "chunk's offset"),
        ("UPDATE chunks SET hash = x'00'", "chunk's hash"),
        ("UPDATE chunks SET hash = NULL", "chunk's hash"),
        ("DROP TABLE chunks", "database"),
    ],
)
def test_chunks_must_make_the_file(sql: str, field: str) -> None:
    catalog = broken(sql)
    with refused(field):
        catalog.chunks(b"/big", CHUNKED)


def test_chunks_have_the_algorithm_of_their_file() -> None:
    catalog = broken("UPDATE catalog SET flags = flags | 512 WHERE name = 'big'")
    entry = catalog.lookup(b"/big")
    assert entry is not None
    assert [one.digest for one in catalog.chunks(b"/big", entry)] == [Digest(Algorithm.SHAKE128, DIGEST.raw)] * 2


@pytest.mark.parametrize("prefix", ["self_", "subtree_"])
@pytest.mark.parametrize("counter", COUNTER_NAMES)
def test_every_counter_must_be_there_and_a_number(prefix: str, counter: str) -> None:
    field = f"the counter {prefix}{counter}"
    for sql in (
        "DELETE FROM statistics WHERE counter = ?",
        "UPDATE statistics SET value = -1 WHERE counter = ?",
        "UPDATE statistics SET value = NULL WHERE counter = ?",
        "UPDATE statistics SET value = 'x' WHERE counter = ?",
    ):
        catalog = broken(sql, prefix + counter)
        with refused(field):
            _ = catalog.counters


@pytest.mark.parametrize("table", ["nested_catalogs", "bind_mountpoints"])
@pytest.mark.parametrize(
    ("path", "digest", "size", "field"),
    [
        ("relative", DIGEST.text, 1, "a path in"),
        ("", DIGEST.text, 1, "a path in"),
        ("/", DIGEST.text, 1, "a path in"),
        ("/a/", DIGEST.text, 1, "a path in"),
        ("/a//b", DIGEST.text, 1, "a path in"),
        ("/a/../b", DIGEST.text, 1, "a path in"),
        ("/a\0b", DIGEST.text, 1, "a path in"),
        (None, DIGEST.text, 1, "a path in"),
        (7, DIGEST.text, 1, "a path in"),
        ("/a", DIGEST.text + "C", 1, "the digest in"),
        ("/a", DIGEST.text.upper(), 1, "the digest in"),
        ("/a", "", 1, "the digest in"),
        ("/a", None, 1, "the digest in"),
        ("/a", b"\xff", 1, "the digest in"),
        ("/a", DIGEST.text, -1, "the size in"),
        ("/a", DIGEST.text, "big", "the size in"),
    ],
)
def test_a_malformed_reference(table: str, path: object, digest: object, size: object, field: str) -> None:
    catalog = broken(f"INSERT INTO {table} (path, sha1, size) VALUES (?, ?, ?)", path, digest, size)
    with refused(f"{field} {table}"):
        catalog.nested_catalogs() if table == "nested_catalogs" else catalog.bind_mountpoints()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "2.6"),
        ("schema", "2.3"),
        ("schema", ""),
        ("schema", None),
        ("schema", b"\xff"),
        ("schema_revision", "seven"),
        ("schema_revision", "-1"),
        ("revision", "1.5"),
        ("revision", str(2**64)),
        ("revision", ""),
        ("last_modified", "yesterday"),
        ("last_modified", "253402300800"),
        ("previous_revision", "rubbish"),
        ("previous_revision", DIGEST.text + "C"),
        ("root_prefix", "relative"),
        ("root_prefix", "/"),
        ("root_prefix", "/a/../b"),
        ("TTL", "-1"),
        ("TTL", "soon"),
        ("voms_authz", b"\xff"),
    ],
)
def test_a_malformed_property_is_named(key: str, value: object) -> None:
    with refused(f"property {key}"):
        broken("INSERT OR REPLACE INTO properties VALUES (?, CAST(? AS TEXT))", key, value)


def test_a_property_with_a_malformed_key() -> None:
    with refused("key"):
        broken("INSERT INTO properties VALUES (CAST(x'ff' AS TEXT), 'x')")


def test_a_catalog_without_a_schema_is_refused() -> None:
    with refused("property schema"):
        broken("DELETE FROM properties WHERE key = 'schema'")


def test_properties_that_are_stored_as_numbers_are_read() -> None:
    catalog = broken("UPDATE properties SET value = 7 WHERE key = 'revision'")
    assert catalog.properties.revision == 7


def test_defaults_of_properties() -> None:
    properties = broken("DELETE FROM properties WHERE key <> 'schema'").properties
    assert (properties.schema_revision, properties.revision, properties.ttl) == (0, 0, 240)
    assert (properties.previous_revision, properties.root_prefix, properties.voms_authz) == (None, b"", None)
    assert properties.volatile is False


def test_the_null_digest_is_no_previous_revision() -> None:
    catalog = broken("UPDATE properties SET value = ? WHERE key = 'previous_revision'", "0" * 40)
    assert catalog.properties.previous_revision is None


@pytest.mark.parametrize("table", ["properties", "catalog", "statistics", "nested_catalogs", "bind_mountpoints"])
def test_every_table_must_be_there(table: str) -> None:
    with refused("the database"):
        catalog = broken(f"DROP TABLE {table}")
        catalog.lookup(b"")
        catalog.nested_catalogs()
        catalog.bind_mountpoints()
        _ = catalog.counters


def test_a_catalog_is_read_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    path.write_bytes(database_to_bytes(small_catalog().connection))
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True, isolation_level=None)
    catalog = Catalog(connection, "a catalog")
    assert catalog.lookup(b"") == ROOT_ENTRY
    assert catalog.lookup(b"/file") == FILE
    assert catalog.chunks(b"/big", CHUNKED) == CHUNKS
    catalog.close()


def test_bytes_are_the_same_after_reading() -> None:
    data = database_to_bytes(small_catalog().connection)
    connection = database_from_bytes(data, "a catalog")
    list(Catalog(connection).rows())
    assert database_to_bytes(connection) == data
