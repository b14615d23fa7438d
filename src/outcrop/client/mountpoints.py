"""Where in a tree each catalog shows, and which one says what lies at a path.

A nested catalog covers its mountpoint and everything below. A bind mountpoint shows another root catalog at a path:
paths below it are looked up in that catalog, and in those nested in it, with the mountpoint's path taken off and the
bound catalog's own prefix put in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors

MAXIMUM_NESTING = 64
"""Catalogs within catalogs. Real repositories have about five; a chain that never ends must."""


@dataclass(frozen=True, slots=True)
class Mountpoint:
    """A catalog at a place of the tree.

    `path` is where it shows, `inner_path` the same place in the catalog's own paths; `depth` counts the catalogs
    above it. `bound` says that it belongs to another revision, not to the tree that it shows in.
    """

    path: RepositoryPath
    inner_path: RepositoryPath
    reference: CatalogReference
    depth: int = 0
    bound: bool = False

    def inner(self, path: bytes) -> RepositoryPath:
        """`path` of the tree, as the catalog's rows know it."""
        return RepositoryPath(self.inner_path + path[len(self.path) :])

    def outer(self, inner_path: bytes) -> RepositoryPath:
        """A path of the catalog's rows, as a path of the tree."""
        return RepositoryPath(self.path + inner_path[len(self.inner_path) :])


@dataclass(frozen=True, slots=True)
class CatalogMap:
    """The catalogs that hang directly below one catalog, by their paths in the tree."""

    below: Mapping[bytes, Mountpoint]

    def covering(self, path: bytes) -> Mountpoint | None:
        """The one that `path` belongs to: its mountpoint is `path` or above it. None where there is none."""
        if not self.below:
            return None
        found = self.below.get(path)
        if found is not None:
            return found
        for ancestor in reversed(ancestors(path)):
            found = self.below.get(ancestor)
            if found is not None:
                return found
        return None


def root_mountpoint(reference: CatalogReference) -> Mountpoint:
    """The place of the root catalog."""
    return Mountpoint(ROOT, ROOT, reference)
