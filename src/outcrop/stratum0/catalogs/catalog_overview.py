"""How a revision is divided into catalogs, which of them are too large or useless, and what would mend that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.dirtab import rule_for
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, join, parent, shown
from outcrop.errors import NotFound
from outcrop.progress import SILENT, Progress
from outcrop.stratum0.catalogs.catalog_limits import REFERENCE_NESTED_LIMIT, REFERENCE_ROOT_LIMIT, CatalogLimits
from outcrop.stratum0.catalogs.catalog_tree import MARKER
from outcrop.stratum0.catalogs.directory_sizes import directories, plan_split
from outcrop.stratum0.catalogs.markers import AUTOMATIC_MARKER
from outcrop.stratum0.repository import OwnedRepository

SIBLINGS_FOR_A_STAR = 3
"""From so many directories beside each other on, a rule with `*` says better what is meant than one rule for each."""


class CatalogKind(Enum):
    """Why a catalog begins where it does: by a marker that somebody or a rule put, or one that the publisher put."""

    ROOT = "root"
    MARKED = "marker"
    AUTOMATIC = "automatic"
    UNMARKED = "no marker"


class Verdict(Enum):
    """What is to be said of a catalog's size: beyond what the reference bears, beyond the repository's own maximum, or
    so small, with nothing nested in it, that it costs more than it saves."""

    FINE = ""
    TOO_LARGE = "too large"
    LARGE = "large"
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class CatalogSummary:
    """One catalog. `level` is how many of those told lead to it; sizes are in bytes.

    `entries` and `content_bytes` are its own, those `below` are in the catalogs nested in it, `catalogs_below` in all.
    `rules` would divide it, were they in `/.cvmfsdirtab`; only a catalog that is too large has any.
    """

    path: RepositoryPath
    level: int
    digest: Digest
    kind: CatalogKind
    verdict: Verdict
    entries: int
    entries_below: int
    catalogs_below: int
    database_bytes: int
    content_bytes: int
    content_bytes_below: int
    rules: tuple[bytes, ...] = ()


def catalog_overview(
    repository: OwnedRepository,
    root: CatalogReference,
    *,
    path: RepositoryPath = ROOT,
    depth: int | None = None,
    progress: Progress = SILENT,
) -> list[CatalogSummary]:
    """The catalog that has what is at `path`, and those nested in it at and below `path`, parents before children.

    Catalogs more than `depth` levels below the first are counted but not read. NotFound if there is nothing at `path`.
    """
    progress.start("catalogs", None, "catalogs")
    limits = _limits(repository)
    told: list[CatalogSummary] = []
    waiting = [(_holding(repository, root, path, progress), 0)]
    while waiting:
        reference, level = waiting.pop()
        data = repository.load_catalog(reference.digest)
        with Catalog.parse(data, f"the catalog of {shown(reference.path)}") as catalog:
            told.append(_summary(catalog, reference, level, len(data), limits))
            if depth is None or level < depth:
                nested = [one for one in catalog.nested_catalogs() if is_below(one.path, path)]
                waiting += [(one, level + 1) for one in reversed(nested)]
        progress.advance(detail=shown(reference.path))
    progress.finish()
    return told


def _limits(repository: OwnedRepository) -> CatalogLimits:
    settings = repository.settings
    return CatalogLimits(settings.maximum_catalog_entries, settings.minimum_catalog_entries)


def _holding(
    repository: OwnedRepository, reference: CatalogReference, path: RepositoryPath, progress: Progress
) -> CatalogReference:
    """The catalog that has what is at and below `path`."""
    while path != ROOT:
        with Catalog.parse(repository.load_catalog(reference.digest), f"the catalog of {shown(reference.path)}") as one:
            inner = next((nested for nested in one.nested_catalogs() if is_below(path, nested.path)), None)
            if inner is None and one.lookup(path) is None:
                raise NotFound(
                    what=f"the path {shown(path)} of {repository.name}",
                    hint=f"`outcrop repo catalogs {repository.name}` shows all catalogs",
                )
        if inner is None:
            break
        progress.advance(detail=shown(reference.path))
        reference = inner
    return reference


def _summary(
    catalog: Catalog, reference: CatalogReference, level: int, size: int, limits: CatalogLimits
) -> CatalogSummary:
    counters = catalog.counters
    verdict = _verdict(reference.path, counters.own.entries, counters.own.nested, limits)
    is_large = verdict in (Verdict.LARGE, Verdict.TOO_LARGE)
    return CatalogSummary(
        path=reference.path,
        level=level,
        digest=reference.digest,
        kind=_kind(catalog, reference.path),
        verdict=verdict,
        entries=counters.own.entries,
        entries_below=counters.subtree.entries,
        catalogs_below=counters.total.nested,
        database_bytes=size,
        content_bytes=counters.own.file_size,
        content_bytes_below=counters.subtree.file_size,
        rules=_rules(catalog, reference.path, limits) if is_large else (),
    )


def _verdict(path: RepositoryPath, entries: int, nested: int, limits: CatalogLimits) -> Verdict:
    if entries > (REFERENCE_NESTED_LIMIT if path else REFERENCE_ROOT_LIMIT):
        return Verdict.TOO_LARGE
    if entries > limits.maximum:
        return Verdict.LARGE
    if path and not nested and entries < limits.minimum:
        return Verdict.SMALL
    return Verdict.FINE


def _kind(catalog: Catalog, path: RepositoryPath) -> CatalogKind:
    if path == ROOT:
        return CatalogKind.ROOT
    if catalog.lookup(join(path, MARKER)) is None:
        return CatalogKind.UNMARKED
    return CatalogKind.MARKED if catalog.lookup(join(path, AUTOMATIC_MARKER)) is None else CatalogKind.AUTOMATIC


def _rules(catalog: Catalog, mountpoint: RepositoryPath, limits: CatalogLimits) -> tuple[bytes, ...]:
    plan = plan_split(directories(catalog, mountpoint), limits)
    return tuple(_rules_for(part.path for part in plan.parts))


def _rules_for(paths: Iterable[RepositoryPath]) -> list[bytes]:
    """Rules that match `paths`; of many directories beside each other, with their siblings."""
    by_parent: dict[RepositoryPath, list[RepositoryPath]] = {}
    for path in paths:
        by_parent.setdefault(parent(path), []).append(path)
    rules: list[bytes | None] = []
    for above, together in sorted(by_parent.items()):
        if len(together) >= SIBLINGS_FOR_A_STAR:
            leading = rule_for(above) if above else b""
            rules.append(None if leading is None else leading + b"/*")
        else:
            rules += [rule_for(path) for path in sorted(together)]
    return [rule for rule in rules if rule is not None]
