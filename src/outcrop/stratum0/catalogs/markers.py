"""The files that say where nested catalogs begin, and which of them the publisher put there.

`.cvmfscatalog` makes a directory a nested catalog. With `.cvmfsautocatalog` beside it the publisher made the catalog to
keep another one small, and may merge it again; without, somebody wanted it, by hand or by a rule of `/.cvmfsdirtab`.
Both are ordinary empty files that readers see, so what happens to them is part of a change like anything else.
"""

from __future__ import annotations

import stat
from collections.abc import Callable

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.dirtab import Dirtab
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import ROOT, RepositoryPath, join, name, parent
from outcrop.stratum0.catalogs.catalog_tree import MARKER, CatalogTree
from outcrop.stratum0.publishing.change import ChangeSummary
from outcrop.stratum0.publishing.content_index import StoredContent

AUTOMATIC_MARKER = b".cvmfsautocatalog"
MARKER_MODE = stat.S_IFREG | 0o644


class MarkerWriter:
    """Puts markers into `tree` and takes them out, and tells `changes` about it.

    `empty_object` stores the object of an empty file, and is asked only if there is a marker to put. Markers belong to
    the owner of their directory and are `now` seconds old since 1970.
    """

    def __init__(
        self, tree: CatalogTree, changes: ChangeSummary, empty_object: Callable[[], StoredContent], now: int
    ) -> None:
        self._tree = tree
        self._changes = changes
        self._empty_object = empty_object
        self._now = now
        self._content: StoredContent | None = None

    def make_nested(self, directory: RepositoryPath, *, automatic: bool) -> None:
        """Makes `directory`, for which `can_be_nested` holds, a nested catalog."""
        owner = self._tree.lookup(directory)
        assert owner is not None, directory
        for marker in (MARKER, AUTOMATIC_MARKER) if automatic else (MARKER,):
            if self._tree.lookup(join(directory, marker)) is None:
                self._put(join(directory, marker), owner)
        self._tree.make_nested(directory)

    def merge(self, directory: RepositoryPath) -> None:
        """Takes both markers and the catalog of their own from `directory`, which has an automatic one."""
        for marker in (MARKER, AUTOMATIC_MARKER):
            self.remove(join(directory, marker))
        self._tree.dissolve(directory)

    def remove(self, path: RepositoryPath) -> None:
        """Takes the file at `path` away."""
        self._changes.note_removed(path, self._tree.remove(path))

    def _put(self, path: RepositoryPath, owner: Entry) -> None:
        content = self._content = self._content or self._empty_object()
        assert content.digest is not None, "an empty file has no chunks"
        entry = Entry(
            name=name(path),
            mode=MARKER_MODE,
            size=content.size,
            mtime=self._now,
            uid=owner.uid,
            gid=owner.gid,
            digest=content.digest,
            algorithm=content.digest.algorithm,
            compression=content.compression,
        )
        self._tree.put(path, entry)
        self._changes.note_put(path, Effect.ADDED, size=entry.size)


def can_be_nested(tree: CatalogTree, directory: RepositoryPath) -> bool:
    """Whether there is such a directory, not yet a nested catalog, and room for the markers in it."""
    entry = tree.lookup(directory)
    if directory == ROOT or entry is None or not entry.is_directory:
        return False
    if entry.is_hidden or entry.is_bind_mountpoint or tree.is_nested(directory):
        return False
    markers = [tree.lookup(join(directory, marker)) for marker in (MARKER, AUTOMATIC_MARKER)]
    return all(marker is None or marker.is_file for marker in markers)


def is_automatic(tree: CatalogTree, directory: RepositoryPath) -> bool:
    """Whether the publisher made `directory` a nested catalog to keep another one small."""
    marker = tree.lookup(join(directory, AUTOMATIC_MARKER))
    return marker is not None and marker.is_file and tree.is_nested(directory)


def is_kept_marker(tree: CatalogTree, path: RepositoryPath, dirtab: Dirtab) -> bool:
    """Whether the entry at `path` is a marker that stays when its directory comes in again without it.

    Whoever publishes the same tree twice does not bring the publisher's own markers along: those of automatic
    catalogs, and those that `dirtab` (the rules as they are before the change) asks for.
    """
    directory = parent(path)
    if name(path) not in (MARKER, AUTOMATIC_MARKER):
        return False
    return is_automatic(tree, directory) or (name(path) == MARKER and dirtab.matches(directory))
