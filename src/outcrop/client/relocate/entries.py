"""What a tree holds, in the order of names: files with all their names, symbolic links, directories."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from outcrop.client.relocate.record import RECORD_NAME
from outcrop.errors import InvalidValue, NotFound, storage_error

_OUR_OWN = frozenset({os.fsencode(RECORD_NAME), b".outcrop-pack.json"})
"""What says whence a tree is, and must go on saying that: our record, and the manifest of a pack."""

UNFINISHED = b".outcrop-relocating-"
"""How the names of files begin that are to replace others."""


@dataclass(slots=True)
class TreeFile:
    """A regular file: its names below the tree, the number of all its links, its size in bytes."""

    names: list[bytes]
    links: int
    size: int

    @property
    def path(self) -> bytes:
        return self.names[0]

    @property
    def has_other_names(self) -> bool:
        """Whether something outside of the tree is the same file, and must not change with it."""
        return self.links > len(self.names)


@dataclass(slots=True)
class Entries:
    """A tree, without what stands for a device or a pipe. Paths are below the tree, without a slash before them.

    `unfinished`: what a relocation that was killed left."""

    files: list[TreeFile] = field(default_factory=list)
    links: list[bytes] = field(default_factory=list)
    unfinished: list[bytes] = field(default_factory=list)
    directories: int = 1

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


def read_entries(tree: Path) -> Entries:
    """Everything below `tree`; links are not followed. Raises NotFound, InvalidValue (no directory), StorageError."""
    if not tree.exists():
        raise NotFound(what=f"the directory {tree}", hint="check the path")
    if not tree.is_dir():
        raise InvalidValue(what=str(tree), problem="is not a directory", hint="name the directory of a copied tree")
    entries = Entries()
    by_inode: dict[tuple[int, int], TreeFile] = {}
    try:
        _read(os.fsencode(tree), b"", entries, by_inode)
    except OSError as error:
        raise storage_error(error) from error
    return entries


def _read(tree: bytes, top: bytes, entries: Entries, by_inode: dict[tuple[int, int], TreeFile]) -> None:
    below = [top]
    while below:
        directory = below.pop()
        with os.scandir(os.path.join(tree, directory)) as listing:
            found = sorted(listing, key=lambda entry: entry.name)
        inner = []
        for entry in found:
            path = directory + b"/" + entry.name if directory else entry.name
            if entry.name.startswith(UNFINISHED):
                entries.unfinished.append(path)
            elif entry.is_symlink():
                entries.links.append(path)
            elif entry.is_dir(follow_symlinks=False):
                entries.directories += 1
                inner.append(path)
            elif path not in _OUR_OWN:
                _add_file(path, entry.stat(follow_symlinks=False), entries, by_inode)
        below += reversed(inner)


def _add_file(path: bytes, status: os.stat_result, entries: Entries, by_inode: dict[tuple[int, int], TreeFile]) -> None:
    if not stat.S_ISREG(status.st_mode):
        return
    key = (status.st_dev, status.st_ino)
    if status.st_nlink > 1 and key in by_inode:
        by_inode[key].names.append(path)
        return
    file = TreeFile([path], status.st_nlink, status.st_size)
    entries.files.append(file)
    if status.st_nlink > 1:
        by_inode[key] = file
