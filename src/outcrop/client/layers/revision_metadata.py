"""The metadata of a whole revision, read from its catalogs.

Every catalog is read once, all its rows in one go. Hidden entries are left out, since a layer cannot keep a name from a
listing; what is bound into the visible tree is entered like a nested catalog.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from outcrop.client.layers.metadata import Inode, Listing, Metadata, not_representable
from outcrop.client.layers.objects import Needed, Needs
from outcrop.client.mount.listing import listing_of
from outcrop.client.mount.owners import AS_PUBLISHED, Owners
from outcrop.client.mount.protocol import device_number
from outcrop.client.tree import Tree
from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.entry import Entry, EntryKind, EntryRow, Mark, decode_entry
from outcrop.cvmfs.paths import ROOT, PathHash, RepositoryPath, join, path_hash
from outcrop.errors import FormatError, MissingCapability

_KEY_COLUMNS = 4
_PARENT, _OWN = itemgetter(0, 1), itemgetter(2, 3)
_CROSSING = Mark.NESTED_MOUNTPOINT | Mark.BIND_MOUNTPOINT


class AskedVariables(Mapping[bytes, bytes]):
    """Variables for links to be filled in from, which remembers what was asked for."""

    def __init__(self, variables: Mapping[bytes, bytes]) -> None:
        self._variables = variables
        self._asked: set[bytes] = set()

    def __getitem__(self, name: bytes) -> bytes:
        self._asked.add(name)
        return self._variables[name]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    @property
    def asked(self) -> Mapping[bytes, bytes | None]:
        """The variables that were asked for, with their values; None for one that is not set."""
        return {name: self._variables.get(name) for name in sorted(self._asked)}


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision's metadata, and the files that it needs."""

    metadata: Metadata
    needed: Needed


@dataclass(frozen=True, slots=True)
class _Rows:
    """The directories of one catalog, by the hashes of their paths."""

    directories: Mapping[tuple[int, int], Sequence[tuple[PathHash, Entry]]]
    what: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A directory that has a number and is yet to be listed; its rows are in `rows`, under the hash `own`."""

    number: int
    parent: int
    path: RepositoryPath
    rows: _Rows
    own: tuple[int, int]


def revision_metadata(
    tree: Tree, variables: Mapping[bytes, bytes], maximum_entries: int, owners: Owners = AS_PUBLISHED
) -> Revision:
    """The metadata of everything that `tree` shows, links filled in from `variables`, belonging to whom `owners` say.

    MissingCapability where that is more than `maximum_entries`; errors of reading catalogs as `Tree` has them, and
    FormatError for a directory that has a name twice."""
    return _Reader(tree, variables, maximum_entries, owners).read()


class _Reader:
    def __init__(
        self, tree: Tree, variables: Mapping[bytes, bytes], maximum_entries: int, owners: Owners
    ) -> None:  # fmt: skip
        self._tree = tree
        self._variables = variables
        self._maximum = maximum_entries
        self._owners = owners
        self._needs = Needs()
        self._inodes: list[Inode] = []
        self._listings: list[Listing] = []

    def read(self) -> Revision:
        self._tree.nested_mountpoints()  # fetches all catalogs, many at once
        self._inodes.append(self._inode(ROOT, self._tree.entry(ROOT), 0))
        waiting = [_Waiting(0, 0, ROOT, self._rows(ROOT), path_hash(ROOT))]
        while waiting:
            waiting += reversed(self._list(waiting.pop()))
        return Revision(Metadata(self._inodes, self._listings), self._needs.all())

    def _rows(self, path: RepositoryPath) -> _Rows:
        inner = self._tree.mountpoint(path).inner_path
        catalog = self._tree.catalog_at(path)
        try:
            listing = listing_of(catalog, inner)
            directories = {}
            with sqlite_border(listing.what):
                for parent, rows in groupby(listing.rows, key=_PARENT):
                    directories[parent] = [
                        (_OWN(row), decode_entry(EntryRow(*row[_KEY_COLUMNS:]), listing.what)) for row in rows
                    ]
            return _Rows(directories, listing.what)
        finally:
            catalog.close()

    def _list(self, directory: _Waiting) -> list[_Waiting]:
        """Gives numbers to what `directory` holds; the directories among that."""
        below: list[_Waiting] = []
        names: list[bytes] = []
        numbers: list[int] = []
        groups: dict[int, int] = {}
        previous = b""
        for own, entry in directory.rows.directories.get(directory.own, ()):
            if entry.is_hidden:
                continue
            name = entry.name
            if name == previous:
                problem = f"is one of two called {name[:80]!r}" if name else "has no name"
                raise FormatError(what=directory.rows.what, field="an entry", problem=problem)
            previous = name
            number = groups.get(entry.hardlink_group) if entry.hardlink_group else None
            if number is None:
                number = self._add(directory, own, entry, below)
                if entry.hardlink_group:
                    groups[entry.hardlink_group] = number
            names.append(name)
            numbers.append(number)
        self._listings.append(Listing(directory.number, directory.parent, names, numbers))
        return below

    def _add(self, directory: _Waiting, own: tuple[int, int], entry: Entry, below: list[_Waiting]) -> int:
        number = len(self._inodes)
        if number >= self._maximum:
            raise too_many(self._tree, self._maximum)
        path = join(directory.path, entry.name)
        self._inodes.append(self._inode(path, entry, directory.number))
        if entry.is_directory:
            rows, key = directory.rows, own
            if entry.marks & _CROSSING:
                rows, key = self._rows(path), path_hash(self._tree.mountpoint(path).inner_path)
            below.append(_Waiting(number, directory.number, path, rows, key))
        return number

    def _inode(self, path: RepositoryPath, entry: Entry, directory: int) -> Inode:
        if entry.is_directory:
            return directory_inode(entry, self._owners)
        size, device, target, redirect = entry.size, 0, b"", b""
        if entry.is_file:
            if size:
                redirect = self._needs.redirect(path, entry, directory)
        elif entry.is_symlink:
            target = self._tree.symlink_target(entry, self._variables)
            size = len(target)
        elif entry.kind.is_special:
            size = 0
            if entry.kind.is_device:
                device = device_number(os.major(entry.size), os.minor(entry.size))
                if entry.kind is EntryKind.CHARACTER_DEVICE and not device:
                    # To overlayfs that is a name that was deleted.
                    raise not_representable("a device numbered 0/0")
        uid, gid = self._owners.uid(entry.uid), self._owners.gid(entry.gid)
        return Inode(
            entry.mode, uid, gid, entry.mtime, entry.mtime_ns or 0, entry.linkcount, size, device, target,
            redirect, tuple(entry.xattrs),
        )  # fmt: skip


def directory_inode(entry: Entry, owners: Owners = AS_PUBLISHED) -> Inode:
    """The directory `entry`, which belongs to whom `owners` say."""
    return Inode(
        entry.mode, owners.uid(entry.uid), owners.gid(entry.gid), entry.mtime, entry.mtime_ns or 0, entry.linkcount,
        entry.size, xattrs=tuple(entry.xattrs),
    )  # fmt: skip


def too_many(tree: Tree, maximum: int) -> MissingCapability:
    """The error for a revision that is larger than layers are made for."""
    return MissingCapability(
        what=f"a layer of metadata for {tree.repository}",
        problem=f"it has more than {maximum:,} entries, and all of them would have to be read first",
        hint="a mount reads what is asked for: `outcrop run --way fuse`",
    )
