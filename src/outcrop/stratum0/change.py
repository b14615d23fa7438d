"""What a change does to a repository, path by path: the plan that `--dry-run` prints and the run carries out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from outcrop.cvmfs.entry import Chunk, Entry, Mark
from outcrop.cvmfs.paths import RepositoryPath


class Effect(Enum):
    """What happens to one path; the value is how listings mark it."""

    ADDED = "+"
    CHANGED = "~"
    REMOVED = "-"


@dataclass(frozen=True, slots=True)
class PathChange:
    """One path and what happens to it. Of a directory that goes away, only its own path is told.

    `content` says whether a file's bytes, a link's target or the kind of the entry differ, not its attributes alone;
    it is true of all that comes or goes. `entries` counts the entries at and below the path that the change is about.
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

    def note_put(self, path: RepositoryPath, old: Entry | None, new: Entry, *, content: bool = True) -> None:
        """`path` becomes `new`, in the place of `old`; `content` as `PathChange` has it."""
        if old is None:
            self.added += 1
        else:
            self.changed += 1
        size = new.size if new.is_file else 0
        self.bytes_in += size
        effect = Effect.ADDED if old is None else Effect.CHANGED
        self.changes.append(PathChange(path, effect, content, bytes=size))

    def note_removed(self, path: RepositoryPath, entries: int) -> None:
        """`path` goes away with what is below it, `entries` in all."""
        self.removed += entries
        self.changes.append(PathChange(path, Effect.REMOVED, entries=entries))


def has_other_content(old: Entry, old_chunks: tuple[Chunk, ...], new: Entry, new_chunks: tuple[Chunk, ...]) -> bool:
    """Whether a reader finds another kind of entry, other bytes or another target at the path of `old`."""
    if old.is_directory and new.is_directory:
        return False
    return (old.kind, old.size, old.digest, old.symlink, old_chunks) != (
        new.kind,
        new.size,
        new.digest,
        new.symlink,
        new_chunks,
    )


_UPKEEP = Mark.NESTED_MOUNTPOINT | Mark.NESTED_ROOT | Mark.BIND_MOUNTPOINT


def is_same(old: Entry, old_chunks: tuple[Chunk, ...], new: Entry, new_chunks: tuple[Chunk, ...]) -> bool:
    """Whether a reader could not tell `new` from `old`, apart from what catalogs keep for themselves: link counts of
    directories, marks of nested catalogs, numbers of hard link groups, sizes of directories."""

    def visible(entry: Entry) -> Entry:
        if entry.is_directory:
            return replace(entry, linkcount=2, hardlink_group=0, size=0, marks=entry.marks & ~_UPKEEP)
        return replace(entry, hardlink_group=0)

    return visible(old) == visible(new) and old_chunks == new_chunks
