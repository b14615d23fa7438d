"""The catalogs of a revision, open for change: only those on a changed path are read, and only changed ones written.

A directory that holds a regular file `.cvmfscatalog` is the root of a nested catalog, and no other is (the root
directory's own marker means nothing). What a change does to the counters of a nested catalog is carried up to its
parents when catalogs are written, leaves first.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import IO

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.catalog_edit import EditableCatalog, NewEntry, nested_mountpoint, nested_root, plain_directory
from outcrop.cvmfs.counters import Counts
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Chunk, Entry, EntryRow
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, is_below, join, name, parent
from outcrop.errors import FormatError, storage_error

MARKER = b".cvmfscatalog"

LoadCatalog = Callable[[Digest], bytes]
"""Gives the database file of the catalog with this digest."""
StoreCatalog = Callable[[bytes], Digest]
"""Stores a database file as a catalog and gives its digest."""


MAXIMUM_AWAKE = 64
"""How many catalogs besides the root are in memory at once. Trees are walked in depth, so few are needed."""


class _OpenCatalog:
    """A catalog open for change. `accounted` is what its parent's subtree counters hold for it now."""

    def __init__(
        self,
        path: RepositoryPath,
        catalog: EditableCatalog,
        origin: CatalogReference | None,
        accounted: Counts,
        *,
        changed: bool = False,
    ) -> None:
        self.path = path
        self.origin = origin
        self.accounted = accounted
        self.nested: dict[RepositoryPath, CatalogReference | None] = {}
        self.changed = changed
        self._catalog: EditableCatalog | None = catalog
        self._place = (0, 0)

    @property
    def catalog(self) -> EditableCatalog:
        assert self._catalog is not None, f"{self.path!r} sleeps"
        return self._catalog

    @property
    def is_awake(self) -> bool:
        return self._catalog is not None

    def sleep(self, spool: IO[bytes]) -> None:
        """Moves the catalog out of memory to the end of `spool`."""
        data = self.catalog.parked()
        self.close()
        try:
            self._place = (spool.seek(0, os.SEEK_END), spool.write(data))
        except OSError as error:
            raise storage_error(error, "the directory for temporary files") from error

    def wake(self, spool: IO[bytes]) -> None:
        """Brings the catalog back from `spool`, if it is there."""
        if self._catalog is None:
            start, size = self._place
            spool.seek(start)
            self._catalog = EditableCatalog.parse(spool.read(size), f"the catalog of {self.path!r}")

    def close(self) -> None:
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None


@dataclass(frozen=True, slots=True)
class WrittenCatalogs:
    """What was written: the root, and how many catalogs there are among it."""

    root: CatalogReference
    catalogs: int


class CatalogTree:
    """The tree of one revision. Paths are those of the repository."""

    def __init__(self, load: LoadCatalog, root: CatalogReference | None, root_entry: Entry | None = None) -> None:
        """The tree below the catalog `root`; a new one with the directory `root_entry` when there is none."""
        self._load = load
        self._open: dict[RepositoryPath, _OpenCatalog] = {}
        self._touched_directories: set[RepositoryPath] = set()
        self._spool = tempfile.TemporaryFile(prefix="outcrop-catalogs-")  # noqa: SIM115 - `close` closes it
        if root is not None:
            self._open_existing(root)
        else:
            assert root_entry is not None, "a new tree needs its root directory"
            catalog = EditableCatalog.create(_empty_database(), ROOT, root_entry, "the root catalog")
            self._open[ROOT] = _OpenCatalog(ROOT, catalog, None, Counts(), changed=True)

    @property
    def is_changed(self) -> bool:
        """Whether writing would make any new catalog."""
        return any(one.changed for one in self._open.values())

    def changed_catalogs(self) -> list[RepositoryPath]:
        """The mountpoints of the catalogs that writing would write for changes of their own."""
        return [path for path, one in self._open.items() if one.changed]

    def catalog_inside(self, directory: RepositoryPath) -> EditableCatalog:
        """The catalog that has what lies in `directory`, for reading only."""
        return self._inside(directory).catalog

    def mountpoint_inside(self, directory: RepositoryPath) -> RepositoryPath:
        """Where the catalog is mounted that has what lies in `directory`."""
        return self._inside(directory).path

    @property
    def totals(self) -> Counts:
        """The counts of the whole tree as it was when its catalogs were last written."""
        return self._open[ROOT].catalog.own + self._open[ROOT].catalog.subtree

    def lookup(self, path: RepositoryPath) -> Entry | None:
        """The entry at `path`; a nested catalog's root as its parent has it."""
        return self._holder(path).catalog.lookup(path)

    @property
    def root(self) -> Entry:
        """The root directory."""
        entry = self._open[ROOT].catalog.lookup(ROOT)
        if entry is None:
            raise FormatError(what="the root catalog", field="the row of /", problem="is missing")
        return entry

    def children(self, path: RepositoryPath) -> list[Entry]:
        """The entries directly in the directory `path`."""
        return self._inside(path).catalog.children(path)

    def child_rows(self, path: RepositoryPath) -> list[EntryRow]:
        """The rows of the entries directly in the directory `path`, as they stand in its catalog."""
        return self._inside(path).catalog.child_rows(path)

    def chunks(self, path: RepositoryPath, entry: Entry) -> tuple[Chunk, ...]:
        """The chunks of the chunked file at `path`."""
        return self._holder(path).catalog.chunks(path, entry)

    def put(self, path: RepositoryPath, entry: Entry, chunks: Sequence[Chunk] = ()) -> None:
        """Writes the entry at `path`. A directory keeps what it holds, and stays a nested catalog where it is one."""
        holder = self._holder(path)
        holder.changed = True
        inside = self._inside(path) if entry.is_directory else holder
        if inside is holder:
            holder.catalog.put(path, entry, chunks)
        else:
            inside.changed = True
            holder.catalog.put(path, nested_mountpoint(entry))
            inside.catalog.put(path, nested_root(entry))
        if entry.is_directory:
            self._touched_directories.update((path, parent(path)))

    def add(self, directory: RepositoryPath, entries: Sequence[NewEntry], *, fresh: bool = False) -> None:
        """Writes entries that are not there yet into `directory`; faster than one by one.

        The link counts of directories among them must be right already, and that of `directory` where it is `fresh`."""
        inside = self._inside(directory)
        inside.changed = True
        inside.catalog.add(directory, entries)
        if not fresh and any(stat.S_ISDIR(one.row.mode) for one in entries):
            self._touched_directories.add(directory)

    def remove(self, path: RepositoryPath) -> int:
        """Takes `path` and all below it away; returns how many entries these were."""
        entry = self.lookup(path)
        if entry is None or path == ROOT:
            raise FormatError(what="the catalogs", field=f"the row of {path!r}", problem="is missing")
        removed = self._remove_contents(path) if entry.is_directory else 0
        self._unlink(path, entry)
        return removed + 1

    def _remove_contents(self, path: RepositoryPath) -> int:
        holder = self._holder(path)
        mountpoints = [one for one in holder.nested if is_below(one, path)]
        removed = sum(self._drop_nested(holder, mountpoint) for mountpoint in mountpoints)
        if path not in mountpoints:
            removed += holder.catalog.remove_below(path)
        holder.catalog.forget_bind_mountpoints(path)
        return removed

    def _drop_nested(self, holder: _OpenCatalog, path: RepositoryPath) -> int:
        """Forgets the catalog nested at `path` with everything in it, without looking at its entries."""
        nested = self._inside(path)
        total = nested.catalog.own + nested.catalog.subtree
        for open_path in [one for one in self._open if is_below(one, path)]:
            below = self._open[open_path]
            if open_path != path:
                # Changes below have not been carried up yet: what they add or take is in no counter of `nested`.
                awake = self._awake(below).catalog
                total += awake.own + awake.subtree - below.accounted
            below.close()
            del self._open[open_path]
        holder.catalog.subtree -= nested.accounted
        holder.catalog.forget_nested(path)
        del holder.nested[path]
        # The root of every catalog counts twice, in it and as mountpoint above it.
        return total.entries - total.nested - 1

    def _unlink(self, path: RepositoryPath, entry: Entry) -> None:
        holder = self._holder(path)
        holder.changed = True
        holder.catalog.remove(path)
        if entry.is_directory:
            self._touched_directories.add(parent(path))
        elif entry.hardlink_group:
            self._shrink_group(holder, parent(path), entry.hardlink_group)

    @staticmethod
    def _shrink_group(holder: _OpenCatalog, directory: RepositoryPath, group: int) -> None:
        members = holder.catalog.hardlink_members(directory, group)
        for member in members:
            path = join(directory, member.name)
            left = replace(member, linkcount=len(members), hardlink_group=group if len(members) > 1 else 0)
            holder.catalog.put(path, left, holder.catalog.chunks(path, member) if member.is_chunked else ())

    def new_hardlink_group(self, directory: RepositoryPath) -> int:
        """A group number that is not in use in the catalog which holds the entries of `directory`."""
        return self._inside(directory).catalog.highest_hardlink_group() + 1

    def is_nested(self, path: RepositoryPath) -> bool:
        """Whether a nested catalog begins at the directory `path`."""
        return path != ROOT and path in self._holder(path).nested

    def make_nested(self, path: RepositoryPath) -> None:
        """Moves everything below the directory `path` into a catalog of its own."""
        holder = self._holder(path)
        entry = holder.catalog.lookup(path)
        assert entry is not None, path
        assert entry.is_directory, path
        catalog = EditableCatalog.create(_empty_database(), path, nested_root(entry), f"the catalog of {path!r}")
        new = _OpenCatalog(path, catalog, None, Counts(), changed=True)
        for below in [one for one in holder.nested if is_below(one, path)]:
            new.nested[below] = reference = holder.nested.pop(below)
            holder.catalog.forget_nested(below)
            if reference is not None:
                catalog.set_nested(reference)
            catalog.subtree += self._opened(below, reference).accounted
        new.accounted = catalog.subtree
        holder.catalog.move_below(path, catalog)
        holder.catalog.move_bind_mountpoints(path, catalog)
        holder.catalog.put(path, nested_mountpoint(entry))
        holder.nested[path] = None
        holder.changed = True
        self._open[path] = new

    def dissolve(self, path: RepositoryPath) -> None:
        """Moves everything in the catalog nested at `path` into the one that holds its mountpoint."""
        holder, nested = self._holder(path), self._inside(path)
        mountpoint = holder.catalog.lookup(path)
        assert mountpoint is not None, path
        nested.catalog.move_below(path, holder.catalog)
        nested.catalog.move_bind_mountpoints(path, holder.catalog)
        holder.catalog.put(path, plain_directory(mountpoint))
        holder.catalog.forget_nested(path)
        del holder.nested[path]
        for below, reference in nested.nested.items():
            holder.nested[below] = reference
            if reference is not None:
                holder.catalog.set_nested(reference)
        holder.catalog.subtree += nested.catalog.subtree - nested.accounted
        holder.changed = True
        self._open.pop(path).close()

    def correct_link_counts(self) -> None:
        """Gives every directory that was touched its link count: two, and one for each directory in it."""
        for path in sorted(self._touched_directories):
            entry = self.lookup(path)
            if entry is None or not entry.is_directory:
                continue  # gone since, or something else
            linkcount = 2 + self._inside(path).catalog.subdirectories(path)
            if linkcount != entry.linkcount:
                self.put(path, replace(plain_directory(entry), linkcount=linkcount))
            self.rest()
        self._touched_directories.clear()

    def write(self, store: StoreCatalog, *, revision: int, now: int, ttl: int) -> WrittenCatalogs:
        """Stores every changed catalog, leaves first. The root gets `revision`, a nested one the next of its own."""
        self.correct_link_counts()
        written = 0
        for depth in range(max(path.count(b"/") for path in self._open), -1, -1):
            # Writing a catalog changes the one above it, which may have been put away unchanged.
            changed = [path for path, one in self._open.items() if one.changed and path.count(b"/") == depth]
            for path in sorted(changed):
                one = self._awake(self._open[path])
                one.catalog.finish(
                    revision=revision if path == ROOT else one.catalog.properties.revision + 1,
                    now=now,
                    previous=one.origin.digest if one.origin else None,
                    ttl=ttl if path == ROOT else None,
                )
                data = database_to_bytes(one.catalog.connection)
                reference = CatalogReference(path, store(data), len(data))
                written += 1
                if path == ROOT:
                    return WrittenCatalogs(reference, written)
                self._account(self._holder(path), one, reference)
                self._open.pop(path).close()
                self.rest()
        raise AssertionError("the root of a changed tree is always changed")

    @staticmethod
    def _account(holder: _OpenCatalog, one: _OpenCatalog, reference: CatalogReference) -> None:
        total = one.catalog.own + one.catalog.subtree
        holder.catalog.subtree += total - one.accounted
        holder.catalog.set_nested(reference)
        holder.nested[reference.path] = reference
        holder.changed = True

    def rest(self) -> None:
        """Keeps memory within bounds: of many open catalogs, those that were not used lately wait in a file.

        To be called between changes of different directories."""
        awake = [one for one in self._open.values() if one.is_awake and one.path != ROOT]
        for one in awake[:-MAXIMUM_AWAKE]:
            if one.changed:
                one.sleep(self._spool)
            else:
                self._open.pop(one.path).close()

    def close(self) -> None:
        for one in self._open.values():
            one.close()
        self._open.clear()
        self._spool.close()

    def _holder(self, path: RepositoryPath) -> _OpenCatalog:
        """The catalog that has the row of `path`; for a nested catalog's root, that of the mountpoint."""
        return self._open[ROOT] if path == ROOT else self._inside(parent(path))

    def _inside(self, path: RepositoryPath) -> _OpenCatalog:
        """The catalog that has the rows of what lies in the directory `path`."""
        one = self._open[ROOT]
        while one.nested:
            below = next((prefix for prefix in [*ancestors(path), path] if prefix in one.nested), None)
            if below is None:
                break
            one = self._opened(below, one.nested[below])
        return self._awake(one)

    def _opened(self, path: RepositoryPath, reference: CatalogReference | None) -> _OpenCatalog:
        if path not in self._open:
            assert reference is not None, path
            self._open_existing(reference)
        return self._open[path]

    def _open_existing(self, reference: CatalogReference) -> None:
        catalog = EditableCatalog.parse(self._load(reference.digest), _title(reference.path, reference.digest))
        one = _OpenCatalog(reference.path, catalog, reference, catalog.own + catalog.subtree)
        one.nested = {nested.path: nested for nested in catalog.nested_catalogs()}
        self._open[reference.path] = one

    def _awake(self, one: _OpenCatalog) -> _OpenCatalog:
        """`one`, ready for use, and the last to be put to sleep."""
        one.wake(self._spool)
        if one.path != ROOT:
            self._open[one.path] = self._open.pop(one.path)
        return one


def _title(path: RepositoryPath, digest: Digest) -> str:
    return f"the catalog {name(path).decode('utf-8', 'backslashreplace') or 'root'} ({digest})"


def _empty_database() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
