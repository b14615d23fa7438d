"""Catalogs of a large new tree, made before its entries are written: a row that is written once need not be moved.

What is planned is what `balance` would come to afterwards. It is planned only where nothing else has a say: for a tree
that goes where there is nothing yet, and brings no markers, in a repository without rules.
"""

from __future__ import annotations

from collections.abc import Mapping

from outcrop.cvmfs.dirtab import NO_RULES, Dirtab
from outcrop.cvmfs.paths import RepositoryPath, ancestors
from outcrop.stratum0.catalogs.catalog_limits import CatalogLimits
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.catalogs.directory_sizes import directories, plan_split, with_upcoming
from outcrop.stratum0.catalogs.markers import MarkerWriter


class EarlyNesting:
    """Makes catalogs in `tree` by `writer`, as `limits` will want them; none where `dirtab` has rules."""

    def __init__(self, tree: CatalogTree, writer: MarkerWriter, limits: CatalogLimits | None, dirtab: Dirtab) -> None:
        self._tree = tree
        self._writer = writer
        self._limits = limits if dirtab is NO_RULES else None
        self._planned: frozenset[RepositoryPath] = frozenset()

    def plan(self, at: RepositoryPath, upcoming: Mapping[RepositoryPath, int]) -> None:
        """Plans for a tree at the path `at`: `upcoming` says how many entries come directly into each directory."""
        tree = self._tree
        limits = self._limits
        entries = sum(upcoming.values())
        if limits is None or entries < limits.minimum or (tree.lookup(at) is not None and tree.children(at)):
            return
        nearest = next(path for path in reversed([*ancestors(at), at]) if tree.lookup(path) is not None)
        mountpoint = tree.mountpoint_inside(nearest)
        catalog = tree.catalog_inside(nearest)
        if catalog.own.entries + entries <= limits.maximum:
            return
        plan = plan_split(with_upcoming(directories(catalog, mountpoint), upcoming), limits)
        self._planned = frozenset(part.path for part in plan.parts if part.path in upcoming and part.path != at)

    def begin(self, directory: RepositoryPath) -> None:
        """To be called when `directory` is there and nothing is in it yet."""
        if directory in self._planned:
            self._writer.make_nested(directory, automatic=True)
