"""Links to which the links of a part of a repository lead, and which lie elsewhere in it.

A part of a repository may lead to the machine that it is used on by way of links outside it, as compatibility layers
do by those in `defaults`. A copy of the part leads there only if it has these, too. They are links; what else is
outside the part is not copied, since nobody asked for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from outcrop.client.tree import MAXIMUM_SYMLINKS, Located, Tree
from outcrop.cvmfs.paths import RepositoryPath, ancestors, is_below


def links_beyond(
    tree: Tree, entries: Iterable[Located], part: Sequence[RepositoryPath], settings: Mapping[bytes, bytes]
) -> dict[RepositoryPath, bytes]:
    """The links of `tree` by their paths, with their targets as a client with `settings` shows them, that one comes by
    from the links among `entries`, but for those below the paths `part`. Raises what reading the tree raises."""
    found: dict[RepositoryPath, bytes] = {}
    for located in entries:
        if located.entry.is_symlink:
            target = tree.symlink_target(located.entry, settings)
            for _ in range(MAXIMUM_SYMLINKS):
                path = _within(tree, target)
                link = None if path is None else _first_link(tree, path)
                if path is None or link is None or link.path in found or any(is_below(link.path, one) for one in part):
                    break
                found[link.path] = tree.symlink_target(link.entry, settings)
                target = found[link.path] + path[len(link.path) :]
    return found


def _within(tree: Tree, target: bytes) -> RepositoryPath | None:
    """The path in the repository to which the absolute `target` leads; None where it leads elsewhere."""
    if not target.startswith(b"/"):
        return None
    path = os.path.normpath(target)
    root = b"/cvmfs/" + os.fsencode(tree.repository)
    return RepositoryPath(path.removeprefix(root)) if path.startswith(root + b"/") else None


def _first_link(tree: Tree, path: RepositoryPath) -> Located | None:
    """The first link on the way to `path`; None where there is none."""
    for place in (*ancestors(path)[1:], path):
        entry = tree.lookup(place)
        if entry is None or entry.is_symlink:
            return None if entry is None else Located(place, entry)
    return None
