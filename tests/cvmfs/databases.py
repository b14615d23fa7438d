"""Catalogs for tests: written from generated content, counted again, and opened to break them by hand."""

from __future__ import annotations

import itertools
import sqlite3
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

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


def endless_catalog() -> bytes:
    """A catalog's file with six levels of pages that all name one child 125 times: more rows than anybody can read."""
    catalog = new_catalog()
    for number in range(3000):
        catalog.put(b"/%d" % number, replace(FILE, name=b"%d" % number))
    catalog.finish(revision=1, now=0, previous=None)
    (root,) = catalog.connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'catalog'").fetchone()
    pages = Pages(bytearray(database_to_bytes(catalog.connection)))
    widest = max(pages.children(root), key=lambda number: len(pages.children(number)))
    template = pages.page(widest)
    levels = [root, *pages.children(widest)[:6]]
    for number, child in itertools.pairwise([*levels, pages.children(widest)[10]]):
        pages.put(number, template, child)
    return bytes(pages.data)


@dataclass
class Pages:
    """A database's file as pages of 1024 bytes, numbered from 1; interior pages of a table name their children."""

    data: bytearray

    def page(self, number: int) -> bytes:
        return bytes(self.data[(number - 1) * 1024 : number * 1024])

    def places(self, page: bytes) -> list[int]:
        """Where in an interior page the numbers of its children stand."""
        (cells,) = struct.unpack_from(">H", page, 3)
        return [*struct.unpack_from(f">{cells}H", page, 12), 8]

    def children(self, number: int) -> list[int]:
        page = self.page(number)
        return [struct.unpack_from(">I", page, place)[0] for place in self.places(page)]

    def put(self, number: int, template: bytes, child: int) -> None:
        """Makes the page a copy of `template` with the one `child` in all places."""
        page = bytearray(template)
        for place in self.places(template):
            struct.pack_into(">I", page, place, child)
        self.data[(number - 1) * 1024 : number * 1024] = page
