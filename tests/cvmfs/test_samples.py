"""Everything that the reference implementation published parses, and its statistics are what we count."""

from __future__ import annotations

import pytest

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.catalog_edit import EditableCatalog
from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.compression import inflate
from outcrop.cvmfs.counters import Counts, counts_of
from outcrop.cvmfs.database import database_from_bytes
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Chunk, Entry
from outcrop.cvmfs.history import History
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.objects import ObjectKind
from outcrop.cvmfs.paths import RepositoryPath, join
from tests.cvmfs.samples import NAMES, Sample, sample

every_sample = pytest.mark.parametrize("repository", [sample(name) for name in NAMES], ids=NAMES)


@every_sample
def test_every_object_has_its_digest_and_parses(repository: Sample) -> None:
    seen = 0
    for name, stored in repository.objects:
        assert Digest.of(stored, name.digest.algorithm) == name.digest
        what = str(name)
        if name.kind is ObjectKind.CATALOG:
            catalog = Catalog.parse(inflate(stored, what=what), what)
            assert len(list(catalog.rows())) == catalog.counters.own.entries
            catalog.bind_mountpoints()
        elif name.kind is ObjectKind.HISTORY:
            assert History.parse(inflate(stored, what=what)).tags()
        elif name.kind is ObjectKind.CERTIFICATE:
            Certificate.parse(inflate(stored, what=what))
        elif name.kind is ObjectKind.METAINFO:
            Metainfo.parse(inflate(stored, what=what))
        seen += 1
    assert seen > 100


def tree(catalog: Catalog, path: RepositoryPath, entry: Entry) -> list[tuple[RepositoryPath, Entry]]:
    """`entry` and everything below it that `catalog` itself holds, with paths."""
    found = [(path, entry)]
    if entry.is_directory:
        for child in catalog.children(path):
            found += tree(catalog, join(path, child.name), child)
    return found


@every_sample
def test_statistics_are_what_we_count(repository: Sample) -> None:
    def check(catalog: Catalog) -> Counts:
        """The counts of `catalog` and of all below it, each compared with what the catalog says."""
        prefix = catalog.properties.root_prefix
        root = catalog.lookup(prefix)
        assert root is not None
        own = Counts(nested=len(catalog.nested_catalogs()))
        for path, entry in tree(catalog, prefix, root):
            own += counts_of(entry, len(catalog.chunks(path, entry)) if entry.is_chunked else 0)
        subtree = Counts()
        for nested in catalog.nested_catalogs():
            subtree += check(repository.catalog(nested.digest))
        assert catalog.counters.own == own, prefix
        assert catalog.counters.subtree == subtree, prefix
        return own + subtree

    manifest = repository.manifest
    root = repository.catalog(manifest.root_catalog)
    assert root.properties.revision == manifest.revision
    assert root.properties.ttl == manifest.ttl
    assert len(repository.plain(manifest.root_catalog, ObjectKind.CATALOG)) == manifest.root_catalog_size
    assert check(root).nested


@every_sample
def test_a_catalog_that_is_opened_for_change_and_written_again_says_the_same(repository: Sample) -> None:
    for catalog in repository.catalogs():
        prefix = catalog.properties.root_prefix
        root = catalog.lookup(prefix)
        assert root is not None
        rows = {path: (entry, chunks_of(catalog, path, entry)) for path, entry in tree(catalog, prefix, root)}
        copy = EditableCatalog(database_from_bytes(catalog.connection.serialize(), catalog.what))
        counters = copy.own
        for path, (entry, chunks) in rows.items():
            copy.put(path, entry, chunks)
        assert copy.own == counters
        copy.finish(revision=catalog.properties.revision, now=0, previous=None)
        assert {path: (copy.lookup(path), chunks_of(copy, path, entry)) for path, (entry, _) in rows.items()} == rows
        assert copy.counters == catalog.counters


def chunks_of(catalog: Catalog, path: RepositoryPath, entry: Entry) -> tuple[Chunk, ...]:
    return catalog.chunks(path, entry) if entry.is_chunked else ()


@every_sample
def test_every_object_that_a_catalog_names_is_there(repository: Sample) -> None:
    for catalog in repository.catalogs():
        prefix = catalog.properties.root_prefix
        root = catalog.lookup(prefix)
        assert root is not None
        for path, entry in tree(catalog, prefix, root):
            if entry.is_external:
                continue
            if entry.digest is not None:
                repository.stored(entry.digest, ObjectKind.FILE)
            if entry.is_chunked:
                for chunk in catalog.chunks(path, entry):
                    repository.stored(chunk.digest, ObjectKind.CHUNK)


def test_the_samples_have_what_they_are_kept_for() -> None:
    kinds = set()
    marks = set()
    for name in NAMES:
        for catalog in sample(name).catalogs():
            for row in catalog.rows():
                kinds.add(row.entry.kind)
                marks |= set(row.entry.marks)
    assert {kind.name for kind in kinds} >= {"DIRECTORY", "FILE", "SYMLINK", "FIFO", "SOCKET", "CHARACTER_DEVICE"}
    assert {mark.name for mark in marks} >= {"NESTED_MOUNTPOINT", "NESTED_ROOT", "CHUNKED", "HIDDEN"}
