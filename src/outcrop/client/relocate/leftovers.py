"""Finds out why a relocated program still asks for its old prefix: which file, link or variable holds it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from outcrop.client.relocate.changes import Examined
from outcrop.client.relocate.observed import OldAccess
from outcrop.client.relocate.placed_tree import PlacedTree
from outcrop.client.relocate.plan import examine_tree
from outcrop.client.relocate.prefix import Prefix
from outcrop.client.relocate.reading import opened
from outcrop.progress import SILENT, Progress

_SEARCHED_BYTES = 64 * 1024 * 1024
"""Larger files outside of the tree are no configuration that names a prefix."""


class Source(Enum):
    """Where an old path comes from, the surest answer first."""

    WHOLE_PATH = "holds this very path"
    PREFIX = "holds the prefix"
    VARIABLE = "holds it in the environment"
    OUTSIDE = "holds the prefix, outside of the tree"
    PIECES = "holds a part of the prefix, and puts the path together when it runs"


@dataclass(frozen=True, slots=True)
class Holder:
    """`name` (a file, or a variable of the environment) is a `source` of the old prefix; `kind` says in what form."""

    name: str
    source: Source
    kind: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """A path of the old prefix that was asked for, by which program, and what may have told it; surest first."""

    path: str
    program: str
    holders: tuple[Holder, ...]


class LeftoverSearch:
    """Searches the tree `placed`, which was built for `original`, once for any number of leftovers."""

    def __init__(
        self, placed: PlacedTree, original: Prefix, environment: Mapping[bytes, bytes], progress: Progress = SILENT
    ) -> None:
        self._placed = placed
        self._original = original
        self._environment = environment
        self._examined = examine_tree(placed.tree, original, progress)

    def leftover(self, access: OldAccess) -> Leftover:
        """Why `access` happened, as far as it can be seen."""
        own = self._in_tree(access)
        holders = [holder for holder in own.values() if holder.source is Source.WHOLE_PATH]
        holders += self._in_environment(access)
        read = {self._placed.real(path) for path in (*access.read, access.program) if path}
        holders += [holder for path, holder in own.items() if path in read and holder not in holders]
        holders += self._outside(read)
        if not holders:
            holders += own.values()
        if not holders:
            holders += self._with_pieces(read)
        return Leftover(os.fsdecode(access.path), os.fsdecode(access.program), tuple(holders))

    def _in_tree(self, access: OldAccess) -> dict[bytes, Holder]:
        """The files of the tree with the old prefix, by their real paths; those with the whole path come first."""
        holders = {}
        for path, examined in self._examined.items():
            whole = self._placed.place(path)
            source = Source.WHOLE_PATH if _holds(whole, access.path) else Source.PREFIX
            holders[whole] = Holder(self._placed.name(path), source, _form(examined))
        return dict(sorted(holders.items(), key=lambda item: item[1].source is Source.PREFIX))

    def _in_environment(self, access: OldAccess) -> list[Holder]:
        return [
            Holder(os.fsdecode(name), Source.VARIABLE, "environment variable")
            for name, value in sorted(self._environment.items())
            if self._original.path in value
        ]

    def _outside(self, read: set[bytes]) -> list[Holder]:
        outside = sorted(path for path in read if self._placed.below(path) is None)
        return [
            Holder(os.fsdecode(path), Source.OUTSIDE, "file")
            for path in outside
            if not self._original.holds(path) and _holds(path, self._original.path)
        ]

    def _with_pieces(self, read: set[bytes]) -> list[Holder]:
        """Files of the tree that were read and hold the last name of the prefix: most likely what was put together."""
        piece = os.path.basename(self._original.path)
        return [
            Holder(self._placed.name(inner), Source.PIECES, f"`{os.fsdecode(piece)}`")
            for path in sorted(read)
            if (inner := self._placed.below(path)) is not None and _holds(path, piece)
        ]


def _holds(path: bytes, needle: bytes) -> bool:
    """Whether `needle` is in the regular file, or in the target of the link, `path`."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return needle in os.readlink(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _SEARCHED_BYTES:
            return False
        with opened(path) as data:
            return data.find(needle) >= 0
    except OSError:
        return False  # gone, or not ours to read: it is no answer either way


def _form(examined: Examined) -> str:
    """In what form a file holds the prefix."""
    kinds = [] if examined.change is None else [kind.value for kind in examined.change.counts()]
    return ", ".join([*kinds, *(f"it {finding.reason.value}" for finding in examined.findings)])
