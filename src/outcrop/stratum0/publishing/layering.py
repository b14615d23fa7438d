"""Lays what comes in over the tree that is there: removals first, then a directory at a time, parents first.

Directories are merged, other entries replaced. Where an entry would change between directory and something else this is
refused, unless the place is among those to be deleted or replaced. What is the same already is left alone, even if it
is to be deleted and comes in again: the change tells what readers will find otherwise, and nothing else.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.catalog_edit import NewEntry
from outcrop.cvmfs.entry import Chunk, Entry, EntryRow, SoundRow, decode_entry, encode_entry
from outcrop.cvmfs.notices import OUTCROP_DIRECTORY
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, is_below, join, name, parent, shown
from outcrop.errors import AlreadyExists, InvalidValue, NotFound
from outcrop.stratum0.catalogs.catalog_tree import MARKER, CatalogTree
from outcrop.stratum0.catalogs.early_nesting import EarlyNesting
from outcrop.stratum0.catalogs.markers import AUTOMATIC_MARKER
from outcrop.stratum0.create import DIRECTORY_BYTES
from outcrop.stratum0.publishing.change import ChangeSummary, has_other_content, is_same_row
from outcrop.stratum0.publishing.staging import Staged, Staging

RESERVED = (RepositoryPath(b"/.cvmfs"), OUTCROP_DIRECTORY)
"""Belong to the publisher: snapshots by tag are shown in the first, notices lie in the second."""
NEW_DIRECTORY_MODE = stat.S_IFDIR | 0o755

StaysThere = Callable[[RepositoryPath], bool]
"""Whether the entry at a path stays where its directory comes in again without it."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What is laid over a tree, `at` a path: `staging`, after `delete` went away and `replace` was emptied.

    `owner` is the (uid, gid) of directories that are made on the way, `now` their time in seconds since 1970.
    """

    staging: Staging
    at: RepositoryPath
    delete: tuple[RepositoryPath, ...]
    replace: tuple[RepositoryPath, ...]
    owner: tuple[int, int]
    now: int
    brings_trees: bool


def lay_over(tree: CatalogTree, layer: Layer, summary: ChangeSummary, stays: StaysThere, nesting: EarlyNesting) -> None:
    """Makes the changes, and notes each of them in `summary`."""
    _Layering(tree, layer, summary, stays, nesting).run()


class _Layering:
    def __init__(
        self, tree: CatalogTree, layer: Layer, summary: ChangeSummary, stays: StaysThere, nesting: EarlyNesting
    ) -> None:
        self._tree = tree
        self._layer = layer
        self._summary = summary
        self._stays = stays
        self._nesting = nesting
        self._leading = frozenset((*ancestors(layer.at), layer.at)) if layer.brings_trees else frozenset()
        self._keeps_top = not any(is_below(layer.at, path) for path in layer.delete)
        self._fresh: set[RepositoryPath] = set()

    def run(self) -> None:
        self._require_deletable()
        for path in sorted(set(self._layer.delete)):
            self._delete(path)
        for path in self._layer.replace:
            self._remove_all_but_incoming(path)
        if self._layer.brings_trees:
            self._plan_catalogs()
            self._make_way()
        for directory, staged in self._layer.staging.directories():
            self._put_directory(directory, staged)
            self._tree.rest()
        self._follow_lone_markers()

    def _require_deletable(self) -> None:
        """Returns if all that is to be deleted is there, before any of it goes and takes what lies below along."""
        for path in self._layer.delete:
            if path == ROOT:
                raise InvalidValue(
                    what="the root of a repository", problem="cannot be deleted", hint="name what lies below it"
                )
            if self._tree.lookup(path) is None:
                what = f"the path {shown(path)}, which is to be deleted,"
                raise NotFound(what=what, hint="`outcrop ls` shows what is there")

    def _delete(self, path: RepositoryPath) -> None:
        if path in self._leading or self._layer.staging.get(path) is not None:
            self._remove_all_but_incoming(path)
        elif self._tree.lookup(path) is not None:
            self._summary.note_removed(path, self._tree.remove(path))

    def _remove_all_but_incoming(self, path: RepositoryPath) -> None:
        """Takes away what is at `path` and does not come in again as the same kind of thing."""
        entry = self._tree.lookup(path)
        if entry is None:
            return
        upcoming = self._layer.staging.get(path)
        comes_in = upcoming is not None or path in self._leading
        is_directory = upcoming.is_directory if upcoming is not None else comes_in
        if path != ROOT and (not comes_in or is_directory != entry.is_directory):
            if comes_in or not self._stays(path):
                self._summary.note_removed(path, self._tree.remove(path))
        elif entry.is_directory:
            for child in self._tree.children(path):
                if join(path, child.name) not in RESERVED:
                    self._remove_all_but_incoming(join(path, child.name))
            self._tree.rest()

    def _plan_catalogs(self) -> None:
        layer = self._layer
        if not layer.staging.has((MARKER, AUTOMATIC_MARKER)):
            self._nesting.plan(layer.at, layer.staging.sizes())

    def _make_way(self) -> None:
        """Makes the directories that lead to where the trees go."""
        layer = self._layer
        for path in [*ancestors(layer.at), layer.at]:
            entry = self._tree.lookup(path)
            if entry is None and layer.staging.get(path) is None:
                uid, gid = layer.owner
                new = Entry(name(path), NEW_DIRECTORY_MODE, DIRECTORY_BYTES, layer.now, uid=uid, gid=gid, linkcount=2)
                self._tree.put(path, new)
                self._summary.note_put(path, Effect.ADDED)
            elif entry is not None and not entry.is_directory:
                raise AlreadyExists(
                    what=f"{shown(path)}, which is no directory,",
                    hint=f"`--replace {shlex.quote(shown(path))}` puts a directory in its place, "
                    "or choose another `--at`",
                )

    def _put_directory(self, directory: RepositoryPath, staged: list[Staged]) -> None:
        tree = self._tree
        if directory not in self._fresh:
            self._require_directory(directory, staged[0])
        if directory != ROOT and not tree.is_nested(directory) and any(_is_marker(one.row) for one in staged):
            tree.make_nested(directory)
        if directory in self._fresh:
            self._nesting.begin(directory)
        there = {} if directory in self._fresh else {row.name: row for row in tree.child_rows(directory)}
        standing = _standing_groups(staged, there)
        first_group, groups = 0, dict[int, int]()
        new: list[NewEntry] = []
        for one in staged:
            row = one.row
            path = join(directory, row.name) if row.name else ROOT
            old = there.get(row.name) if path else encode_entry(tree.root)
            if old is not None and self._is_there(path, old, one) and (not one.links or one.links in standing):
                self._summary.unchanged += 1
                continue
            if one.links:
                if one.links not in groups:
                    first_group = first_group or tree.new_hardlink_group(directory)
                    groups[one.links] = first_group + len(groups)
                row = row._replace(hardlinks=groups[one.links] << 32 | row.hardlinks)
            if old is None:
                new.append(NewEntry(row, one.chunks))
                self._summary.note_put(path, Effect.ADDED, size=row.size if stat.S_ISREG(row.mode) else 0)
                if one.is_directory:
                    self._fresh.add(path)
            else:
                self._change(path, decode_entry(row, shown(path)), one.chunks)
        if new:
            tree.add(directory, new, fresh=directory in self._fresh)

    def _require_directory(self, directory: RepositoryPath, first: Staged) -> None:
        if not first.row.name:
            return
        entry = self._tree.lookup(directory)
        if entry is None or not entry.is_directory:
            raise InvalidValue(
                what=shown(join(directory, first.row.name)),
                problem=f"lies below {shown(directory)}, which is no directory",
                hint="nothing was published; make the archive again without it",
            )

    def _is_there(self, path: RepositoryPath, old: EntryRow | SoundRow, one: Staged) -> bool:
        """Whether the row `old` stays as it is; AlreadyExists where it is in the way."""
        was_directory = isinstance(old.mode, int) and stat.S_ISDIR(old.mode)
        if was_directory != one.is_directory:
            kind = "a directory" if was_directory else "no directory"
            raise AlreadyExists(
                what=f"{shown(path)}, which is {kind},",
                hint=f"`--replace {shlex.quote(shown(path))}` lets the new entry take its place",
            )
        # The top of a tree is laid over a directory that has its own owner and mode: a temporary directory's 0700
        # must not lock everybody out of the repository. If that directory is to be deleted, nothing of it is kept.
        if one.is_directory and (one.implied or (path == self._layer.at and self._keeps_top)):
            return True
        if not is_same_row(old, one.row):
            return False
        return not one.chunks or self._tree.chunks(path, decode_entry(one.row, shown(path))) == one.chunks

    def _change(self, path: RepositoryPath, entry: Entry, chunks: tuple[Chunk, ...]) -> None:
        """Puts `entry` in the place of what is at `path`."""
        tree = self._tree
        old = tree.lookup(path)
        assert old is not None, path
        old_chunks = tree.chunks(path, old) if old.is_chunked else ()
        if old.hardlink_group:
            tree.remove(path)  # which settles what is left of its group
        if old.is_directory:
            # What catalogs keep for a directory stays.
            entry = replace(entry, linkcount=old.linkcount, size=old.size, marks=old.marks)
        tree.put(path, entry, chunks)
        different = has_other_content(old, old_chunks, entry, chunks)
        self._summary.note_put(path, Effect.CHANGED, size=entry.size if entry.is_file else 0, content=different)

    def _follow_lone_markers(self) -> None:
        """Merges nested catalogs whose marker was taken away."""
        for change in [one for one in self._summary.changes if one.path.endswith(MARKER)]:
            directory = parent(change.path)
            if name(change.path) != MARKER or directory == ROOT or self._tree.lookup(directory) is None:
                continue
            marker = self._tree.lookup(change.path)
            if self._tree.is_nested(directory) and not (marker is not None and marker.is_file):
                self._tree.dissolve(directory)


def _standing_groups(staged: list[Staged], there: Mapping[object, EntryRow]) -> set[int]:
    """The hard link groups among `staged` that a directory with the rows `there` has already, with no other member."""
    groups: dict[int, set[int]] = {}
    for one in staged:
        if one.links:
            old = there.get(one.row.name)
            old_group = 0
            if old is not None and isinstance(old.hardlinks, int) and is_same_row(old, one.row):
                old_group = old.hardlinks >> 32
            groups.setdefault(one.links, set()).add(old_group)
    # The rows agree in how many members there are, so that a group which has all of these has no other.
    return {links for links, old_groups in groups.items() if len(old_groups) == 1 and 0 not in old_groups}


def _is_marker(row: SoundRow) -> bool:
    return row.name == MARKER and stat.S_ISREG(row.mode)
