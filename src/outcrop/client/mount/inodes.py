"""Inode numbers of one revision.

When the kernel first looks into a catalog, all its directories are read at once, and their entries get numbers: those
of a directory follow each other, so a number is found by bisection. Numbers stay as they are until the mount ends,
which allows the kernel to keep what it knows without asking again. The members of a hard-link group share the number
of the first of them.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from outcrop.client.mount import protocol
from outcrop.client.mount.directory import Directory, empty_directory, read_catalog, single_directory
from outcrop.client.mount.tree import MountedTree
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.paths import RepositoryPath, join

_CROSSING = Mark.NESTED_MOUNTPOINT | Mark.BIND_MOUNTPOINT


@dataclass(frozen=True, slots=True)
class Node:
    """What a number stands for: an entry and where it is."""

    path: RepositoryPath
    entry: Entry


class Place(NamedTuple):
    """Where a number belongs: the directory that holds its entry, and the position there."""

    directory: Directory
    position: int


class Nodes:
    """The numbers of all entries that the kernel may know, and the directories they are in.

    Any thread may call; a catalog that several of them want at the same time is read once.
    """

    def __init__(self, tree: MountedTree) -> None:
        self.tree = tree
        self._lock = threading.Lock()
        # The root is the only entry of a directory that nobody sees: so it has a record like every other entry.
        above = single_directory(tree.root(), protocol.ROOT_NODE)
        self._tables = [above]
        self._firsts = [above.first]
        self._next = protocol.ROOT_NODE + 1
        self._directories: dict[int, Directory] = {}

    def place(self, node: int) -> Place:
        """Where `node` belongs. KeyError for a number that was never given."""
        position = bisect_right(self._firsts, node) - 1
        if position >= 0:
            directory = self._tables[position]
            index = node - directory.first
            if index < len(directory):
                return Place(directory, index)
        raise KeyError(node)

    def path(self, node: int) -> RepositoryPath:
        """Where `node` is in the repository."""
        if node == protocol.ROOT_NODE:
            return RepositoryPath(b"")
        directory, index = self.place(node)
        return join(self.path(directory.node), directory.name(index))

    def node(self, node: int) -> Node:
        """The entry that `node` stands for, as far as `Directory.entry` knows it."""
        directory, index = self.place(node)
        return Node(self.path(node), directory.entry(index))

    def reply(self, node: int) -> bytes:
        """The body of the reply to a LOOKUP that finds `node`."""
        directory, index = self.place(node)
        return directory.reply(index)

    def known(self, node: int) -> Directory | None:
        """The directory `node` if it holds anything and its catalog has been read."""
        return self._directories.get(node)

    def is_near(self, node: int) -> bool:
        """Whether the directory `node` is known without another catalog, which may have to be fetched."""
        if node in self._directories:
            return True
        place = self.place(node)
        return node != protocol.ROOT_NODE and not place.directory.marks(place.position) & _CROSSING

    def directory(self, node: int) -> Directory:
        """The directory `node`; its catalog is read if need be. KeyError if there is no such number, and what the
        tree raises."""
        directory = self._directories.get(node)
        if directory is not None:
            return directory
        parent = self.place(node).directory.node or protocol.ROOT_NODE
        if self.is_near(node):
            return empty_directory(node, parent)
        with self.tree.listing(self.path(node)) as listing, self._lock:
            directory = self._directories.get(node)
            if directory is not None:
                return directory
            catalog = read_catalog(listing, self._next, self.tree.symlink_target)
            numbers = {**catalog.numbers, listing.root: node}
            self._next = catalog.next
            for key, table in catalog.directories.items():
                # Rows below a directory that the catalog does not have cannot be reached: they stay without a number.
                table.node = numbers.get(key, protocol.NO_NODE)
                # In this order, since others look without the lock: a number that is found has its table.
                self._tables.append(table)
                self._firsts.append(table.first)
            for table in catalog.directories.values():
                table.parent = self._parent(table.node, node, parent)
                if table.node:
                    self._directories[table.node] = table
            return self._directories.setdefault(node, empty_directory(node, parent))

    def _parent(self, node: int, mountpoint: int, above: int) -> int:
        if node == protocol.NO_NODE:
            return protocol.NO_NODE
        return above if node == mountpoint else self.place(node).directory.node
