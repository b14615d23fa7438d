"""How transactions mount: the client's mount shows a revision to the publisher's overlay.

The publisher and the client do not know each other; here they meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from outcrop.client.address import RepositoryAddress
from outcrop.client.keys import load_keys
from outcrop.client.mount.kernel import MountOptions, unmount
from outcrop.client.mount.mountinfo import MOUNTINFO, mounts
from outcrop.client.mount.owners import AS_PUBLISHED
from outcrop.client.mount.processes import check_mountpoint, mount_in_background
from outcrop.client.mount.repository_tree import RepositoryTree, public_key_texts
from outcrop.client.mount.unmounting import users_of
from outcrop.client.owners import Ownership
from outcrop.client.repository import ClientSettings, OpenRepository, RevisionChoice, open_repository
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.transactions.view import MountedAt


class PublishedTree(RepositoryTree):
    """A revision as an overlay's lower layer: links show what was published, and all may belong to one `owner`.

    What an overlay copies up it writes into a repository again; a variant link must not come back filled in. A user
    who is not root can neither change nor copy what belongs to others."""

    def __init__(self, repository: OpenRepository, owner: tuple[int, int] | None, *, public_keys: str) -> None:
        owners = AS_PUBLISHED if owner is None else Ownership(claimed=True).for_reader(*owner)
        super().__init__(repository, public_keys=public_keys, owners=owners)

    def symlink_target(self, entry: Entry) -> bytes:
        return entry.symlink


class ClientMounts:
    """`Mounting` for the transactions of `repository`, with this user's cache."""

    def __init__(self, repository: OwnedRepository) -> None:
        self._repository = repository

    def mount_revision(self, root: Digest, at: Path, owner: tuple[int, int] | None, log: Path) -> None:
        repository = self._repository
        files = repository.keys
        # While the master key is replaced, the whitelist is signed with the old one or the new one.
        keys = [path for path in (files.public_key, files.next_public_key, files.previous_public_key) if path.exists()]
        address = RepositoryAddress(repository.name, (repository.settings.storage,), tuple(keys))
        # An owner who restores an older state of the storage may well work on it: nothing is remembered elsewhere.
        settings = ClientSettings(state_directory=at.parent)

        def open_tree() -> PublishedTree:
            opened = open_repository(address, settings, RevisionChoice(root_catalog=root))
            return PublishedTree(opened, owner, public_keys=public_key_texts(load_keys(address.keys)))

        mount_in_background(open_tree, MountOptions(repository.name, at, everyone=owner is None), log)

    def check_mountpoint(self, at: Path) -> None:
        check_mountpoint(at)

    def mounts(self, process: int | None = None) -> Sequence[MountedAt]:
        listed = mounts(MOUNTINFO if process is None else Path(f"/proc/{process}/mountinfo"))
        return [MountedAt(line.mountpoint, line.type, line.source) for line in listed]

    def unmount(self, at: Path, *, lazy: bool) -> None:
        unmount(at, lazy=lazy)

    def users_of(self, at: Path) -> Iterator[str]:
        return users_of(at)
