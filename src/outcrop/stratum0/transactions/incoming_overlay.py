"""The upper directory of an overlay as a change: what comes in, what goes away, and what lies where it should not.

An overlay file system writes all changes into its upper directory. Besides files that are new or changed it holds:

- *whiteouts*: the name is gone. A character device 0:0; with fuse-overlayfs also an empty file `.wh.NAME`; with the
  extended attribute `overlay.whiteout` also an empty file, in a directory that is marked with `x`;
- *opaque* directories: nothing of the layer below shows in it. An extended attribute with the value `y`; with
  fuse-overlayfs also a file `.wh..wh..opq`;
- directories that were only copied up to hold what changed in them, and the overlay's own extended attributes.

Source: the Linux kernel's `Documentation/filesystems/overlayfs.rst`; fuse-overlayfs(1).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, join, name, parent
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import storage_error
from outcrop.stratum0.publishing.incoming import Incoming
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree

OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque")
WHITEOUT_ATTRIBUTES = ("trusted.overlay.whiteout", "user.overlay.whiteout")
FOREIGN_XATTRS = (b"trusted.overlay.", b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.override_stat")
"""What overlay file systems write for themselves."""

_OPAQUE = b"y"
_HOLDS_WHITEOUTS = b"x"
_MARKER = b".wh."
_OPAQUE_MARKER = b".wh..wh..opq"

Lookup = Callable[[RepositoryPath], Entry | None]
"""Gives the entry that the repository has at a path."""


class UpperKind(Enum):
    """What a name in an upper directory says."""

    ENTRY = "there is this entry"
    OPAQUE = "there is this directory, and nothing else in it than what comes with it"
    WHITEOUT = "there is nothing any more"


@dataclass(frozen=True, slots=True)
class UpperEntry:
    """One name of an upper directory. `incoming` is what stands there; None for a whiteout."""

    path: RepositoryPath
    kind: UpperKind
    incoming: Incoming | None


@dataclass(frozen=True, slots=True)
class UpperPlan:
    """What an upper directory does to a repository besides bringing entries in.

    `delete` goes away, `replace` makes way for something of another kind or loses what does not come in again.
    `outside` are changes that lie elsewhere than they may. `changes` counts the names that are not mere copies."""

    delete: tuple[RepositoryPath, ...]
    replace: tuple[RepositoryPath, ...]
    outside: tuple[RepositoryPath, ...]
    changes: int


class UpperDirectory:
    """The upper directory at `root`, of which what is at or below `path` comes in.

    `marker_files` says whether it was written by fuse-overlayfs. Where the overlay could not show owners
    (`owners_kept` is false), an entry that is there already keeps its owner, and a new one belongs to root. `present`
    looks up what the repository has now.
    """

    def __init__(
        self, root: Path, present: Lookup, *, path: RepositoryPath = ROOT, marker_files: bool, owners_kept: bool,
        with_xattrs: bool = True,
    ) -> None:  # fmt: skip
        self._tree = DirectoryTree(root, with_xattrs=with_xattrs)
        self._root = os.fsencode(root)
        self._present = present
        self._path = path
        self._marker_files = marker_files
        self._owners_kept = owners_kept

    @property
    def address(self) -> str:
        return self._tree.address

    def notes(self) -> list[str]:
        """What could not be taken over as it is; complete once all entries were read."""
        # The plan and the publication read the same things.
        return list(dict.fromkeys(self._tree.notes()))

    def entries(self) -> Iterator[Incoming]:
        """Everything that comes in. Directories that lead to the path are among it where the repository lacks them."""
        for one in self.upper_entries():
            if one.incoming is None:
                continue
            if is_below(one.path, self._path):
                yield one.incoming
            elif is_below(self._path, one.path) and one.path != ROOT and self._present(one.path) is None:
                yield one.incoming._replace(implied=True)

    def plan(self) -> UpperPlan:
        """What is to be removed before the entries come in, and what must not be published."""
        delete: list[RepositoryPath] = []
        replaced: list[RepositoryPath] = []
        outside: list[RepositoryPath] = []
        changes = 0
        for one in self.upper_entries():
            if one.path == ROOT:
                continue
            old = self._present(one.path)
            changed = self._is_change(one, old)
            changes += changed
            if not is_below(one.path, self._path):
                if changed and not (old is None and self._leads_there(one)):
                    outside.append(one.path)
            elif old is None:
                continue
            elif one.incoming is None:
                delete.append(one.path)
            elif one.kind is UpperKind.OPAQUE or old.is_directory != one.incoming.attributes.is_directory:
                replaced.append(one.path)
        return UpperPlan(tuple(delete), tuple(replaced), tuple(outside), changes)

    def _leads_there(self, one: UpperEntry) -> bool:
        """Whether it is a directory on the way to the path. A new one may well be opaque: nothing is below it."""
        is_directory = one.incoming is not None and one.incoming.attributes.is_directory
        return is_directory and is_below(self._path, one.path)

    def upper_entries(self) -> Iterator[UpperEntry]:
        """Every name, directories before what they hold. StorageError if something cannot be read."""
        whiteouts: set[RepositoryPath] = set()
        with_whiteouts: set[RepositoryPath] = set()
        for incoming in self._tree.entries():
            path = incoming.path
            if self._marker_files and name(path).startswith(_MARKER):
                if name(path) != _OPAQUE_MARKER:
                    hidden = name(path).removeprefix(_MARKER)
                    yield UpperEntry(join(parent(path), hidden), UpperKind.WHITEOUT, None)
            elif self._is_whiteout(incoming, whiteouts, with_whiteouts):
                whiteouts.add(path)
                yield UpperEntry(path, UpperKind.WHITEOUT, None)
            elif incoming.attributes.is_directory:
                opaque = self._attribute(path, OPAQUE_ATTRIBUTES)
                if opaque == _HOLDS_WHITEOUTS:
                    with_whiteouts.add(path)
                is_opaque = opaque == _OPAQUE or (self._marker_files and self._is_marked_opaque(path))
                yield UpperEntry(path, UpperKind.OPAQUE if is_opaque else UpperKind.ENTRY, self._cleaned(incoming))
            else:
                yield UpperEntry(path, UpperKind.ENTRY, self._cleaned(incoming))

    def _is_marked_opaque(self, path: RepositoryPath) -> bool:
        return os.path.lexists(join(self._root + path, _OPAQUE_MARKER))

    def _is_whiteout(
        self, incoming: Incoming, whiteouts: set[RepositoryPath], with_whiteouts: set[RepositoryPath]
    ) -> bool:
        if stat.S_ISCHR(incoming.attributes.mode):
            # Overlays make whiteouts as hard links to one another.
            return incoming.link_to in whiteouts if incoming.link_to is not None else incoming.device == 0
        if parent(incoming.path) not in with_whiteouts or not incoming.attributes.is_file:
            return False
        return self._attribute(incoming.path, WHITEOUT_ATTRIBUTES) is not None

    def _attribute(self, path: RepositoryPath, names: tuple[str, ...]) -> bytes | None:
        """The value of the first of `names` that the entry has. To overlook one would publish something else."""
        place = self._root + path
        try:
            found = [one for one in os.listxattr(place, follow_symlinks=False) if one in names]
            return os.getxattr(place, found[0], follow_symlinks=False) if found else None
        except OSError as error:
            raise storage_error(error) from error

    def _is_change(self, one: UpperEntry, old: Entry | None) -> bool:
        """Whether a name says something else than `old`, as far as can be told without reading files. The time of a
        directory changes with what is in it, and says nothing."""
        if one.incoming is None or old is None:
            return (one.incoming is None) != (old is None)
        if one.kind is UpperKind.OPAQUE:
            return True
        new = one.incoming.attributes
        if (new.mode, new.uid, new.gid, new.xattrs) != (old.mode, old.uid, old.gid, old.xattrs):
            return True
        if new.is_directory:
            return False
        if (new.mtime, new.mtime_ns or 0, one.incoming.symlink) != (old.mtime, old.mtime_ns or 0, old.symlink):
            return True
        return new.is_file and self._size(one.path) != old.size

    def _size(self, path: RepositoryPath) -> int:
        try:
            return os.lstat(self._root + path).st_size
        except OSError as error:
            raise storage_error(error) from error

    def _cleaned(self, incoming: Incoming) -> Incoming:
        attributes = incoming.attributes
        kept = tuple((key, value) for key, value in attributes.xattrs if not key.startswith(FOREIGN_XATTRS))
        if len(kept) != len(attributes.xattrs.items):
            attributes = attributes._replace(xattrs=Xattrs(kept))
        old = self._present(incoming.path) if incoming.path else None
        if not self._owners_kept:
            uid, gid = (old.uid, old.gid) if old else (0, 0)
            attributes = attributes._replace(uid=uid, gid=gid)
        if old is not None and old.mtime_ns is None and not attributes.mtime_ns:
            # A catalog without nanoseconds is shown as having none of them.
            attributes = attributes._replace(mtime_ns=None)
        return incoming if attributes is incoming.attributes else incoming._replace(attributes=attributes)


def count_changes(root: Path) -> int:
    """How many names the upper directory at `root` holds, as far as it can be read: what an abort throws away."""
    found = 0
    for _directory, directories, files in os.walk(os.fsencode(root)):
        found += len(directories) + sum(one != _OPAQUE_MARKER for one in files)
    return found
