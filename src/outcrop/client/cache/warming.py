"""What has to be in the cache so that given paths can be read without a network: catalogs and contents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from outcrop.client.cache.wanted_paths import WantedPath
from outcrop.client.contents import Contents, Piece
from outcrop.client.tree import Located, Tree
from outcrop.cvmfs.paths import shown
from outcrop.errors import InvalidValue, NotFound
from outcrop.progress import SILENT, Progress


@dataclass(slots=True)
class WarmPlan:
    """The contents that are wanted: `pieces` of `files` files, each object once, with `size` plain bytes. `missing` are
    paths of a list where nothing is: programs look for much that is not there."""

    pieces: dict[bytes, Piece] = field(default_factory=dict)
    files: int = 0
    size: int = 0
    missing: list[str] = field(default_factory=list)

    def add(self, pieces: Iterable[Piece]) -> None:
        """One more file."""
        self.files += 1
        for piece in pieces:
            if self.pieces.setdefault(piece.content.key, piece) is piece:
                self.size += piece.size


def plan_warming(tree: Tree, paths: Iterable[bytes], listed: Iterable[WantedPath] = ()) -> WarmPlan:
    """The plan for `paths` of `tree` with everything below them, and for exactly what is `listed`. Links are followed.
    All catalogs that are needed are in the cache afterwards.

    NotFound for one of `paths` where nothing is."""
    plan = WarmPlan()
    seen: set[bytes] = set()

    def add(located: Located) -> None:
        if located.entry.is_file and located.path not in seen:
            seen.add(located.path)
            plan.add(tree.pieces(located.path, located.entry))

    for path in paths:
        for located in _below(tree, tree.resolve(path)):
            add(located)
    for wanted in listed:
        try:
            located = tree.resolve(wanted.path)
        except (NotFound, InvalidValue):
            # Nothing there, out of the repository, or in a circle: the program that was traced got no bytes either.
            plan.missing.append(shown(wanted.path))
            continue
        if located.entry.is_directory:
            tree.children(located.path)
        elif wanted.contents:
            add(located)
    return plan


def _below(tree: Tree, top: Located) -> Iterator[Located]:
    if top.entry.is_directory:
        yield from tree.walk(top.path)
    else:
        yield top


def warm(plan: WarmPlan, contents: Contents, progress: Progress = SILENT) -> None:
    """Fetches what `plan` wants and is not here, many at once; `progress` counts plain bytes."""
    progress.start("Warming", plan.size, "bytes")
    contents.ensure(plan.pieces.values(), progress)
    progress.finish()
