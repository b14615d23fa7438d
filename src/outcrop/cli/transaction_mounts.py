"""How transactions mount: the client's mount shows a revision to the publisher's overlay.

The publisher and the client do not know each other; here they meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from outcrop.client.address import RepositoryAddress
from outcrop.client.keys import load_keys
from outcrop.client.mount.kernel import MountOptions, unmount
from outcrop.client.mount.listing import Listing, ListingRow
from outcrop.client.mount.mountinfo import MOUNTINFO, mounts
from outcrop.client.mount.processes import check_mountpoint, mount_in_background
from outcrop.client.mount.repository_tree import RepositoryTree, public_key_texts
from outcrop.client.mount.unmounting import users_of
from outcrop.client.repository import ClientSettings, OpenRepository, RevisionChoice, open_repository
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import ENTRY_COLUMNS, Entry
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.transactions.view import MountedAt

_COLUMNS_IN_FRONT = 4
"""A row of a listing begins with the hashes of two paths, two numbers each."""
_UID, _GID = (_COLUMNS_IN_FRONT + ENTRY_COLUMNS.index(name) for name in ("uid", "gid"))


class PublishedTree(RepositoryTree):
    """A revision as an overlay's lower layer: links show what was published, and all may belong to one `owner`.

    What an overlay copies up it writes into a repository again; a variant link must not come back filled in. A user
    who is not root can neither change nor copy what belongs to others."""

    def __init__(self, repository: OpenRepository, owner: tuple[int, int] | None, *, public_keys: str) -> None:
        super().__init__(repository, public_keys=public_keys)
        self._owner = owner

    def root(self) -> Entry:
        root = super().root()
        return root if self._owner is None else replace(root, uid=self._owner[0], gid=self._owner[1])

    @contextmanager
    def listing(self, mountpoint: bytes) -> Iterator[Listing]:
        with super().listing(mountpoint) as listing:
            yield listing if self._owner is None else replace(listing, rows=_owned(listing.rows, self._owner))

    def symlink_target(self, entry: Entry) -> bytes:
        return entry.symlink


def _owned(rows: Iterable[ListingRow], owner: tuple[int, int]) -> Iterator[ListingRow]:
    for row in rows:
        changed = list(row)
        changed[_UID], changed[_GID] = owner
        yield tuple(changed)


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
