"""An open repository as the tree that is mounted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.client.address import RepositoryAddress
from outcrop.client.contents import Piece
from outcrop.client.keys import load_keys
from outcrop.client.mount.listing import Listing, listing_of
from outcrop.client.mount.owners import AS_PUBLISHED, Owners, owned
from outcrop.client.mount.tree import About, CatalogInformation
from outcrop.client.owners import Ownership
from outcrop.client.repository import (
    CURRENT,
    ClientSettings,
    OpenRepository,
    RevisionChoice,
    cache_choice,
    find_current,
    open_repository,
)
from outcrop.client.tree import Tree
from outcrop.client.trust import Seen, TrustedManifest
from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.notices import MAXIMUM_NOTICES_BYTES, NOTICES_PATH, Notice, Notices
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, shown


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a mounted tree says of itself besides its revision, and how it learns of the next one.

    `cache` is a directory. `ask` finds what is current; None for a mount of a revision that was asked for by name,
    which stays."""

    cache: str = ""
    ask: Callable[[Seen], TrustedManifest] | None = None


class RepositoryTree:
    """The revision that `repository` shows. `public_keys` are PEM texts, for whoever asks what the mount trusts;
    `owners` say to whom entries belong here."""

    def __init__(
        self,
        repository: OpenRepository,
        *,
        public_keys: str = "",
        surroundings: Surroundings = Surroundings(),
        owners: Owners = AS_PUBLISHED,
    ) -> None:
        self._repository = repository
        self._tree = repository.tree
        self._contents = repository.contents
        self._surroundings = surroundings
        self._owners = owners
        self._public_keys = public_keys
        self._catalogs: dict[bytes, CatalogInformation] = {}
        self._entered: set[bytes] = set()
        root = repository.tree.catalog_at(ROOT)
        try:
            self._revision = root.properties.revision
        finally:
            root.close()

    @property
    def repository(self) -> OpenRepository:
        """What is behind it."""
        return self._repository

    @property
    def variables(self) -> Mapping[bytes, bytes]:
        """What variant links are filled in from."""
        return self._tree.variables

    @property
    def about(self) -> About:
        repository, around = self._repository, self._surroundings
        return About(
            fqrn=str(repository.name),
            revision=self._revision,
            root_hash=repository.root.digest.text,
            tag=repository.tag.name if repository.tag else "",
            network=self._contents.servers.state,
            external=self._contents.external_servers.state,
            public_keys=self._public_keys,
            ttl=repository.manifest.ttl,
            follows=around.ask is not None,
            cache=around.cache,
            by_kept_proofs=repository.by_kept_proofs,
        )

    def root(self) -> Entry:
        return owned(self._tree.entry(ROOT), self._owners)

    @contextmanager
    def listing(self, mountpoint: bytes) -> Iterator[Listing]:
        place = self._tree.mountpoint(mountpoint)
        with self._tree.using_catalog(mountpoint) as catalog:
            yield listing_of(catalog, place.inner_path, self._owners)
        self._entered.add(place.path)

    def symlink_target(self, entry: Entry) -> bytes:
        return self._tree.symlink_target(entry)

    def pieces(self, path: bytes, entry: Entry) -> Sequence[Piece]:
        return self._tree.pieces(path, entry)

    def open_cached(self, piece: Piece) -> int | None:
        return self._contents.open_cached(piece)

    def read_cached(self, piece: Piece, into: memoryview) -> memoryview | None:
        return self._contents.read_cached(piece, into)

    def open_piece(self, piece: Piece) -> int:
        return self._contents.open(piece)

    def fetch(self, pieces: Sequence[Piece]) -> None:
        self._contents.ensure(pieces)

    def catalog(self, path: bytes) -> CatalogInformation:
        mountpoint = self._tree.mountpoint(path)
        known = self._catalogs.get(mountpoint.path)
        if known is None:
            with self._tree.using_catalog(mountpoint.path) as catalog:
                known = CatalogInformation(mountpoint.path, mountpoint.reference.digest.text, catalog.counters)
            self._catalogs[mountpoint.path] = known
        return known

    def catalogs_loaded(self) -> int:
        return len(self._entered)

    def metainfo(self) -> bytes | None:
        digest = self._repository.manifest.metainfo
        return None if digest is None else self._contents.document(ObjectName(digest, ObjectKind.METAINFO))

    def notices(self) -> Sequence[str]:
        entry = self._tree.lookup(NOTICES_PATH)
        if entry is None or not entry.is_file or entry.size > MAXIMUM_NOTICES_BYTES:
            return ()
        data = bytearray()
        for piece in self._tree.pieces(NOTICES_PATH, entry):
            with open(self._contents.open(piece), "rb") as file:
                data += file.read()
        return [_sentence(notice) for notice in Notices.parse(bytes(data), "the notices") if notice.done is None]

    def newer(self) -> RepositoryTree | None:
        ask = self._surroundings.ask
        if ask is None:
            return None
        current = ask(self._repository.trusted.seen)
        manifest = current.manifest
        if manifest.root_catalog == self._repository.root.digest:
            return None
        # What is open and known of objects and servers stays; only the tree is another one.
        root = CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size)
        tree = Tree(self._contents, root, manifest.repository, variables=self.variables)
        tree.entry(ROOT)
        return RepositoryTree(
            replace(self._repository, trusted=current, root=root, tree=tree, tag=None, by_kept_proofs=False),
            public_keys=self._public_keys,
            surroundings=self._surroundings,
            owners=self._owners,
        )

    def takes_over(self, catalogs: Mapping[bytes, str]) -> None:
        self._entered = set(catalogs)
        self._contents.keep_catalogs(Digest.parse(digest) for digest in catalogs.values())

    def release(self) -> None:
        self._tree.close()
        self._catalogs.clear()


def open_mounted_tree(
    address: RepositoryAddress, settings: ClientSettings, choice: RevisionChoice = CURRENT
) -> RepositoryTree:
    """The revision `choice` of the repository at `address`, to be mounted: the current one is followed by the next
    ones, any other stays. What had to be mended is in the log of the mount. Raises as `open_repository` does."""
    log = logging.getLogger("outcrop.mount")

    def tell(note: str) -> None:
        log.warning("%s", note)

    repository = open_repository(address, settings, choice, tell)
    surroundings = Surroundings(
        cache=str(cache_choice(address, settings).directory),
        ask=(lambda held: find_current(address, settings, tell, held, repository.contents.servers))
        if repository.follows
        else None,
    )
    return RepositoryTree(
        repository,
        public_keys=public_key_texts(load_keys(address.keys)),
        surroundings=surroundings,
        owners=owners_for(address.ownership),
    )


def owners_for(ownership: Ownership) -> Owners:
    """To whom entries belong in a mount of this process, as the site wants it."""
    owners = ownership.for_reader(os.geteuid(), os.getegid())
    return AS_PUBLISHED if owners.change_nothing else owners


def _sentence(notice: Notice) -> str:
    text = f"{shown(notice.path)} goes on {notice.on.isoformat()}"
    if notice.successor is not None:
        text += f"; use {shown(notice.successor)} instead"
    return text + (f" ({notice.message})" if notice.message else "")


def public_key_texts(keys: Iterable[rsa.RSAPublicKey]) -> str:
    """`keys` in PEM, one after the other."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return "".join(key.public_bytes(encoding, form).decode("ascii") for key in keys)
