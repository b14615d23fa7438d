"""Names that share one file: the first one stands for it, the others are links to that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from outcrop.client.tree import Located
from outcrop.cvmfs.paths import RepositoryPath


def hard_link_key(located: Located) -> tuple[bytes, int] | None:
    """What the names of one file have in common: their directory and group. None for a file with one name."""
    entry = located.entry
    if not entry.is_file or not entry.hardlink_group or entry.linkcount < 2:
        return None
    return located.path.rpartition(b"/")[0], entry.hardlink_group


@dataclass(frozen=True, slots=True)
class FileNames:
    """The regular files among some entries: `first` has each file under its first name, `others` the remaining names,
    each with the path of the first one."""

    first: tuple[Located, ...]
    others: dict[RepositoryPath, RepositoryPath]

    @property
    def size(self) -> int:
        """The bytes of all files, each counted once."""
        return sum(located.entry.size for located in self.first)


def file_names(entries: Iterable[Located]) -> FileNames:
    """The regular files among `entries`, in their order."""
    first: list[Located] = []
    others: dict[RepositoryPath, RepositoryPath] = {}
    seen: dict[tuple[bytes, int], RepositoryPath] = {}
    for located in entries:
        if not located.entry.is_file:
            continue
        key = hard_link_key(located)
        if key is not None and key in seen:
            others[located.path] = seen[key]
            continue
        if key is not None:
            seen[key] = located.path
        first.append(located)
    return FileNames(tuple(first), others)
