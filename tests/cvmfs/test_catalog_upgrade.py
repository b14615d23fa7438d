"""Catalogs of older revisions of the schema, built by hand: they are read, and brought up to date when written."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from outcrop.cvmfs.catalog import SCHEMA_REVISION, Catalog, CatalogReference
from outcrop.cvmfs.catalog_edit import EditableCatalog
from outcrop.cvmfs.counters import COUNTER_NAMES, Counts
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import RepositoryPath, parent_hash, path_hash
from outcrop.cvmfs.xattrs import Xattrs
from tests.cvmfs.databases import DIGEST, FILE, ROOT_ENTRY, empty_database
from tests.cvmfs.refusal import refused

ADDED_COUNTERS = {"xattr": 2, "external": 3, "external_file_size": 3, "special": 5}
"""The revision of the schema that each of these counters came with."""


def old_database(revision: int, schema: str = "2.5", *, newer_tables: bool = False) -> sqlite3.Connection:
    """A catalog as a publisher of this revision of the schema made it: a root, a file, a nested catalog.

    With `newer_tables` the tables have every later column, though the catalog states the old revision.
    """
    has = SCHEMA_REVISION if newer_tables else revision
    connection = empty_database()
    columns = "md5path_1 INTEGER, md5path_2 INTEGER, parent_1 INTEGER, parent_2 INTEGER, hardlinks INTEGER, hash BLOB, "
    columns += "size INTEGER, mode INTEGER, mtime INTEGER, "
    columns += "mtimens INTEGER, " if has >= 7 else ""
    columns += "flags INTEGER, name TEXT, symlink TEXT, uid INTEGER, gid INTEGER, "
    columns += "xattr BLOB, " if has >= 2 else ""
    connection.execute(f"CREATE TABLE catalog ({columns} PRIMARY KEY (md5path_1, md5path_2))")
    connection.execute("CREATE INDEX idx_catalog_parent ON catalog (parent_1, parent_2)")
    connection.execute(
        "CREATE TABLE chunks (md5path_1 INTEGER, md5path_2 INTEGER, offset INTEGER, size INTEGER, hash BLOB, "
        "PRIMARY KEY (md5path_1, md5path_2, offset, size))"
    )
    size_column = ", size INTEGER" if has >= 1 else ""
    connection.execute(f"CREATE TABLE nested_catalogs (path TEXT, sha1 TEXT{size_column}, PRIMARY KEY (path))")
    if has >= 4:
        connection.execute("CREATE TABLE bind_mountpoints (path TEXT, sha1 TEXT, size INTEGER, PRIMARY KEY (path))")
    connection.execute("CREATE TABLE properties (key TEXT, value TEXT, PRIMARY KEY (key))")
    connection.execute("CREATE TABLE statistics (counter TEXT, value INTEGER, PRIMARY KEY (counter))")
    properties = [("schema", schema), ("schema_revision", str(revision)), ("revision", "3")]
    connection.executemany("INSERT INTO properties VALUES (?, ?)", properties)
    for path, entry in ((b"", ROOT_ENTRY), (b"/file", FILE)):
        keys = (*path_hash(path), *parent_hash(path), entry.linkcount, entry.digest and entry.digest.raw)
        values = (*keys, entry.size, entry.mode, 5, entry.flags, entry.name.decode(), "", 0, 0)
        names = "md5path_1, md5path_2, parent_1, parent_2, hardlinks, hash, size, mode, mtime, flags, name, symlink"
        connection.execute(f"INSERT INTO catalog ({names}, uid, gid) VALUES ({', '.join('?' * 14)})", values)
    connection.execute("INSERT INTO nested_catalogs (path, sha1) VALUES ('/nested', ?)", (DIGEST.text,))
    own = {"regular": 1, "dir": 1, "nested": 1, "file_size": 3}
    for counter in COUNTER_NAMES:
        if ADDED_COUNTERS.get(counter, 0) <= has:
            rows = [(f"self_{counter}", own.get(counter, 0)), (f"subtree_{counter}", 0)]
            connection.executemany("INSERT INTO statistics VALUES (?, ?)", rows)
    return connection


def dated(entry: Entry) -> Entry:
    return replace(entry, mtime=5)


NESTED = CatalogReference(RepositoryPath(b"/nested"), DIGEST, 0)
OWN = Counts(regular=1, dir=1, nested=1, file_size=3)
REVISIONS = range(SCHEMA_REVISION + 1)


@pytest.mark.parametrize("newer_tables", [False, True])
@pytest.mark.parametrize("revision", REVISIONS)
def test_an_old_catalog_is_read(revision: int, newer_tables: bool) -> None:
    catalog = Catalog.parse(database_to_bytes(old_database(revision, newer_tables=newer_tables)))
    assert catalog.properties.schema_revision == revision
    assert catalog.lookup(b"/file") == dated(FILE)
    assert [row.entry for row in catalog.rows()] == [dated(ROOT_ENTRY), dated(FILE)]
    assert catalog.nested_catalogs() == (NESTED,)
    assert catalog.bind_mountpoints() == ()
    assert catalog.counters.own == OWN


@pytest.mark.parametrize("newer_tables", [False, True])
@pytest.mark.parametrize("revision", REVISIONS)
def test_an_old_catalog_is_brought_up_to_date(revision: int, newer_tables: bool) -> None:
    catalog = EditableCatalog(old_database(revision, newer_tables=newer_tables))
    assert catalog.nested_catalogs() == (NESTED,)
    sized = CatalogReference(RepositoryPath(b"/other"), DIGEST, 77)
    catalog.set_nested(sized)
    assert catalog.nested_catalogs() == (NESTED, sized)
    new = replace(FILE, name=b"new", mtime_ns=9, xattrs=Xattrs.of({b"user.k": b"v"}))
    catalog.put(b"/new", new)
    catalog.finish(revision=4, now=6, previous=DIGEST)
    written = Catalog.parse(database_to_bytes(catalog.connection))
    assert (written.properties.schema_revision, written.properties.revision) == (SCHEMA_REVISION, 4)
    assert written.lookup(b"/new") == new
    assert written.lookup(b"/file") == dated(FILE)
    assert written.nested_catalogs() == (NESTED, sized)
    assert written.counters.own == OWN + Counts(regular=1, file_size=3, xattr=1, nested=1)
    (count,) = written.connection.execute("SELECT count(*) FROM statistics").fetchone()
    assert count == 24


@pytest.mark.parametrize("revision", [5, 6, 7])
def test_since_revision_5_every_counter_must_be_there(revision: int) -> None:
    connection = old_database(revision)
    connection.execute("DELETE FROM statistics WHERE counter = 'self_special'")
    with refused("self_special"):
        _ = Catalog(connection).counters


def test_schema_2_4_is_read() -> None:
    assert Catalog(old_database(0, schema="2.4")).lookup(b"/file") == dated(FILE)


def test_a_revision_that_promises_more_than_the_tables_have_is_refused() -> None:
    connection = old_database(6)
    connection.execute("UPDATE properties SET value = '7' WHERE key = 'schema_revision'")
    with refused("the database"):
        Catalog(connection).lookup(b"/file")


def test_a_later_revision_keeps_its_number() -> None:
    connection = old_database(7)
    connection.execute("UPDATE properties SET value = '8' WHERE key = 'schema_revision'")
    catalog = EditableCatalog(connection)
    catalog.finish(revision=4, now=6, previous=None)
    assert Catalog(connection).properties.schema_revision == 8
