"""What a revision leads to, held against a walk through the client's tree, and catalogs with unusual rows."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable

import pytest

from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.catalog_edit import EditableCatalog
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Chunk, Entry, Mark
from outcrop.cvmfs.object_keys import catalog_object_keys, key_at, key_kind, key_path, object_key, object_name
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import repository_path
from outcrop.errors import FormatError, NotFound
from outcrop.stratum0.collection.reachable import manifest_objects, reachable_objects
from tests.stratum0.collecting import loader, publish, references
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import published_tree

NAMES = [ObjectName(Digest(algorithm, bytes(range(20))), kind) for algorithm in Algorithm for kind in ObjectKind]


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_a_key_stands_for_one_name(name: ObjectName) -> None:
    key = object_key(name)
    assert object_name(key) == name
    assert key_path(key) == name.path
    assert key_at(name.path) == key
    assert key_kind(key) is name.kind


def test_keys_of_different_objects_differ() -> None:
    assert len({object_key(name) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "data",
        "data/ab",
        "data/ab/",
        "data/txn/1.2.3",
        "data/ab/" + "0" * 37,
        "data/ab/" + "0" * 39,
        "data/ab/" + "0" * 38 + "T",
        "data/ab/" + "0" * 38 + "-md5",
        "data/ab/" + "A" * 38,
        "data/AB/" + "0" * 38,
        "data/ab/" + "0" * 38 + "\n",
        "dada/ab/" + "0" * 38,
        "data/abc" + "0" * 38,
        "data/ab/" + "٣" * 38,
    ],
)
def test_what_is_no_object_name_has_no_key(path: str) -> None:
    assert key_at(path) is None


@pytest.mark.parametrize("algorithm", ["sha1", "rmd160", "shake128"])
def test_a_revision_leads_to_all_that_a_client_asks_for(
    new_publisher: Callable[..., Publisher], algorithm: str
) -> None:
    publisher = new_publisher(hash=algorithm, minimum_chunk_size=1024, average_chunk_size=2048, maximum_chunk_size=4096)
    tree = {"noise": random.Random(3).randbytes(20_000), "empty": b"", "a/same": b"1", "a/b/same": b"1", "a/b/c": b"2"}
    manifest = publish(publisher, tree | {"a/.cvmfscatalog": b"", "a/b/.cvmfscatalog": b""}, at="/top")
    store = publisher.repository.store
    seen = published_tree(store)
    asked = {piece.object for path, entry in seen.walk() if entry.is_file for piece in seen.pieces(path, entry)}
    catalogs = {ObjectName.parse(name) for name in store.names() if name.endswith("C")}
    first = {
        ObjectName(one.digest, ObjectKind.CATALOG) for one in references(store) if one.digest != manifest.root_catalog
    }
    expected = asked | catalogs - first
    found = {object_name(key) for key in reachable_objects(loader(publisher.repository), manifest.root_catalog)}
    assert found == expected
    assert len([name for name in found if name.kind is ObjectKind.CHUNK]) > 3
    assert {name.digest.algorithm.label for name in found} == {algorithm}


def test_a_manifest_names_its_own_objects(publisher: Publisher) -> None:
    manifest = publish(publisher, {"f": "1"})
    kinds = {ObjectKind.CATALOG, ObjectKind.CERTIFICATE, ObjectKind.HISTORY, ObjectKind.METAINFO}
    assert {name.kind for name in manifest_objects(manifest)} == kinds
    assert all(publisher.repository.store.exists(name.path) for name in manifest_objects(manifest))


class Catalogs:
    """Catalogs in memory, by digest; counts how often each is read."""

    def __init__(self) -> None:
        self.data: dict[Digest, bytes] = {}
        self.read: list[Digest] = []

    def add(
        self,
        path: str,
        *entries: Entry,
        nested: dict[str, Digest] | None = None,
        bound: dict[str, Digest] | None = None,
    ) -> Digest:
        catalog = EditableCatalog.create(
            sqlite3.connect(":memory:", isolation_level=None),
            repository_path(path),
            Entry(b"" if path == "/" else path.rpartition("/")[2].encode(), 0o040755, linkcount=2),
            "a catalog",
        )
        for entry in entries:
            chunks = (Chunk(0, entry.size, Digest.of(b"chunk", entry.algorithm)),) if entry.is_chunked else ()
            catalog.put(repository_path(f"{path.rstrip('/')}/{entry.name.decode()}"), entry, chunks)
        for place, digest in (nested or {}).items():
            catalog.set_nested(CatalogReference(repository_path(place), digest, 0))
        for place, digest in (bound or {}).items():
            catalog.connection.execute("INSERT INTO bind_mountpoints VALUES (?, ?, 0)", (place, digest.text))
        catalog.finish(revision=1, now=0, previous=None, ttl=None)
        data = database_to_bytes(catalog.connection)
        catalog.close()
        digest = Digest.of(data)
        self.data[digest] = data
        return digest

    def load(self, digest: Digest) -> Catalog:
        self.read.append(digest)
        if digest not in self.data:
            raise NotFound(what=str(digest))
        return Catalog.parse(self.data[digest])

    def reachable(self, root: Digest, seen: set[Digest] | None = None) -> set[ObjectName]:
        return {object_name(key) for key in reachable_objects(self.load, root, seen)}


def file(name: bytes, **more: object) -> Entry:
    return Entry(name, 0o100644, size=5, digest=Digest.of(name), **more)  # type: ignore[arg-type]


def test_each_catalog_is_read_once_however_many_lead_to_it() -> None:
    catalogs = Catalogs()
    shared = catalogs.add("/shared", file(b"s"))
    old = catalogs.add("/", file(b"old"), nested={"/shared": shared})
    new = catalogs.add("/", file(b"new"), nested={"/shared": shared})
    seen: set[Digest] = set()
    assert len(catalogs.reachable(old, seen)) == 4
    assert catalogs.reachable(new, seen) == {
        ObjectName(new, ObjectKind.CATALOG),
        ObjectName(Digest.of(b"new"), ObjectKind.FILE),
    }
    assert sorted(map(str, catalogs.read)) == sorted(map(str, (old, shared, new)))
    assert seen == {old, shared, new}


def test_a_walk_that_fails_half_way_counts_for_nothing() -> None:
    catalogs = Catalogs()
    whole = catalogs.add("/whole", file(b"w"))
    broken = catalogs.add("/", nested={"/gone": Digest.of(b"gone"), "/whole": whole})
    seen: set[Digest] = set()
    with pytest.raises(NotFound):
        catalogs.reachable(broken, seen)
    assert seen == set()


def test_revisions_that_are_bound_into_a_catalog_are_reached() -> None:
    catalogs = Catalogs()
    tagged = catalogs.add("/", file(b"tagged"))
    snapshots = catalogs.add("/.cvmfs", bound={"/.cvmfs/snapshots/2026.06": tagged})
    root = catalogs.add("/", nested={"/.cvmfs": snapshots})
    assert ObjectName(Digest.of(b"tagged"), ObjectKind.FILE) in catalogs.reachable(root)


def test_external_files_have_no_objects_here_and_chunks_have_the_algorithm_of_their_file() -> None:
    catalogs = Catalogs()
    chunked = Entry(b"big", 0o100644, size=9, marks=Mark.CHUNKED, algorithm=Algorithm.SHAKE128)
    root = catalogs.add("/", file(b"far", marks=Mark.EXTERNAL), chunked)
    with catalogs.load(root) as catalog:
        found = [object_name(key) for key in catalog_object_keys(catalog)]
    assert found == [ObjectName(Digest.of(b"chunk", Algorithm.SHAKE128), ObjectKind.CHUNK)]


@pytest.mark.parametrize(
    "damage",
    ["hash = X'00'", "hash = 7", "flags = 'x'", "flags = 4 | 0x700", "hash = ''"],
)
def test_a_row_that_cannot_be_understood_is_an_error_and_not_passed_over(damage: str) -> None:
    catalogs = Catalogs()
    with catalogs.load(catalogs.add("/", file(b"f"))) as catalog:
        catalog.connection.execute(f"UPDATE catalog SET {damage} WHERE name = CAST('f' AS TEXT)")
        with pytest.raises(FormatError):
            list(catalog_object_keys(catalog))
