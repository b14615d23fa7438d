"""A tree, and the place at which it is seen: paths of the one as paths of the other."""

from __future__ import annotations

import os
from pathlib import Path

from outcrop.client.relocate.prefix import Prefix

_MAXIMUM_TURNS = 40
"""How often a link may lead to the place at which the tree is seen: as many links as Linux follows."""


class PlacedTree:
    """The tree `tree`, which a program sees at `target`; where it is, if that is None."""

    def __init__(self, tree: Path, target: Prefix | None = None) -> None:
        self.tree = tree
        self._top = os.fsencode(tree.resolve())
        self._target = target

    def __str__(self) -> str:
        """Where it is seen."""
        return str(self._target or self.tree)

    def real(self, path: bytes) -> bytes:
        """What a program finds at `path`, as this process finds it: links are followed."""
        for _ in range(_MAXIMUM_TURNS):
            path = os.path.realpath(path)
            if self._target is None or not self._target.holds(path):
                break
            path = self._top + path[len(self._target) :]
        return path

    def inside(self, path: bytes) -> bytes | None:
        """Where this process finds `path`, in which nothing is a link; None if that is not in the tree."""
        seen_at = self._top if self._target is None else self._target.path
        return self._top + path[len(seen_at) :] if path.startswith(seen_at + b"/") else None

    def holds(self, path: bytes) -> bool:
        """Whether what a program finds at `path` is in the tree."""
        return self.real(path).startswith(self._top + b"/")

    def place(self, path: bytes) -> bytes:
        """Where this process finds `path`, which is below the tree."""
        return os.path.join(self._top, path)

    def name(self, path: bytes) -> str:
        """How a person knows `path`, which is below the tree."""
        return os.fsdecode(os.path.join(self._top if self._target is None else self._target.path, path))

    def below(self, path: bytes) -> bytes | None:
        """The real `path` without the tree's own; None if it is not in the tree."""
        return path[len(self._top) + 1 :] if path.startswith(self._top + b"/") else None
