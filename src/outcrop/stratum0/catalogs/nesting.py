"""Where catalogs begin and end after a change: by the rules of `/.cvmfsdirtab`, and by size.

A change that changes nothing settles nothing, so the same tree published twice is one revision. What is done becomes
part of the change: the markers are files that readers see, `--dry-run` lists them, and the log names them. A rule only
ever adds a catalog: a directory with a marker does not lose it because a rule is gone.

The cost follows the change. Rules are applied to the directories on changed paths; only a change of the rules
themselves is followed through the tree, and there only where rules can match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.compression import Compression, inflate
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.dirtab import DIRTAB_NAME, MAXIMUM_DIRTAB_BYTES, NO_RULES, Dirtab
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, join, name, parent, shown
from outcrop.errors import FormatError, IntegrityError
from outcrop.stratum0.catalogs.balance import merge_small, split_large
from outcrop.stratum0.catalogs.catalog_limits import CatalogLimits
from outcrop.stratum0.catalogs.catalog_tree import MARKER, CatalogTree
from outcrop.stratum0.catalogs.markers import AUTOMATIC_MARKER, MarkerWriter, can_be_nested
from outcrop.stratum0.publishing.change import ChangeSummary
from outcrop.stratum0.publishing.content_index import StoredContent

DIRTAB_PATH = join(ROOT, DIRTAB_NAME)

ReadObject = Callable[[str], bytes]
"""Gives the bytes of the object at a path of the store, as `ReadableStore.read` does."""


def read_dirtab(tree: CatalogTree, read: ReadObject) -> Dirtab:
    """The rules that `tree` holds, none where it has no regular file `/.cvmfsdirtab`.

    FormatError if a rule is wrong, IntegrityError if the object is damaged.
    """
    entry = tree.lookup(DIRTAB_PATH)
    if entry is None or not entry.is_file:
        return NO_RULES
    if entry.size > MAXIMUM_DIRTAB_BYTES:
        raise FormatError(
            what=shown(DIRTAB_PATH),
            field="its size",
            problem=f"is more than {MAXIMUM_DIRTAB_BYTES:,} bytes",
            hint=f"publish a shorter {shown(DIRTAB_PATH)}: rules with `*` stand for many lines",
        )
    if entry.digest is not None:
        pieces = [ObjectName(entry.digest, ObjectKind.FILE)]
    else:
        pieces = [ObjectName(chunk.digest, ObjectKind.CHUNK) for chunk in tree.chunks(DIRTAB_PATH, entry)]
    return Dirtab.parse(b"".join(_content(piece, entry.compression, read) for piece in pieces), shown(DIRTAB_PATH))


def _content(piece: ObjectName, compression: Compression, read: ReadObject) -> bytes:
    stored = read(piece.path)
    if Digest.of(stored, piece.digest.algorithm) != piece.digest:
        raise IntegrityError(
            what=f"{shown(DIRTAB_PATH)} ({piece})",
            problem="its bytes do not have the digest in its name",
            hint=f"bring the object back from a replica, or publish {shown(DIRTAB_PATH)} again",
        )
    if compression is Compression.NONE:
        return stored
    return inflate(stored, what=f"{shown(DIRTAB_PATH)} ({piece})", limit=MAXIMUM_DIRTAB_BYTES)


def settle_catalogs(
    tree: CatalogTree,
    changes: ChangeSummary,
    *,
    dirtab: Dirtab,
    limits: CatalogLimits | None,
    empty_object: Callable[[], StoredContent],
    now: int,
) -> tuple[str, ...]:
    """Makes and merges the nested catalogs that `changes`, which `tree` has in it, ask for; adds that to `changes`.

    Args:
        dirtab: the rules after the change.
        limits: when catalogs are split and merged by size; None to leave that to markers and rules.
        empty_object: stores the object of an empty file; called only where a marker is put.
        now: the time of markers that are put, in seconds since 1970.

    Returns a sentence on each thing that could not be done.
    """
    if changes.is_empty:
        return ()
    writer = MarkerWriter(tree, changes, empty_object, now)
    _let_go(tree, writer, changes)
    _apply(dirtab, tree, writer, changes)
    if limits is None:
        return ()
    merge_small(tree, writer, dirtab, limits)
    return tuple(split_large(tree, writer, limits))


def _let_go(tree: CatalogTree, writer: MarkerWriter, changes: ChangeSummary) -> None:
    """Takes `.cvmfsautocatalog` from where somebody else put or took the marker beside it: the place is theirs now."""
    changed = {change.path for change in changes.changes if change.path.endswith((MARKER, AUTOMATIC_MARKER))}
    for path in sorted(changed):
        automatic = join(parent(path), AUTOMATIC_MARKER)
        if name(path) == MARKER and automatic not in changed:
            entry = tree.lookup(automatic)
            if entry is not None and entry.is_file:
                writer.remove(automatic)


def _apply(dirtab: Dirtab, tree: CatalogTree, writer: MarkerWriter, changes: ChangeSummary) -> None:
    if dirtab is NO_RULES and not any(change.path == DIRTAB_PATH for change in changes.changes):
        return
    matching = {path for path in _directories_on(changes) if dirtab.matches(path)}
    if any(change.path == DIRTAB_PATH for change in changes.changes):
        matching.update(_matching_directories(tree, dirtab))
    # Deeper ones first, so that no row moves twice.
    for path in sorted(matching, key=lambda path: (-path.count(b"/"), path)):
        tree.rest()
        if can_be_nested(tree, path):
            writer.make_nested(path, automatic=False)


def _directories_on(changes: ChangeSummary) -> set[RepositoryPath]:
    """What may be a directory on the way to a change, or is one that came in: all of it, without the root."""
    found: set[RepositoryPath] = set()
    for change in changes.changes:
        path = parent(change.path) if change.effect is Effect.REMOVED else change.path
        while path != ROOT and path not in found:
            found.add(path)
            path = parent(path)
    return found


def _matching_directories(tree: CatalogTree, dirtab: Dirtab) -> Iterator[RepositoryPath]:
    """Every directory that a rule matches; only directories that lead to one are read."""
    pending = [ROOT] if dirtab.leads_to(ROOT) else []
    while pending:
        directory = pending.pop()
        tree.rest()
        for child in tree.children(directory):
            path = join(directory, child.name)
            if not child.is_directory or child.is_hidden or child.is_bind_mountpoint:
                continue
            if dirtab.matches(path):
                yield path
            if dirtab.leads_to(path):
                pending.append(path)
