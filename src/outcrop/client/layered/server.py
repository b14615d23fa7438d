"""The process behind a mount by layers: it mounts, fetches what is missing, and goes on to new revisions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.ladder.kept_layers import LAYERS_NAME, KeptLayers, Wanted
from outcrop.client.layered.shown_layers import LayerSource, ShownLayers
from outcrop.client.layers.metadata import AttributeSpace
from outcrop.client.mount.activity import Activity
from outcrop.client.mount.following import Follower
from outcrop.client.mount.kernel import MountOptions
from outcrop.client.mount.open_files import raise_descriptor_limit
from outcrop.client.mount.repository_tree import RepositoryTree
from outcrop.client.mount.server import ENDED, leave, prepare_process, stay, wait_with_signals
from outcrop.client.owners import Ownership


@dataclass(frozen=True, slots=True)
class LayeredService:
    """Serves what `open_tree` opens by layers. Metadata is kept below the directory `cache`, `ownership` says to whom
    entries belong."""

    open_tree: Callable[[], RepositoryTree]
    cache: Path
    ownership: Ownership

    def __call__(self, options: MountOptions, ready: Callable[[], None], log: Path | None) -> None:
        """Serves until the mount ends, as `outcrop.client.mount.server.serve` does."""
        prepare_process()
        tree = self.open_tree()
        raise_descriptor_limit()
        activity = Activity(log)
        wanted = Wanted(AttributeSpace.TRUSTED, tree.variables, self.ownership)
        kept = KeptLayers.below(self.cache) or KeptLayers(self.cache / LAYERS_NAME)
        source = LayerSource(kept, wanted, Path(tree.about.cache))
        shown = ShownLayers(tree, source, options, activity, lambda: os.kill(os.getpid(), ENDED))
        wait_with_signals()
        shown.show()
        try:
            ready()
        except BaseException:
            leave(options)
            raise
        follower = Follower(shown, activity, lambda _notices: None, looked=shown.verify)
        stay(follower, options, tree.about)
