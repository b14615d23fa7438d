"""What a checkout is going to write: everything below a directory of a tree, counted before anything is touched."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from outcrop.client.checkout_links import file_names
from outcrop.client.tree import Located, Tree
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, shown
from outcrop.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class CheckoutPlan:
    """Everything at and below `path`, each directory before what it holds. `size` is the bytes of all files, those with
    several names counted once."""

    path: RepositoryPath
    entries: tuple[Located, ...]
    size: int

    def count(self, *kinds: EntryKind) -> int:
        """How many entries are of one of `kinds`."""
        counts = Counter(located.entry.kind for located in self.entries)
        return sum(counts[kind] for kind in kinds)

    @property
    def files(self) -> int:
        return self.count(EntryKind.FILE)


def plan_checkout(tree: Tree, path: bytes = ROOT) -> CheckoutPlan:
    """The plan for the directory `path` of `tree`. Hidden entries, and other revisions that are bound into the tree,
    are left out, as they are in listings.

    NotFound if there is nothing at `path`, InvalidValue if it is no directory."""
    if not tree.entry(path).is_directory:
        raise InvalidValue(
            what=shown(path), problem="is not a directory", hint="`outcrop cat` writes a file to standard output"
        )
    entries = tuple(
        located for located in tree.walk(path) if located.path == path or not located.entry.is_bind_mountpoint
    )
    assert all(is_below(located.path, path) for located in entries)
    return CheckoutPlan(RepositoryPath(path), entries, file_names(entries).size)
