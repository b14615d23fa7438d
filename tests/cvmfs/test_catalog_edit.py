"""Catalogs, written: counters follow every change, row numbers stay, and waste is compacted."""

from __future__ import annotations

import sqlite3
import stat
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.catalog_edit import EditableCatalog, nested_mountpoint, nested_root, plain_directory
from outcrop.cvmfs.counters import Counters
from outcrop.cvmfs.database import database_from_bytes, database_to_bytes
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.paths import RepositoryPath, path_hash
from tests.cvmfs.databases import (
    CHUNKED,
    CHUNKS,
    DIGEST,
    FILE,
    ROOT_ENTRY,
    counted,
    finished,
    new_catalog,
    small_catalog,
)
from tests.cvmfs.refusal import refused
from tests.cvmfs.strategies import StoredEntry, catalog_references, stored_entries

NAMES = [b"a", b"b", b"\xff", b"d"]


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[bytes, StoredEntry | None]]:
    """What happens to a few paths, one after the other: an entry is put there, or what is there goes."""
    return [
        (name, draw(st.none() | stored_entries(name)))
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=12))
    ]


@pytest.mark.property
@given(changes(), st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
def test_counters_follow_every_change(steps: list[tuple[bytes, StoredEntry | None]], reopens: bool) -> None:
    catalog = new_catalog()
    expected: dict[bytes, StoredEntry] = {}
    for name, stored in steps:
        path = b"/" + name
        if stored is not None:
            catalog.put(path, stored.entry, stored.chunks)
            expected[path] = stored
        elif path in expected:
            catalog.remove(path)
            del expected[path]
        rows = [StoredEntry(ROOT_ENTRY), *expected.values()]
        assert catalog.own == counted(rows, nested=0)
        if reopens:
            catalog.finish(revision=1, now=0, previous=None)
            catalog = EditableCatalog(database_from_bytes(database_to_bytes(catalog.connection), "a catalog"))
    published = finished(catalog)
    assert published.counters == Counters(counted([StoredEntry(ROOT_ENTRY), *expected.values()], 0), catalog.subtree)
    assert {path: published.lookup(path) for path in expected} == {path: s.entry for path, s in expected.items()}
    for path, stored in expected.items():
        if stored.entry.is_chunked:
            assert published.chunks(path, stored.entry) == stored.chunks
    (chunk_rows,) = published.connection.execute("SELECT count(*) FROM chunks").fetchone()
    assert chunk_rows == sum(len(stored.chunks) for stored in expected.values())


@pytest.mark.property
@given(st.lists(catalog_references, max_size=6))
def test_nested_references_are_counted_once_a_path(references: list[CatalogReference]) -> None:
    catalog = new_catalog()
    expected: dict[RepositoryPath, CatalogReference] = {}
    for reference in references:
        catalog.set_nested(reference)
        expected[reference.path] = reference
    assert catalog.own.nested == len(expected)
    assert {one.path: one for one in catalog.nested_catalogs()} == expected
    for path in expected:
        catalog.forget_nested(path)
        catalog.forget_nested(path)
    assert catalog.own.nested == 0
    assert catalog.nested_catalogs() == ()


def row_number(catalog: Catalog, path: bytes) -> int:
    return next(row.rowid for row in catalog.rows() if row.path == path_hash(path))


def test_a_replaced_row_keeps_its_number() -> None:
    catalog = new_catalog()
    for number in range(20):
        catalog.put(b"/%d" % number, replace(FILE, name=b"%d" % number))
    before = row_number(catalog, b"/7")
    catalog.put(b"/7", replace(CHUNKED, name=b"7"), CHUNKS)
    assert row_number(catalog, b"/7") == before
    assert row_number(finished(catalog), b"/7") == before


def test_unused_row_numbers_are_compacted_in_order() -> None:
    catalog = new_catalog()
    for number in range(1000):
        catalog.put(b"/%d" % number, replace(FILE, name=b"%d" % number))
    catalog.finish(revision=1, now=0, previous=None)
    size = len(database_to_bytes(catalog.connection))
    catalog = EditableCatalog(catalog.connection)
    for number in range(900):
        catalog.remove(b"/%d" % number)
    published = finished(catalog)
    rows = list(published.rows())
    assert [row.rowid for row in rows] == list(range(1, 102))
    assert [row.entry.name for row in rows] == [b""] + [b"%d" % number for number in range(900, 1000)]
    assert len(database_to_bytes(published.connection)) < size / 4
    assert published.connection.execute("PRAGMA integrity_check").fetchall() == [(b"ok",)]


def test_a_little_waste_stays() -> None:
    catalog = new_catalog()
    for number in range(100):
        catalog.put(b"/%d" % number, replace(FILE, name=b"%d" % number))
    last = row_number(catalog, b"/99")
    catalog.remove(b"/5")
    assert row_number(finished(catalog), b"/99") == last


def test_a_catalog_without_any_row_can_be_finished() -> None:
    catalog = new_catalog()
    catalog.remove(b"")
    assert finished(catalog).counters.own.entries == 0


def test_a_missing_row_cannot_be_removed() -> None:
    with refused("the row of b'/x'"):
        new_catalog().remove(b"/x")


def test_properties_are_written() -> None:
    catalog = new_catalog(replace(ROOT_ENTRY, name=b"b\xff", marks=Mark.NESTED_ROOT), b"/a/b\xff")
    catalog.finish(revision=2**64 - 1, now=1_700_000_000, previous=DIGEST, ttl=60)
    properties = Catalog.parse(database_to_bytes(catalog.connection)).properties
    assert (properties.schema_revision, properties.revision, properties.ttl) == (7, 2**64 - 1, 60)
    assert (properties.last_modified, properties.previous_revision) == (1_700_000_000, DIGEST)
    assert properties.root_prefix == b"/a/b\xff"


def test_the_database_is_as_the_reference_wants_it() -> None:
    data = database_to_bytes(small_catalog().connection)
    page_bytes, write_version, read_version = struct.unpack_from(">HBB", data, 16)
    assert (page_bytes, write_version, read_version) == (1024, 1, 1)
    connection = database_from_bytes(data, "a catalog")
    types = connection.execute("SELECT DISTINCT typeof(name), typeof(symlink), typeof(mtimens) FROM catalog").fetchall()
    assert types == [(b"text", b"text", b"null")]
    (counters,) = connection.execute("SELECT count(*) FROM statistics").fetchone()
    assert counters == 24
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    assert connection.execute("PRAGMA encoding").fetchone() == (b"UTF-8",)


def test_subdirectories_and_hard_links_are_found() -> None:
    catalog = new_catalog()
    directory = Entry(b"d", stat.S_IFDIR | 0o755, linkcount=2)
    catalog.put(b"/d", directory)
    catalog.put(b"/d/e", replace(directory, name=b"e"))
    linked = replace(FILE, linkcount=2, hardlink_group=7)
    catalog.put(b"/x", replace(linked, name=b"x"))
    catalog.put(b"/y", replace(linked, name=b"y"))
    catalog.put(b"/z", replace(FILE, name=b"z"))
    assert (catalog.subdirectories(b""), catalog.subdirectories(b"/d"), catalog.subdirectories(b"/d/e")) == (1, 1, 0)
    assert [entry.name for entry in catalog.hardlink_members(b"", 7)] == [b"x", b"y"]
    assert catalog.highest_hardlink_group() == 7
    assert [path for path, _ in catalog.below(b"")] == [b"/d", b"/x", b"/y", b"/z", b"/d/e"]


def test_the_largest_hard_link_group_is_found() -> None:
    catalog = new_catalog()
    catalog.put(b"/file", replace(FILE, linkcount=1, hardlink_group=2**31 - 1))
    assert catalog.highest_hardlink_group() == 2**31 - 1


@pytest.mark.parametrize("marks", [Mark.NONE, Mark.HIDDEN])
def test_a_directory_on_both_sides_of_a_nested_catalog(marks: Mark) -> None:
    directory = Entry(b"d", stat.S_IFDIR | 0o755, marks=marks)
    assert nested_root(nested_mountpoint(directory)).marks == marks | Mark.NESTED_ROOT
    assert nested_mountpoint(nested_root(directory)).marks == marks | Mark.NESTED_MOUNTPOINT
    assert plain_directory(nested_root(directory)) == plain_directory(nested_mountpoint(directory)) == directory


def test_a_change_that_is_given_up_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    before = database_to_bytes(small_catalog().connection)
    path.write_bytes(before)
    connection = sqlite3.connect(path, isolation_level=None)
    catalog = EditableCatalog(connection)
    catalog.put(b"/new", replace(FILE, name=b"new"))
    catalog.connection.rollback()
    catalog.close()
    assert path.read_bytes() == before


def test_bind_mountpoints_can_be_forgotten() -> None:
    catalog = new_catalog()
    catalog.connection.execute("INSERT INTO bind_mountpoints VALUES ('/.cvmfs/snapshots/v1', ?, 9)", (DIGEST.text,))
    assert catalog.bind_mountpoints() == (CatalogReference(RepositoryPath(b"/.cvmfs/snapshots/v1"), DIGEST, 9),)
    catalog.forget_bind_mountpoints(b"/.cvmfs/snapshots/v1")
    assert catalog.bind_mountpoints() == ()
    assert catalog.own.nested == 0


def test_previous_revision_may_be_of_any_algorithm() -> None:
    digest = Digest.parse(DIGEST.text + "-shake128")
    catalog = new_catalog()
    catalog.finish(revision=1, now=0, previous=digest)
    assert Catalog(catalog.connection).properties.previous_revision == digest
