"""An open repository as the tree that is mounted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.client.contents import Piece
from outcrop.client.mount.listing import Listing, listing_of
from outcrop.client.mount.tree import About, CatalogInformation
from outcrop.client.repository import OpenRepository
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import ROOT


class RepositoryTree:
    """The revision that `repository` shows. Variant links are filled in from `settings`, by default the environment of
    this process. `public_keys` are PEM texts, for whoever asks what the mount trusts."""

    def __init__(
        self, repository: OpenRepository, *, public_keys: str = "", settings: Mapping[bytes, bytes] | None = None
    ) -> None:
        self._repository = repository
        self._tree = repository.tree
        self._contents = repository.contents
        self._settings = dict(os.environb if settings is None else settings)
        self._catalogs: dict[bytes, CatalogInformation] = {}
        self._entered: set[bytes] = set()
        root = repository.tree.catalog_at(ROOT)
        try:
            self._revision = root.properties.revision
        finally:
            root.close()
        self._public_keys = public_keys

    @property
    def about(self) -> About:
        return About(
            fqrn=str(self._repository.name),
            revision=self._revision,
            root_hash=self._repository.root.digest.text,
            tag=self._repository.tag.name if self._repository.tag else "",
            host=self._repository.server,
            public_keys=self._public_keys,
        )

    def root(self) -> Entry:
        return self._tree.entry(ROOT)

    @contextmanager
    def listing(self, mountpoint: bytes) -> Iterator[Listing]:
        place = self._tree.mountpoint(mountpoint)
        catalog = self._tree.catalog_at(mountpoint)
        try:
            yield listing_of(catalog, place.inner_path)
        finally:
            catalog.close()
        self._entered.add(place.path)

    def symlink_target(self, entry: Entry) -> bytes:
        return self._tree.symlink_target(entry, self._settings)

    def pieces(self, path: bytes, entry: Entry) -> Sequence[Piece]:
        return self._tree.pieces(path, entry)

    def open_cached(self, piece: Piece) -> int | None:
        return self._contents.open_cached(piece)

    def open_piece(self, piece: Piece) -> int:
        return self._contents.open(piece)

    def catalog(self, path: bytes) -> CatalogInformation:
        mountpoint = self._tree.mountpoint(path)
        known = self._catalogs.get(mountpoint.path)
        if known is None:
            catalog = self._tree.catalog_at(mountpoint.path)
            try:
                known = CatalogInformation(mountpoint.path, mountpoint.reference.digest.text, catalog.counters)
            finally:
                catalog.close()
            self._catalogs[mountpoint.path] = known
        return known

    def catalogs_loaded(self) -> int:
        return len(self._entered)


def public_key_texts(keys: Iterable[rsa.RSAPublicKey]) -> str:
    """`keys` in PEM, one after the other."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return "".join(key.public_bytes(encoding, form).decode("ascii") for key in keys)
