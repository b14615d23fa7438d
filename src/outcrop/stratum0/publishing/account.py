"""The account of a revision, made of what a change does: whole directories as one line, and never too many lines."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.catalog_diff import Difference, Effect
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.paths import ROOT, RepositoryPath, parent
from outcrop.cvmfs.revision_account import MAXIMUM_LINES, ChangeLine, Extent, RevisionAccount
from outcrop.stratum0.publishing.change import ChangeSummary, PathChange

_EFFECT_ORDER = {Effect.REMOVED: 0, Effect.CHANGED: 1, Effect.ADDED: 2}


@dataclass(frozen=True, slots=True)
class CollapsedChanges:
    """Changes as the lines of an account, sorted by path. `truncated` says that some stand for others."""

    lines: tuple[ChangeLine, ...]
    truncated: bool


def account_of(
    summary: ChangeSummary,
    *,
    revision: Revision,
    root: CatalogReference,
    now: int,
    author: str,
    message: str = "",
    reason: str = "",
) -> RevisionAccount:
    """The account of the `revision` with the root catalog `root` that does what `summary` says.

    `now` is in seconds since 1970. InvalidValue for an author, message or reason that an account cannot hold.
    """
    collapsed = collapsed_changes(summary.changes)
    return RevisionAccount(
        revision=revision,
        root_catalog=root.digest,
        timestamp=now,
        author=author,
        message=message,
        reason=reason,
        added=summary.added,
        changed=summary.changed,
        removed=summary.removed,
        bytes=summary.bytes_in,
        changes=collapsed.lines,
        truncated=collapsed.truncated,
    )


def summary_of(differences: Iterable[Difference]) -> ChangeSummary:
    """What a change does that leads from the old to the new revision of `differences`."""
    summary = ChangeSummary()
    for difference in differences:
        match difference.effect:
            case Effect.ADDED:
                summary.added += 1
            case Effect.CHANGED:
                summary.changed += 1
            case Effect.REMOVED:
                summary.removed += 1
        new = difference.new
        size = new.entry.size if new is not None and new.entry.is_file and difference.is_content else 0
        summary.bytes_in += size
        summary.changes.append(PathChange(difference.path, difference.effect, difference.is_content, bytes=size))
    return summary


def collapsed_changes(changes: Iterable[PathChange], limit: int = MAXIMUM_LINES) -> CollapsedChanges:
    """`changes` as at most `limit` lines.

    What came or went with its directory is part of that directory's line. If there are still too many, directories
    stand for the changes at and below them, those with the most in them first.
    """
    lines = _with_whole_directories(sorted(changes, key=_order))
    if len(lines) <= limit:
        return CollapsedChanges(tuple(lines), False)
    return CollapsedChanges(tuple(sorted(_shortened(lines, limit), key=_order)), True)


def _order(change: PathChange | ChangeLine) -> tuple[bytes, int]:
    # No name holds NUL, so that this sorts by components: what is in a directory comes right after it.
    return change.path.replace(b"/", b"\0"), _EFFECT_ORDER[change.effect]


@dataclass(slots=True)
class _Sum:
    """A line that still grows."""

    path: RepositoryPath
    below: bytes
    effect: Effect
    extent: Extent
    entries: int
    bytes: int


def _with_whole_directories(changes: Iterable[PathChange]) -> list[ChangeLine]:
    """`changes`, which are sorted, as lines: what came or went with its directory is part of that directory's line."""
    sums: list[_Sum] = []
    whole: dict[Effect, _Sum] = {}
    for change in changes:
        top = whole.get(change.effect)
        if top is not None and change.path.startswith(top.below):
            top.entries += change.entries
            top.bytes += change.bytes
            continue
        extent = Extent.CONTENT if change.content else Extent.ATTRIBUTES
        new = _Sum(change.path, change.path + b"/", change.effect, extent, change.entries, change.bytes)
        if change.effect is not Effect.CHANGED:
            whole[change.effect] = new
        sums.append(new)
    return [ChangeLine(one.path, one.effect, one.extent, one.entries, one.bytes) for one in sums]


def _shortened(lines: Sequence[ChangeLine], limit: int) -> list[ChangeLine]:
    """`lines` with some directories in the place of what changed at and below them, at most `limit` of them.

    The root stands for everything first; then the directory that adds the fewest lines is opened, until none fits."""
    nodes = _nodes(lines)
    told: list[ChangeLine] = []
    closed = [(nodes[ROOT].pieces, ROOT)]
    total = 1
    while closed and total - 1 + closed[0][0] <= limit:
        pieces, path = heapq.heappop(closed)
        total += pieces - 1
        told += nodes[path].lines
        for child in nodes[path].below:
            node = nodes[child]
            if node.pieces == len(node.lines) == 1:
                told += node.lines
            else:
                heapq.heappush(closed, (node.pieces, child))
    return told + [nodes[path].standing_line(path) for _, path in closed]


@dataclass(slots=True)
class _Node:
    """A path with changes: the lines about itself, the paths in it with changes at or below them, sums of all."""

    lines: list[ChangeLine] = field(default_factory=list)
    below: list[RepositoryPath] = field(default_factory=list)
    entries: int = 0
    bytes: int = 0

    @property
    def pieces(self) -> int:
        return len(self.lines) + len(self.below)

    def standing_line(self, path: RepositoryPath) -> ChangeLine:
        return ChangeLine(path, Effect.CHANGED, Extent.BELOW, self.entries, self.bytes)


def _nodes(lines: Iterable[ChangeLine]) -> dict[RepositoryPath, _Node]:
    nodes = {ROOT: _Node()}
    for line in lines:
        path, new = line.path, []
        while path not in nodes:
            new.append(path)
            path = parent(path)
        for path in reversed(new):
            nodes[path] = _Node()
            nodes[parent(path)].below.append(path)
        node = nodes[line.path]
        node.lines.append(line)
        node.entries += line.entries
        node.bytes += line.bytes
    for path, node in reversed(nodes.items()):  # what is in a directory came after it
        if path != ROOT:
            above = nodes[parent(path)]
            above.entries += node.entries
            above.bytes += node.bytes
    return nodes
