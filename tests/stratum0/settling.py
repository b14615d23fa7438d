"""A repository whose tree is edited directly, with its nested catalogs settled after every change."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.catalog_edit import EditableCatalog
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.dirtab import Dirtab
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, join, name, parent
from outcrop.stratum0.catalogs.catalog_limits import CatalogLimits
from outcrop.stratum0.catalogs.catalog_tree import MARKER, CatalogTree
from outcrop.stratum0.catalogs.markers import AUTOMATIC_MARKER, is_kept_marker
from outcrop.stratum0.catalogs.nesting import DIRTAB_PATH, read_dirtab, settle_catalogs
from outcrop.stratum0.publishing.change import ChangeSummary
from outcrop.stratum0.publishing.content_index import StoredContent
from outcrop.stratum0.publishing.publication import NextRevision, publish_revision
from tests.conformance.section16 import Violation, check_repository
from tests.stratum0.conftest import NAME, Publisher

MARKERS = (MARKER, AUTOMATIC_MARKER)
SMALL = CatalogLimits(maximum=20, minimum=5)
"""Limits at which a handful of files shows everything."""


def directory_entry(path: bytes) -> Entry:
    return Entry(name=name(path), mode=stat.S_IFDIR | 0o755, size=4096, mtime=1_500_000_000, uid=7, gid=8, linkcount=2)


def files(directory: str, count: int) -> list[bytes]:
    """The paths of `count` files in `directory`."""
    return [f"{directory}/file{number:04}".encode() for number in range(count)]


@dataclass
class Settled:
    """What one change came to."""

    summary: ChangeSummary
    notes: tuple[str, ...]
    published: bool
    emptied: int
    """How often the object of an empty file was asked for."""


@dataclass
class SettledRepository:
    """`publisher`'s repository. `limits` are those of every change."""

    publisher: Publisher
    limits: CatalogLimits | None = field(default=SMALL)
    loaded: list[Digest] = field(default_factory=list)

    def put(self, *paths: bytes, rules: bytes | None = None) -> Settled:
        """Adds files at `paths` (directories where they end with `/`), with the directories that lead there."""
        return self.change(lambda edit: edit.put(paths, rules))

    def remove(self, *paths: bytes) -> Settled:
        def edit(edit: Edit) -> None:
            for path in paths:
                edit.remove(path)

        return self.change(edit)

    def replace(self, top: bytes, *paths: bytes) -> Settled:
        """Makes `paths` all there is at and below `top`, as `--replace` does."""
        return self.change(lambda edit: edit.replace(top, paths))

    def change(self, edit: Callable[[Edit], None], *, settle: bool = True) -> Settled:
        """Publishes what `edit` does, if it does anything."""
        publisher, repository = self.publisher, self.publisher.repository
        publisher.now += timedelta(minutes=1)
        moment = int(publisher.now.timestamp())
        key = repository.signing_key()
        manifest = repository.manifest(key)
        tree = self.tree()
        summary = ChangeSummary()
        stored = 0

        def empty_object() -> StoredContent:
            nonlocal stored
            stored += 1
            return self._stored(b"")

        try:
            edit(Edit(tree, summary, self._stored, read_dirtab(tree, repository.store.read)))
            notes: tuple[str, ...] = ()
            if settle:
                dirtab = read_dirtab(tree, repository.store.read)
                notes = settle_catalogs(
                    tree, summary, dirtab=dirtab, limits=self.limits, empty_object=empty_object, now=moment
                )
            if summary.is_empty:
                assert not tree.is_changed
                return Settled(summary, notes, False, stored)
            revision = Revision(manifest.revision + 1)
            written = tree.write(
                lambda data: repository.store_database(data, ObjectKind.CATALOG), revision=revision, now=moment, ttl=240
            )
        finally:
            tree.close()
        publish_revision(repository, key, manifest, NextRevision(written.root, revision, moment))
        return Settled(summary, notes, True, stored)

    def tree(self) -> CatalogTree:
        """The current revision. `loaded` gets the digests of the catalogs that are read of it, but for the root."""
        repository = self.publisher.repository
        tree = repository.catalog_tree(repository.manifest(repository.signing_key()))
        load = tree._load
        self.loaded.clear()

        def noted(digest: Digest) -> bytes:
            self.loaded.append(digest)
            return load(digest)

        tree._load = noted
        return tree

    def entries(self) -> dict[bytes, Entry]:
        """Everything but the root, links of directories and marks of nested catalogs included."""
        tree = self.tree()
        found: dict[bytes, Entry] = {}
        waiting = [ROOT]
        while waiting:
            directory = waiting.pop()
            for entry in tree.children(directory):
                path = join(directory, entry.name)
                found[path] = entry
                if entry.is_directory:
                    waiting.append(path)
        tree.close()
        return found

    def paths(self) -> set[bytes]:
        """Every path but the root and the markers."""
        return {path for path in self.entries() if name(path) not in MARKERS}

    def nested(self) -> dict[bytes, bool]:
        """Where catalogs begin, each with whether it is an automatic one."""
        entries = self.entries()
        found = {}
        for path, entry in entries.items():
            assert entry.is_nested_mountpoint == (join(path, MARKER) in entries), path
            if entry.is_nested_mountpoint:
                found[path] = join(path, AUTOMATIC_MARKER) in entries
        return found

    def sizes(self) -> dict[bytes, int]:
        """How many entries each catalog has."""
        tree = self.tree()
        found = {}
        for path in [ROOT, *map(RepositoryPath, self.nested())]:
            catalog: EditableCatalog = tree.catalog_inside(path)
            found[bytes(path)] = catalog.own.entries
        tree.close()
        return found

    def violations(self) -> list[Violation]:
        publisher = self.publisher
        moment = publisher.now + timedelta(seconds=1)
        return check_repository(publisher.storage, [publisher.public_key], NAME, now=moment)

    def _stored(self, data: bytes) -> StoredContent:
        stored = zlib.compress(data)
        digest = Digest.of(stored)
        self.publisher.repository.store.write(ObjectName(digest, ObjectKind.FILE).path, stored)
        return StoredContent(len(data), Compression.ZLIB, digest)


@dataclass
class Edit:
    """Changes a tree and tells the summary, as an ingest does."""

    tree: CatalogTree
    summary: ChangeSummary
    store: Callable[[bytes], StoredContent]
    rules: Dirtab
    """The rules before the change."""

    def put(self, paths: Iterable[bytes], rules: bytes | None = None) -> None:
        if rules is not None:
            self.file(DIRTAB_PATH, rules)
        for path in paths:
            place = RepositoryPath(path.rstrip(b"/"))
            for above in ancestors(place)[1:]:
                self.directory(above)
            if path.endswith(b"/"):
                self.directory(place)
            else:
                self.file(place)

    def directory(self, path: RepositoryPath) -> None:
        if self.tree.lookup(path) is None:
            self.entry(path, directory_entry(path))

    def file(self, path: RepositoryPath, data: bytes | None = None) -> None:
        is_marker = name(path) in MARKERS
        content = self.store((b"" if is_marker else name(path)) if data is None else data)
        entry = Entry(
            name=name(path),
            mode=stat.S_IFREG | 0o644,
            size=content.size,
            mtime=1_500_000_000,
            digest=content.digest,
            compression=content.compression,
        )
        self.entry(path, entry)
        if name(path) == MARKER and not self.tree.is_nested(parent(path)):
            self.tree.make_nested(parent(path))

    def remove(self, path: bytes) -> None:
        place = RepositoryPath(path)
        self.summary.note_removed(place, self.tree.remove(place))
        if name(path) == MARKER:
            self.tree.dissolve(parent(place))

    def replace(self, top: bytes, paths: Iterable[bytes]) -> None:
        kept = {above for path in paths for above in [*ancestors(path.rstrip(b"/")), path.rstrip(b"/")]}
        waiting = [RepositoryPath(top)]
        while waiting:
            directory = waiting.pop()
            for child in self.tree.children(directory):
                path = join(directory, child.name)
                if path in kept:
                    waiting += [path] if child.is_directory else []
                elif not is_kept_marker(self.tree, path, self.rules):
                    self.remove(path)
        self.put(paths)

    def entry(self, path: RepositoryPath, entry: Entry) -> None:
        """Puts `entry`, unless it is there already."""
        old = self.tree.lookup(path)
        if old == entry:
            self.summary.unchanged += 1
            return
        self.tree.put(path, entry)
        self.summary.note_put(path, Effect.ADDED if old is None else Effect.CHANGED)
