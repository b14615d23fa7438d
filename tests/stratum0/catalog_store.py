"""Catalogs kept in a dictionary, and a reader that takes nothing of what they say of themselves on trust."""

from __future__ import annotations

import hashlib
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.counters import Counts
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Chunk, Entry, Mark
from outcrop.cvmfs.paths import ROOT, RepositoryPath, join, name, parent, path_hash
from outcrop.stratum0.catalogs.catalog_tree import MARKER, CatalogTree, WrittenCatalogs

TOP = Entry(b"", stat.S_IFDIR | 0o755, size=4096, linkcount=2)


def tag(content: str) -> Digest:
    """The digest of an object that nobody looks at."""
    return Digest.of(content.encode())


@dataclass
class CatalogStore:
    """The catalogs of one repository. `loaded` and `stored` tell which of them were looked at and written lately."""

    catalogs: dict[Digest, bytes] = field(default_factory=dict)
    root: CatalogReference | None = None
    revision: int = 0
    loaded: list[Digest] = field(default_factory=list)
    stored: list[Digest] = field(default_factory=list)

    def open(self) -> CatalogTree:
        return CatalogTree(self._load, self.root, TOP if self.root is None else None)

    def change(self, edit: Callable[[CatalogTree], object]) -> WrittenCatalogs | None:
        """Writes what `edit` changes as a new revision, if it changes anything. An error changes nothing."""
        self.loaded, self.stored = [], []
        tree = self.open()
        try:
            edit(tree)
            if not tree.is_changed:
                return None
            self.revision += 1
            written = tree.write(self._store, revision=self.revision, now=1_700_000_000, ttl=240)
        finally:
            tree.close()
        self.root = written.root
        return written

    def _load(self, digest: Digest) -> bytes:
        self.loaded.append(digest)
        return self.catalogs[digest]

    def _store(self, data: bytes) -> Digest:
        digest = Digest(Algorithm.SHA1, hashlib.sha1(data).digest())
        self.catalogs[digest] = data
        self.stored.append(digest)
        return digest

    def read(self) -> dict[bytes, Found]:
        """Every path but the root; AssertionError where catalogs contradict each other or themselves."""
        assert self.root is not None
        found: dict[RepositoryPath, Found] = {}
        _read_catalog(self, self.root, found)
        del found[ROOT]
        return {bytes(path): one for path, one in found.items()}

    def nested(self) -> dict[RepositoryPath, CatalogReference]:
        """Every nested catalog by its mountpoint."""
        assert self.root is not None
        waiting, found = [self.root], {}
        for reference in waiting:
            with Catalog.parse(self.catalogs[reference.digest]) as catalog:
                waiting += catalog.nested_catalogs()
            found[reference.path] = reference
        return {path: reference for path, reference in found.items() if path}


@dataclass(frozen=True)
class Found:
    """An entry as a reader finds it. `names` are all its names in its directory."""

    entry: Entry
    catalog: RepositoryPath
    chunks: tuple[Chunk, ...] = ()
    names: frozenset[bytes] = frozenset()


def _read_catalog(
    store: CatalogStore, reference: CatalogReference, found: dict[RepositoryPath, Found]
) -> tuple[Entry, Counts]:
    """Puts all that lies at and below the catalog's mountpoint into `found`; gives its root's row and its totals."""
    data = store.catalogs[reference.digest]
    assert len(data) == reference.size
    with Catalog.parse(data) as catalog:
        top = catalog.lookup(reference.path)
        assert top is not None
        assert top.is_nested_root == bool(reference.path)
        assert catalog.properties.root_prefix == reference.path
        rows = _rows(catalog, reference.path, top)
        assert len(rows) == len(list(catalog.rows())), "rows that no directory leads to"
        nested = {one.path: one for one in catalog.nested_catalogs()}
        assert set(nested) == {path for path, one in rows.items() if one.entry.is_nested_mountpoint}
        (chunk_rows,) = catalog.connection.execute("SELECT count(*) FROM chunks").fetchone()
        assert chunk_rows == sum(len(one.chunks) for one in rows.values())
        assert catalog.counters.own == _recounted(rows, len(nested))
        found.update(rows)
        below = Counts()
        for path, one in nested.items():
            mountpoint = rows[RepositoryPath(path)].entry
            root, counts = _read_catalog(store, one, found)
            assert _without_marks(root) == _without_marks(mountpoint)
            assert join(path, MARKER) in found
            found[path] = Found(mountpoint, path)
            below += counts
        assert catalog.counters.subtree == below
        _check_directories(rows, found, reference.path)
        return top, catalog.counters.total


def _rows(catalog: Catalog, top: RepositoryPath, top_entry: Entry) -> dict[RepositoryPath, Found]:
    rows = {top: Found(top_entry, top)}
    waiting = [top]
    for directory in waiting:
        children = catalog.children(directory)
        members: dict[int, set[bytes]] = {}
        for entry in children:
            if entry.hardlink_group:
                members.setdefault(entry.hardlink_group, set()).add(entry.name)
        for entry in children:
            path = join(directory, entry.name)
            names = frozenset(members.get(entry.hardlink_group, {entry.name}))
            if not entry.is_directory:
                assert entry.linkcount == len(names), path
            rows[path] = Found(entry, top, catalog.chunks(path, entry) if entry.is_chunked else (), names)
            if entry.is_directory and not entry.is_nested_mountpoint:
                waiting.append(path)
    directories = Counter((group, parent(path)) for path, one in rows.items() if (group := one.entry.hardlink_group))
    groups = [group for group, _ in directories]
    assert len(groups) == len(set(groups)), "two directories share a number of a hard link group"
    return rows


def _check_directories(
    rows: dict[RepositoryPath, Found], found: dict[RepositoryPath, Found], top: RepositoryPath
) -> None:
    """Each directory has two links, and one for each directory in it; where a catalog begins lies its marker."""
    subdirectories = Counter(parent(path) for path, one in rows.items() if one.entry.is_directory and path != top)
    for path, one in rows.items():
        if one.entry.is_directory and not one.entry.is_nested_mountpoint:
            assert one.entry.linkcount == 2 + subdirectories[path], path
    for path, one in rows.items():
        if name(path) == MARKER and one.entry.is_file and parent(path) != ROOT:
            assert parent(path) == top, f"{path!r} has no catalog of its own"


def _recounted(rows: dict[RepositoryPath, Found], nested: int) -> Counts:
    kinds = Counter(stat.S_IFMT(one.entry.mode) for one in rows.values())
    files = [one for one in rows.values() if one.entry.is_file]
    chunked = [one for one in files if one.chunks]
    known = kinds[stat.S_IFREG] + kinds[stat.S_IFLNK] + kinds[stat.S_IFDIR]
    return Counts(
        regular=kinds[stat.S_IFREG],
        symlink=kinds[stat.S_IFLNK],
        special=kinds.total() - known,
        dir=kinds[stat.S_IFDIR],
        nested=nested,
        chunked=len(chunked),
        chunks=sum(len(one.chunks) for one in chunked),
        file_size=sum(one.entry.size for one in files),
        chunked_size=sum(one.entry.size for one in chunked),
        xattr=sum(bool(one.entry.xattrs) for one in rows.values()),
    )


def _without_marks(entry: Entry) -> tuple[object, ...]:
    marks = entry.marks & ~(Mark.NESTED_ROOT | Mark.NESTED_MOUNTPOINT)
    return (path_hash(entry.name), entry.mode, entry.mtime, entry.uid, entry.gid, entry.linkcount, entry.xattrs, marks)
