"""Catalogs for tests: written from generated content, counted again, and opened to break them by hand."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterable

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.catalog_edit import EditableCatalog
from outcrop.cvmfs.counters import Counts, counts_of
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Chunk, Entry, Mark
from tests.cvmfs.strategies import CatalogContent, StoredEntry

DIGEST = Digest(Algorithm.SHA1, bytes(range(20)))
ROOT_ENTRY = Entry(b"", stat.S_IFDIR | 0o755, size=4096, linkcount=2)
FILE = Entry(b"file", stat.S_IFREG | 0o644, size=3, digest=DIGEST)
CHUNKED = Entry(b"big", stat.S_IFREG | 0o644, size=30, marks=Mark.CHUNKED)
CHUNKS = (Chunk(0, 10, DIGEST), Chunk(10, 20, DIGEST))


def empty_database() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def new_catalog(root: Entry = ROOT_ENTRY, path: bytes = b"") -> EditableCatalog:
    return EditableCatalog.create(empty_database(), path, root)


def finished(catalog: EditableCatalog) -> Catalog:
    """What another process reads when `catalog` is published."""
    catalog.finish(revision=1, now=1_700_000_000, previous=None)
    return Catalog.parse(database_to_bytes(catalog.connection))


def small_catalog() -> EditableCatalog:
    """A root directory, a file and a file of two chunks, ready to be broken; `finish` is done."""
    catalog = new_catalog()
    catalog.put(b"/file", FILE)
    catalog.put(b"/big", CHUNKED, CHUNKS)
    catalog.finish(revision=1, now=1_700_000_000, previous=None)
    return catalog


def written(content: CatalogContent) -> EditableCatalog:
    """`content` in a catalog that is still open."""
    catalog = new_catalog(content.rows[content.mountpoint].entry, content.mountpoint)
    for path, stored in content.rows.items():
        if path != content.mountpoint:
            catalog.put(path, stored.entry, stored.chunks)
    for reference in content.nested.values():
        catalog.set_nested(reference)
    return catalog


def counted(rows: Iterable[StoredEntry], nested: int) -> Counts:
    """The statistics that `rows` and `nested` references must have."""
    total = Counts(nested=nested)
    for stored in rows:
        total += counts_of(stored.entry, len(stored.chunks))
    return total
