"""Finds out why a relocated program still asks for its old prefix: which file, link or variable holds it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from outcrop.client.relocate.changes import Examined
from outcrop.client.relocate.observed import OldAccess
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
    """Searches `tree`, which was built for `original`, once for any number of leftovers."""

    def __init__(
        self, tree: Path, original: Prefix, environment: Mapping[bytes, bytes], progress: Progress = SILENT
    ) -> None:
        self._tree = os.fsencode(tree.resolve())
        self._original = original
        self._environment = environment
        self._examined = examine_tree(tree, original, progress)

    def leftover(self, access: OldAccess) -> Leftover:
        """Why `access` happened, as far as it can be seen."""
        own = self._in_tree(access)
        holders = [holder for holder in own if holder.source is Source.WHOLE_PATH]
        holders += self._in_environment(access)
        read = {os.path.realpath(path) for path in (*access.read, access.program) if path}
        used = [holder for holder in own if os.fsencode(holder.name) in read and holder not in holders]
        holders += used
        holders += self._outside(read)
        if not holders:
            holders += own
        if not holders:
            holders += self._with_pieces(read)
        return Leftover(os.fsdecode(access.path), os.fsdecode(access.program), tuple(holders))

    def _in_tree(self, access: OldAccess) -> list[Holder]:
        holders = []
        for path, examined in self._examined.items():
            whole = os.path.join(self._tree, path)
            source = Source.WHOLE_PATH if _holds(whole, access.path) else Source.PREFIX
            holders.append(Holder(os.fsdecode(whole), source, _form(examined)))
        return sorted(holders, key=lambda holder: holder.source is Source.PREFIX)

    def _in_environment(self, access: OldAccess) -> list[Holder]:
        return [
            Holder(os.fsdecode(name), Source.VARIABLE, "environment variable")
            for name, value in sorted(self._environment.items())
            if self._original.path in value
        ]

    def _outside(self, read: set[bytes]) -> list[Holder]:
        outside = sorted(path for path in read if not path.startswith(self._tree + b"/"))
        return [
            Holder(os.fsdecode(path), Source.OUTSIDE, "file")
            for path in outside
            if not self._original.holds(path) and _holds(path, self._original.path)
        ]

    def _with_pieces(self, read: set[bytes]) -> list[Holder]:
        """Files of the tree that were read and hold the last name of the prefix: most likely what was put together."""
        piece = os.path.basename(self._original.path)
        inside = sorted(path for path in read if path.startswith(self._tree + b"/"))
        return [
            Holder(os.fsdecode(path), Source.PIECES, f"`{os.fsdecode(piece)}`")
            for path in inside
            if _holds(path, piece)
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
