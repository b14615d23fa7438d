"""Catalogs kept at a size that clients bear: large ones are split, automatic ones that became useless are merged.

Only catalogs that a change rewrites anyway are looked at. Merging comes first, the deepest catalogs first, and only
where the parent stays clear of the size at which it would be split; so nothing is merged and split in one publish.
"""

from __future__ import annotations

from collections.abc import Iterator

from outcrop.cvmfs.dirtab import Dirtab
from outcrop.cvmfs.paths import ROOT, parent, shown
from outcrop.stratum0.catalogs.catalog_limits import CatalogLimits
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.catalogs.directory_sizes import MARKERS_OF_AN_AUTOMATIC_CATALOG, directories, plan_split
from outcrop.stratum0.catalogs.markers import MarkerWriter, can_be_nested, is_automatic


def merge_small(tree: CatalogTree, writer: MarkerWriter, dirtab: Dirtab, limits: CatalogLimits) -> None:
    """Merges the changed automatic catalogs below the minimum into those that hold them.

    One at a place where `dirtab` wants a catalog stays."""
    for path in sorted(tree.changed_catalogs(), key=lambda path: (-path.count(b"/"), path)):
        tree.rest()
        own = tree.catalog_inside(path).own.entries
        if path == ROOT or own >= limits.minimum or dirtab.matches(path) or not is_automatic(tree, path):
            continue
        together = tree.catalog_inside(parent(path)).own.entries + own - 1 - MARKERS_OF_AN_AUTOMATIC_CATALOG
        if together <= limits.after_merge:
            writer.merge(path)


def split_large(tree: CatalogTree, writer: MarkerWriter, limits: CatalogLimits) -> Iterator[str]:
    """Splits the changed catalogs beyond the maximum; yields a sentence on each that stays beyond it."""
    for mountpoint in sorted(tree.changed_catalogs()):
        tree.rest()
        catalog = tree.catalog_inside(mountpoint)
        if catalog.own.entries <= limits.maximum:
            continue
        plan = plan_split(directories(catalog, mountpoint), limits)
        for part in plan.parts:
            tree.rest()
            if can_be_nested(tree, part.path):
                writer.make_nested(part.path, automatic=True)
        for part in (*plan.parts, plan.left):
            if part.entries > limits.maximum:
                yield (
                    f"the catalog {shown(part.path)} has {part.entries:,} entries, more than {limits.maximum:,}, and "
                    f"no directory in it has the {limits.minimum:,} entries for a catalog of its own"
                )
