"""What a change does to a repository, path by path: the plan that `--dry-run` prints and the run carries out."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.entry import MAXIMUM_UINT32, Chunk, Entry, EntryRow, Mark, SoundRow
from outcrop.cvmfs.paths import RepositoryPath


@dataclass(frozen=True, slots=True)
class PathChange:
    """One path and what happens to it. Of a directory that goes away, only its own path is told.

    `content` says whether a file's bytes, a link's target or the kind of the entry differ, or everybody lost the
    permission to read or run it, not its other attributes alone; it is true of all that comes or goes. `entries` counts
    the entries at and below the path that the change is about.
    """

    path: RepositoryPath
    effect: Effect
    content: bool = True
    entries: int = 1
    bytes: int = 0


@dataclass(slots=True)
class ChangeSummary:
    """All that a change does. `bytes_in` is the size of the files that were added or changed."""

    changes: list[PathChange] = field(default_factory=list)
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    bytes_in: int = 0
    catalogs: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.changed or self.removed)

    def note_put(self, path: RepositoryPath, effect: Effect, *, size: int = 0, content: bool = True) -> None:
        """`path` is added or changed; `size` is that of a file, `content` as `PathChange` has it."""
        if effect is Effect.ADDED:
            self.added += 1
        else:
            self.changed += 1
        self.bytes_in += size
        self.changes.append(PathChange(path, effect, content, bytes=size))

    def note_removed(self, path: RepositoryPath, entries: int) -> None:
        """`path` goes away with what is below it, `entries` in all."""
        self.removed += entries
        self.changes.append(PathChange(path, Effect.REMOVED, entries=entries))


_USED_BY_READERS = stat.S_IROTH | stat.S_IXOTH
"""Who takes one of these from everybody takes the entry away, whatever it still holds."""


def has_other_content(old: Entry, old_chunks: tuple[Chunk, ...], new: Entry, new_chunks: tuple[Chunk, ...]) -> bool:
    """Whether a reader finds another kind of entry, other bytes or another target at the path of `old`, or cannot get
    at it any more."""
    if _USED_BY_READERS & old.mode & ~new.mode and not old.is_symlink:
        return True
    if old.is_directory and new.is_directory:
        return False
    return (old.kind, old.size, old.digest, old.symlink, old_chunks) != (
        new.kind,
        new.size,
        new.digest,
        new.symlink,
        new_chunks,
    )


_KEPT_BY_CATALOGS = int(Mark.NESTED_MOUNTPOINT | Mark.NESTED_ROOT | Mark.BIND_MOUNTPOINT)


def is_same_row(old: EntryRow | SoundRow, new: SoundRow) -> bool:
    """Whether a reader could not tell `new` from `old`, apart from what catalogs keep for themselves: link counts and
    sizes of directories, marks of nested catalogs, numbers of hard link groups. Chunks are not compared."""
    if (old.mode, old.mtime, old.mtimens, old.uid, old.gid, old.hash, old.symlink, old.xattr) != (
        new.mode,
        new.mtime,
        new.mtimens,
        new.uid,
        new.gid,
        new.hash,
        new.symlink,
        new.xattr,
    ):
        return False
    if not (isinstance(old.flags, int) and isinstance(old.hardlinks, int)):
        return False
    if stat.S_ISDIR(new.mode):
        return old.flags & ~_KEPT_BY_CATALOGS == new.flags
    return (old.flags, old.size, old.hardlinks & MAXIMUM_UINT32) == (
        new.flags,
        new.size,
        new.hardlinks & MAXIMUM_UINT32,
    )
