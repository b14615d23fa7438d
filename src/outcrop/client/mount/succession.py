"""What becomes of inode numbers when a mount goes on to another revision.

The rules:

- An entry that is in both revisions, of the same kind and with the same bytes and attributes, keeps its number. So does
  a directory whose attributes alone have changed, since programs have it as their working directory.
- An entry that is not the same gets a new number. The old number goes on to mean the old entry: an open file keeps its
  bytes, a program in a directory that is gone still sees what was in it.
- What the kernel may have kept and is not true any more is listed: names that lead elsewhere, or to nothing, or to
  something at last; listings; attributes.

Only catalogs that were read in the old revision are compared, and only those whose digest has changed are read. Nothing
is altered while things are compared: `Succession` says what to do, `Nodes.move` does it.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from outcrop.client.mount import protocol
from outcrop.client.mount.directory import Directory, ReadCatalog, empty_directory, read_catalog
from outcrop.client.mount.tree import MountedTree
from outcrop.cvmfs.entry import Mark
from outcrop.cvmfs.paths import PathHash, RepositoryPath, is_below, join
from outcrop.errors import OutcropError

CROSSING = Mark.NESTED_MOUNTPOINT | Mark.BIND_MOUNTPOINT
_CHUNKS_OUTSIDE = Mark.CHUNKED | Mark.EXTERNAL


class Place(NamedTuple):
    """Where a number belongs: the directory that holds its entry, and the position there."""

    directory: Directory
    position: int


class StaleName(NamedTuple):
    """A name in a directory about which the kernel may know something wrong."""

    directory: int
    name: bytes


@dataclass(frozen=True, slots=True)
class LoadedCatalog:
    """A catalog whose directories are known: the number of its mountpoint, its digest's text."""

    node: int
    digest: str


@dataclass(slots=True)
class Succession:
    """What changes. `directories` are those that show from now on, `superseded` those that they replace; `fresh` are
    all new tables of numbers; `moved` says where numbers belong that are older than their directories; `gone` are
    directories, and `ended` numbers of single entries, that the new revision has not."""

    next: int
    catalogs: dict[bytes, LoadedCatalog] = field(default_factory=dict)
    directories: dict[int, Directory] = field(default_factory=dict)
    superseded: list[Directory] = field(default_factory=list)
    fresh: list[Directory] = field(default_factory=list)
    moved: dict[int, Place] = field(default_factory=dict)
    gone: list[Directory] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    stale_names: list[StaleName] = field(default_factory=list)
    stale_listings: list[int] = field(default_factory=list)
    stale_attributes: list[int] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """What has changed, in words."""
        return f"{len(self.stale_names)} names changed in what was looked at before"

    def notices(self) -> list[bytes]:
        """What the kernel must be told, in this order: names first, because that waits for listings under way."""
        return [
            *(protocol.forget_name(directory, name) for directory, name in self.stale_names),
            *(protocol.forget_content(node) for node in self.stale_listings),
            *(protocol.forget_attributes(node) for node in self.stale_attributes),
        ]


def succession(
    old: MountedTree,
    new: MountedTree,
    catalogs: Mapping[bytes, LoadedCatalog],
    known: Callable[[int], Directory | None],
    first: int,
) -> Succession:
    """How `new` follows `old`, of which `catalogs` have been read by mountpoint; `known` finds their directories.
    New numbers begin at `first`. Raises OutcropError as reading catalogs does."""
    comparison = _Comparison(old, new, catalogs, known, first)
    comparison.compare_catalog(RepositoryPath(b""), protocol.ROOT_NODE, protocol.ROOT_NODE)
    return comparison.result


class _Staged:
    """The directories of a catalog of the new revision: the one at its mountpoint, the others by number."""

    def __init__(self, catalog: ReadCatalog, root: PathHash) -> None:
        self.top = catalog.directories.get(root)
        self.below = {
            number: catalog.directories[key] for key, number in catalog.numbers.items() if key in catalog.directories
        }


class _Comparison:
    def __init__(
        self,
        old: MountedTree,
        new: MountedTree,
        catalogs: Mapping[bytes, LoadedCatalog],
        known: Callable[[int], Directory | None],
        first: int,
    ) -> None:
        self.result = Succession(first)
        self._old, self._new = old, new
        self._catalogs = catalogs
        self._known = known

    def compare_catalog(self, path: RepositoryPath, node: int, parent: int) -> None:
        """The catalog mounted at `path` in the new revision, whose directory keeps the number `node`."""
        loaded = self._catalogs.get(path)
        digest = self._new.catalog(path).digest
        if loaded is not None and loaded.digest == digest:
            self.result.catalogs |= {at: one for at, one in self._catalogs.items() if is_below(at, path)}
            return
        with self._new.listing(path) as listing:
            catalog = read_catalog(listing, self.result.next, self._new.symlink_target)
        self.result.next = catalog.next
        self.result.catalogs[path] = LoadedCatalog(node, digest)
        staged = _Staged(catalog, listing.root)
        self._compare(path, node, parent, staged.top, staged)

    def _compare(self, path: RepositoryPath, node: int, parent: int, new: Directory | None, staged: _Staged) -> None:
        """The directory `node` at `path`, which is in both revisions and is now to be `new`."""
        old = self._known(node) or empty_directory(node, parent)
        if new is None:
            new = empty_directory(node, parent)
        positions = {old.name(position): position for position in range(len(old))}
        own_numbers = [new.number(index) for index in range(len(new))]
        kept = self._kept_numbers(path, old, positions, new)
        if _is_alike(old, new, kept):
            shown = old
        else:
            shown = new
            new.renumber(kept)
            self._replace(path, old, positions, new, node, parent)
        for index, number in enumerate(own_numbers):
            if stat.S_ISDIR(new.mode(index)):
                position = positions.get(new.name(index))
                was = None if position is None or not stat.S_ISDIR(old.mode(position)) else old.marks(position)
                self._descend(join(path, new.name(index)), shown.number(index), node, number, new.marks(index), was,
                              staged)  # fmt: skip

    def _kept_numbers(
        self, path: RepositoryPath, old: Directory, positions: Mapping[bytes, int], new: Directory
    ) -> dict[int, int]:
        """The old numbers of entries that keep theirs, by the numbers that they have in `new`."""
        kept: dict[int, int] = {}
        claimed: set[int] = set()
        for index in range(len(new)):
            name = new.name(index)
            position = positions.get(name)
            if position is None or not self._is_same(path, old, position, new, index):
                continue
            number, before = new.number(index), old.number(position)
            # Members of a hard-link group have one number; a group that was split or joined keeps one of its old ones.
            if number not in kept and before not in claimed:
                kept[number] = before
                claimed.add(before)
        return kept

    def _is_same(self, path: RepositoryPath, old: Directory, position: int, new: Directory, index: int) -> bool:
        mode = new.mode(index)
        if stat.S_ISDIR(mode):
            return stat.S_ISDIR(old.mode(position))
        if old.likeness(position) != new.likeness(index):
            return False
        if not stat.S_ISREG(mode) or not new.marks(index) & _CHUNKS_OUTSIDE:
            return True
        place = join(path, new.name(index))
        pieces = tuple(self._new.pieces(place, new.entry(index)))
        try:
            return tuple(self._old.pieces(place, old.entry(position))) == pieces
        except OutcropError:
            # The old catalog cannot be had any more. A new number is right in any case.
            return False

    def _replace(
        self,
        path: RepositoryPath,
        old: Directory,
        positions: Mapping[bytes, int],
        new: Directory,
        node: int,
        parent: int,
    ) -> None:
        """`new` shows in the place of `old`. The entries have their final numbers."""
        result = self.result
        new.node, new.parent = node, parent
        result.directories[node] = new
        result.superseded.append(old)
        result.stale_listings.append(node)
        if new.first:
            result.fresh.append(new)
        numbers: set[int] = set()
        for index in range(len(new)):
            number = new.number(index)
            if number not in numbers and not new.first <= number < new.first + len(new):
                result.moved[number] = Place(new, index)
            numbers.add(number)
            position = positions.get(new.name(index))
            if position is None or old.number(position) != number:
                result.stale_names.append(StaleName(node, new.name(index)))
            elif stat.S_ISDIR(new.mode(index)) and old.likeness(position) != new.likeness(index):
                result.stale_attributes.append(number)
        for name, position in positions.items():
            number = old.number(position)
            if new.index(name) is None:
                result.stale_names.append(StaleName(node, name))
            if number not in numbers:
                numbers.add(number)
                self._end(old, position, number)

    def _end(self, old: Directory, position: int, number: int) -> None:
        """The entry `number` at `position` of `old` is in the new revision no more."""
        part = old.part(position)
        self.result.moved[number] = Place(part, 0)
        self.result.gone.append(part)
        self.result.ended.append(number)
        if stat.S_ISDIR(old.mode(position)):
            self._end_below(number)

    def _end_below(self, node: int) -> None:
        waiting = [node]
        while waiting:
            directory = self._known(waiting.pop())
            if directory is not None:
                self.result.gone.append(directory)
                waiting += [
                    directory.number(index)
                    for index in range(len(directory))
                    if stat.S_ISDIR(directory.mode(index))
                ]  # fmt: skip

    def _descend(
        self,
        path: RepositoryPath,
        node: int,
        parent: int,
        staged_number: int,
        marks: Mark,
        was: Mark | None,
        staged: _Staged,
    ) -> None:
        """The directory at `path`; `was` are its marks in the old revision, None if it was no directory there."""
        if marks & CROSSING:
            # Of a catalog that nobody has looked into the kernel knows nothing.
            if was is not None and (not was & CROSSING or path in self._catalogs):
                self.compare_catalog(path, node, parent)
        elif was is not None:
            self._compare(path, node, parent, staged.below.get(staged_number), staged)
        else:
            self._take_over(node, parent, staged.below.get(staged_number), staged)

    def _take_over(self, node: int, parent: int, new: Directory | None, staged: _Staged) -> None:
        """The directory `new` with everything below it, of which the old revision had nothing."""
        waiting = [(node, parent, new)]
        while waiting:
            number, above, directory = waiting.pop()
            if directory is None:
                continue
            directory.node, directory.parent = number, above
            self.result.directories[number] = directory
            self.result.fresh.append(directory)
            for index in range(len(directory)):
                if stat.S_ISDIR(directory.mode(index)) and not directory.marks(index) & CROSSING:
                    below = directory.number(index)
                    waiting.append((below, number, staged.below.get(below)))


def _is_alike(old: Directory, new: Directory, kept: Mapping[int, int]) -> bool:
    """Whether the two show the same entries with the same attributes, so that the old one can stay."""
    return (
        len(old) == len(new)
        and old.visible == new.visible
        and all(
            old.name(index) == new.name(index)
            and kept.get(new.number(index)) == old.number(index)
            and old.likeness(index) == new.likeness(index)
            for index in range(len(new))
        )
    )
