"""What the layers of a revision need, made ready before anything is mounted: metadata, objects, missing files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.ladder.kept_layers import KeptLayer, KeptLayers, Wanted
from outcrop.client.layers.metadata import AttributeSpace
from outcrop.client.layers.missing_files import FIRST_ENTRY, MissingFiles, Tell
from outcrop.client.layers.proofs import ProofBook
from outcrop.client.layers.shown_entries import ShownEntries
from outcrop.client.layers.verified_objects import Checked, verify_objects
from outcrop.client.repository import OpenRepository
from outcrop.errors import StorageError, storage_error

MOST_ENTRIES = {AttributeSpace.TRUSTED: 1_000_000, AttributeSpace.USER: 200_000}
"""How large a revision may be. All its catalogs are read before the first run: some 30 µs an entry, which is done once.
What is planted in memory costs each run 17 µs and a kilobyte an entry."""


@dataclass(frozen=True, slots=True)
class ReadyLayers:
    """The layer of metadata of what `repository` shows, and the cache at `objects` with the proofs of what is in it."""

    repository: OpenRepository
    layer: KeptLayer
    objects: Path
    book: ProofBook

    @classmethod
    def make(
        cls,
        repository: OpenRepository,
        kept: KeptLayers,
        wanted: Wanted,
        objects: Path,
        making: Callable[[], None] = lambda: None,
    ) -> ReadyLayers:
        """Finds the layer or makes it (`making` is called then), and verifies what the cache has of its objects.

        Raises as `KeptLayers.make` and `verify_objects` do."""
        layer = kept.find(repository.name, repository.root.digest.text, wanted)
        if layer is None:
            making()
            layer = kept.make(repository, wanted, MOST_ENTRIES[wanted.space])
        ready = cls(repository, layer, objects, ProofBook(objects))
        ready.verify()
        return ready

    def verify(self) -> Checked:
        """Leaves nothing in the cache that the layer would show and that is not what it should be. StorageError where
        it has to stay."""
        checked = verify_objects(self.objects, self.layer.needed.objects, self.repository.contents, self.book)
        if checked.thrown_away and not os.access(self.objects, os.W_OK):
            # The kernel would show what every other way of reading passes over.
            raise StorageError(
                what=str(self.objects),
                problem="has damaged files and cannot be written to",
                hint="have its owner run `outcrop cache verify`, or read it in another way, as over FUSE",
            )
        return checked

    def files(self, entries: ShownEntries | None = None, tell: Tell | None = None) -> MissingFiles:
        """The layer of missing files, with `entries` if the layer of metadata leaves none to it; `tell` is as
        `MissingFiles` has it."""
        tree, rest = self.repository.tree, self.layer.rest
        if rest is not None:
            entries = ShownEntries(rest, FIRST_ENTRY, os.geteuid(), os.getegid())
        try:
            image = os.open(self.layer.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error(error) from error
        return MissingFiles(
            self.layer.needed,
            self.repository.contents,
            lambda path: tree.pieces(path, tree.entry(path)),
            self.book.add,
            image,
            entries,
            tell,
        )
