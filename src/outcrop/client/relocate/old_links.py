"""Links of a relocated tree that still lead to its old prefix, found on the way of paths that a program asked for.

A system call says the path that the program has, and that nothing was found there; not that a link on the way led
elsewhere. So links are followed here as the kernel followed them.
"""

from __future__ import annotations

import os

from outcrop.client.relocate.observed import normal
from outcrop.client.relocate.placed_tree import PlacedTree
from outcrop.client.relocate.prefix import Prefix

_MAXIMUM_LINKS = 40
"""How many links one path may lead through, as in Linux (MAXSYMLINKS)."""


class OldLinks:
    """Links in the tree `placed` that lead to `original`."""

    def __init__(self, placed: PlacedTree, original: Prefix) -> None:
        self._placed = placed
        self._original = original
        self._targets: dict[bytes, bytes | None] = {}

    def on_the_way(self, path: bytes) -> bytes | None:
        """Where in the old prefix the absolute `path` of the program leads; None if it does not."""
        resolved, waiting = b"/", path.split(b"/")[::-1]
        links = 0
        while waiting:
            name = waiting.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                resolved = os.path.dirname(resolved)
                continue
            here = os.path.join(resolved, name)
            target = self._target(here)
            if target is None:
                resolved = here
                continue
            links += 1
            if links > _MAXIMUM_LINKS:
                return None
            whole = os.path.join(resolved, target, *waiting[::-1])
            if self._original.holds(normal(os.path.join(resolved, target))):
                return normal(whole)
            if target.startswith(b"/"):
                resolved = b"/"
            waiting += target.split(b"/")[::-1]
        return None

    def _target(self, path: bytes) -> bytes | None:
        """Where the link at `path`, as the program sees it, leads; None for what is no link of the tree."""
        inside = self._placed.inside(path)
        if inside is None:
            return None
        if inside not in self._targets:
            try:
                self._targets[inside] = os.readlink(inside)
            except OSError:
                self._targets[inside] = None
        return self._targets[inside]
