"""How many entries of one catalog lie below each of its directories, and where it can be split.

Everything here is worked out from two passes over the catalog, whatever the number of its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.entry import Mark
from outcrop.cvmfs.paths import PathHash, RepositoryPath, join, parent, path_hash
from outcrop.stratum0.catalogs.catalog_limits import CatalogLimits

MARKERS_OF_AN_AUTOMATIC_CATALOG = 2
"""What a catalog that is split off has more than what it took along: `.cvmfscatalog` and `.cvmfsautocatalog`."""

_UNSPLITTABLE = Mark.NESTED_MOUNTPOINT | Mark.BIND_MOUNTPOINT | Mark.HIDDEN
"""Another catalog begins at such a directory already, or nobody is to notice that it is there."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of a catalog.

    `children` is where the directories directly in it stand in the list of all; `rows` counts the entries directly in
    it, directories included.
    """

    path: RepositoryPath
    rows: int
    children: range
    is_splittable: bool


@dataclass(frozen=True, slots=True)
class Part:
    """Entries that belong into one catalog, markers not counted: those at and below `path`, but for deeper parts."""

    path: RepositoryPath
    entries: int


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """How a catalog is split: `parts` go into catalogs of their own, deeper ones first; `left` stays."""

    parts: tuple[Part, ...]
    left: Part


def directories(catalog: Catalog, mountpoint: RepositoryPath) -> list[Directory]:
    """The directories of `catalog`, which is mounted at `mountpoint`, nearer ones first; the first is its own root."""
    with sqlite_border(catalog.what):
        counts = {
            PathHash(parent1, parent2): rows
            for parent1, parent2, rows in catalog.connection.execute(
                "SELECT parent_1, parent_2, count(*) FROM catalog GROUP BY parent_1, parent_2"
            )
        }
        inside: dict[PathHash, list[tuple[PathHash, bytes, int]]] = {}
        for path1, path2, parent1, parent2, name, flags in catalog.connection.execute(
            "SELECT md5path_1, md5path_2, parent_1, parent_2, name, flags FROM catalog WHERE flags & 1"
        ):
            inside.setdefault(PathHash(parent1, parent2), []).append((PathHash(path1, path2), name, flags))
    found: list[Directory] = []
    waiting = [(path_hash(mountpoint), mountpoint, False)]
    for key, path, is_splittable in waiting:
        first = len(waiting)
        waiting += [
            (child, join(path, name), not flags & _UNSPLITTABLE)
            for child, name, flags in sorted(inside.get(key, ()), key=lambda row: row[1])
        ]
        found.append(Directory(path, counts.get(key, 0), range(first, len(waiting)), is_splittable))
    return found


def with_upcoming(found: Sequence[Directory], upcoming: Mapping[RepositoryPath, int]) -> list[Directory]:
    """`found` and the directories that are still to come, in the same order.

    `upcoming` says how many entries come directly into each directory, new or not, directories included."""
    known = {one.path: one for one in found}
    inside = {one.path: [found[child].path for child in one.children] for one in found}
    linked = set(known)
    for directory in upcoming:
        path = directory
        while path not in linked:
            linked.add(path)
            inside.setdefault(parent(path), []).append(path)
            path = parent(path)
    together: list[Directory] = []
    waiting = [found[0].path]
    for path in waiting:
        first = len(waiting)
        waiting += sorted(inside.get(path, ()))
        old = known.get(path)
        rows = (old.rows if old else 0) + upcoming.get(path, 0)
        together.append(Directory(path, rows, range(first, len(waiting)), old is None or old.is_splittable))
    return together


def plan_split(found: Sequence[Directory], limits: CatalogLimits) -> SplitPlan:
    """How to split a catalog with the directories `found`; no parts where it is small enough, or nothing can be done.

    From the bottom up: where a directory alone exceeds the maximum, the largest directories in it leave until half of
    the maximum is left, or only directories below the minimum are. A flat directory that exceeds the maximum leaves
    as it is: what lies beside it gets rid of it.
    """
    entries = [1] * len(found)  # at and below each directory, and in no part
    parts: list[Part] = []
    for index in reversed(range(len(found))):
        directory = found[index]
        entries[index] += directory.rows + sum(entries[child] - 1 for child in directory.children)
        most = limits.maximum - (MARKERS_OF_AN_AUTOMATIC_CATALOG if index else 0)
        if entries[index] <= most:
            continue
        for child in sorted(directory.children, key=lambda child: (-entries[child], found[child].path)):
            if entries[index] <= limits.after_split or entries[child] < limits.minimum:
                break
            if found[child].is_splittable:
                parts.append(Part(found[child].path, entries[child]))
                entries[index] -= entries[child] - 1
                entries[child] = 1
    return SplitPlan(tuple(parts), Part(found[0].path, entries[0]))
