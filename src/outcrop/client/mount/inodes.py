"""Inode numbers, which stay what they are while revisions change.

When the kernel first looks into a catalog, all its directories are read at once, and their entries get numbers: those
of a directory follow each other, so a number is found by bisection. Numbers stay as they are until the mount ends,
which allows the kernel to keep what it knows without asking again. The members of a hard-link group share the number
of the first of them. What happens to numbers in a new revision is in `succession`.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import dataclass

from outcrop.client.mount import protocol
from outcrop.client.mount.directory import Directory, empty_directory, read_catalog, single_directory
from outcrop.client.mount.succession import CROSSING, LoadedCatalog, Place, Succession, succession
from outcrop.client.mount.tree import MountedTree
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import RepositoryPath, join


@dataclass(frozen=True, slots=True)
class Node:
    """What a number stands for: an entry, where it is, and the revision that knows more of it."""

    path: RepositoryPath
    entry: Entry
    tree: MountedTree


class _Tables:
    """Directories by the numbers of their entries. Others look without a lock, so `firsts` is appended to last."""

    __slots__ = ("directories", "firsts")

    def __init__(self, directories: list[Directory]) -> None:
        self.directories = directories
        self.firsts = [directory.first for directory in directories]

    def append(self, directory: Directory) -> None:
        self.directories.append(directory)
        self.firsts.append(directory.first)


class Nodes:
    """The numbers of all entries that the kernel may know, and the directories they are in.

    Any thread may call; a catalog that several of them want at the same time is read once.
    """

    def __init__(self, tree: MountedTree) -> None:
        self.tree = tree
        self._lock = threading.Lock()
        self._tables = _Tables([_above(tree)])
        self._next = protocol.ROOT_NODE + 1
        self._directories: dict[int, Directory] = {}
        self._moved: dict[int, Place] = {}
        self._ended: set[int] = set()
        self._catalogs: dict[bytes, LoadedCatalog] = {}

    def place(self, node: int) -> Place:
        """Where `node` belongs. KeyError for a number that was never given, or that the kernel has given back."""
        tables = self._tables
        position = bisect_right(tables.firsts, node) - 1
        if position >= 0:
            directory = tables.directories[position]
            index = node - directory.first
            if index < len(directory):
                return Place(directory, index)
        return self._moved[node]

    def path(self, node: int) -> RepositoryPath:
        """Where `node` is in its revision of the repository."""
        if node == protocol.ROOT_NODE:
            return RepositoryPath(b"")
        directory, index = self.place(node)
        return join(self.path(directory.node), directory.name(index))

    def node(self, node: int) -> Node:
        """The entry that `node` stands for, as far as `Directory.entry` knows it."""
        directory, index = self.place(node)
        return Node(self.path(node), directory.entry(index), directory.tree or self.tree)

    def reply(self, node: int) -> bytes:
        """The body of the reply to a LOOKUP that finds `node`."""
        directory, index = self.place(node)
        return directory.reply(index)

    @property
    def highest(self) -> int:
        """The highest number that was given so far."""
        return self._next - 1

    def known(self, node: int) -> Directory | None:
        """The directory `node` if it holds anything and its catalog has been read."""
        return self._directories.get(node)

    def is_near(self, node: int) -> bool:
        """Whether the directory `node` is known without another catalog, which may have to be fetched."""
        if node in self._directories:
            return True
        place = self.place(node)
        return node != protocol.ROOT_NODE and not place.directory.marks(place.position) & CROSSING

    def directory(self, node: int) -> Directory:
        """The directory `node`; its catalog is read if need be. KeyError if there is no such number, and what the
        tree raises."""
        while True:
            directory = self._directories.get(node)
            if directory is not None:
                return directory
            above = self.place(node).directory
            parent = above.node or protocol.ROOT_NODE
            if self.is_near(node):
                return empty_directory(node, parent)
            found = self._read(node, parent, above.tree)
            if found is not None:
                return found

    def _read(self, node: int, parent: int, earlier: MountedTree | None) -> Directory | None:
        """The directory `node`, at which a catalog is mounted; None if another revision came in between."""
        tree = earlier or self.tree
        path = self.path(node)
        digest = tree.catalog(path).digest
        with tree.listing(path) as listing, self._lock:
            directory = self._directories.get(node)
            if directory is not None:
                return directory
            if tree is not (self.place(node).directory.tree or self.tree):
                return None
            catalog = read_catalog(listing, self._next, tree.symlink_target)
            numbers = {**catalog.numbers, listing.root: node}
            self._next = catalog.next
            tables = list(catalog.directories.values())
            firsts = [table.first for table in tables]
            for key, table in catalog.directories.items():
                # Rows below a directory that the catalog does not have cannot be reached: they stay without a number.
                table.node = numbers.get(key, protocol.NO_NODE)
                table.tree = earlier
                self._tables.append(table)
            for table in tables:
                if table.node == node:
                    table.parent = parent
                elif table.node:
                    table.parent = tables[bisect_right(firsts, table.node) - 1].node
                if table.node:
                    self._directories[table.node] = table
            if earlier is None:
                self._catalogs[path] = LoadedCatalog(node, digest)
            return self._directories.setdefault(node, empty_directory(node, parent))

    def move(self, tree: MountedTree) -> Succession:
        """From now on, names lead to what `tree` shows; what the kernel must be told of it is returned.

        OutcropError if a catalog that is needed cannot be had: then nothing has changed."""
        for path in list(self._catalogs):
            # Whatever comes over the network comes now, while the others go on.
            tree.catalog(path)
        with self._lock:
            change = succession(self.tree, tree, self._catalogs, self.known, self._next)
            above = _above(tree)
            if above.likeness(0) != self._tables.directories[0].likeness(0):
                change.stale_attributes.append(protocol.ROOT_NODE)
            self._adopt(change, above, tree)
        return change

    def _adopt(self, change: Succession, above: Directory, tree: MountedTree) -> None:
        """Others look meanwhile, so at every moment each number leads somewhere."""
        tables = [above, *self._tables.directories[1:], *sorted(change.fresh, key=lambda table: table.first)]
        self._tables = _Tables(tables)
        self._moved.update(change.moved)
        for directory in change.gone:
            if directory.tree is None:
                directory.tree = self.tree
        self.tree = tree
        self._directories.update(change.directories)
        superseded = {id(directory) for directory in change.superseded}
        self._tables = _Tables([table for table in tables if id(table) not in superseded])
        self._ended.update(change.ended)
        self._catalogs = change.catalogs
        self._next = change.next

    def forget(self, node: int) -> None:
        """The kernel will not ask for `node` again. Only what the mounted revision does not have is let go."""
        if node in self._ended:
            self._ended.discard(node)
            self._moved.pop(node, None)


def _above(tree: MountedTree) -> Directory:
    """The root as the only entry of a directory that nobody sees: so it has a record like every other entry."""
    return single_directory(tree.root(), protocol.ROOT_NODE)
