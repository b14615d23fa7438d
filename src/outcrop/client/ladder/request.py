"""What a run asks for: which repository at which place, and what may be used to show it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from outcrop.client.reading_settings import ClientSettings, RevisionChoice
from outcrop.client.recent_proof import RecentProof
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.progress import SILENT, Progress

if TYPE_CHECKING:
    from outcrop.client.known_repository import RepositoryAddress
    from outcrop.client.ladder.relocated import Relocator
    from outcrop.client.mount.repository_tree import RepositoryTree
    from outcrop.client.repository import OpenRepository

CUSTOMARY_PLACE = PurePosixPath("/cvmfs")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is to be shown, and by what means.

    `address` finds the repository's servers and keys when they are needed: a mount that is there already needs none.
    `paths` are the directories that a copy is limited to, all where there are none. `image` is the container image for
    Apptainer, `relocate_to` the directory for relocated copies, `relocator` what makes them (None where there is none).
    `command` is what is to be run, as far as that is known: not every way reaches every program.
    `log` is where the server of a mount writes to. `recent` is what was proved for the same request a moment ago (None
    keeps nothing), and `places` says which files and directories had a say in `address`. `tell` hears what may be
    wrong, `note` what is worth knowing.
    """

    name: RepositoryName
    address: Callable[[], RepositoryAddress]
    settings: ClientSettings
    choice: RevisionChoice
    paths: tuple[RepositoryPath, ...] = ()
    image: str = ""
    relocate_to: Path | None = None
    relocator: Relocator | None = None
    log: Path | None = None
    recent: RecentProof | None = None
    places: Callable[[], Iterable[Path]] = tuple
    command: tuple[str, ...] = ()
    customary: PurePosixPath = CUSTOMARY_PLACE
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    progress: Progress = SILENT
    tell: Callable[[str], None] = lambda _text: None
    note: Callable[[str], None] = lambda _text: None

    @property
    def prefix(self) -> PurePosixPath:
        """Where the repository is expected, as programs write it."""
        return self.customary / self.name

    def open(self) -> OpenRepository:
        """The repository, trusted; raises as `open_repository` does."""
        # A copy that is there is used without: most of the time that a run takes would go into reading this code.
        from outcrop.client.repository import open_repository

        return open_repository(self.address(), self.settings, self.choice, self.tell)

    def open_tree(self) -> RepositoryTree:
        """The repository as a mount shows it, opened by the server's process."""
        # Few ways mount anything, and none but the server's process opens the tree.
        from outcrop.client.keys import load_keys
        from outcrop.client.mount.repository_tree import RepositoryTree, owners_for, public_key_texts
        from outcrop.client.repository import open_repository

        address = self.address()
        repository = open_repository(address, self.settings, self.choice)
        keys = public_key_texts(load_keys(address.keys))
        return RepositoryTree(repository, public_keys=keys, owners=owners_for(address.ownership))
