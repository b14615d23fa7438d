"""Reads a published revision back from its store, through the client's tree but without its cache."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from outcrop.client.tree import Tree
from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT
from outcrop.cvmfs.signed_text import SignedText
from outcrop.storage.interface import ReadableStore


class StoreCatalogs:
    """Catalogs straight from a store."""

    def __init__(self, store: ReadableStore) -> None:
        self.store = store

    def catalog(self, digest: Digest, size: int, what: str) -> Catalog:
        data = zlib.decompress(self.store.read(ObjectName(digest, ObjectKind.CATALOG).path))
        assert len(data) == size or size == 0
        return Catalog.parse(data, what)

    def ensure_catalogs(self, references: Iterable[CatalogReference]) -> None:
        """Nothing is fetched ahead."""
        list(references)


def published_manifest(store: ReadableStore) -> Manifest:
    return Manifest.parse(SignedText.parse(store.read(MANIFEST_NAME), "the manifest").text)


def published_tree(store: ReadableStore) -> Tree:
    manifest = published_manifest(store)
    root = CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size)
    return Tree(StoreCatalogs(store), root, manifest.repository)


def content(store: ReadableStore, tree: Tree, path: bytes, entry: Entry) -> bytes:
    """The bytes of a file, each object checked against its digest."""
    data = b""
    for piece in tree.pieces(path, entry):
        stored = store.read(piece.object.path)
        assert Digest.of(stored, piece.object.digest.algorithm) == piece.object.digest
        data += stored if piece.compression is Compression.NONE else zlib.decompress(stored)
    return data


def entries(store: ReadableStore) -> dict[bytes, Entry]:
    """Every path of the current revision but the root, with its entry."""
    tree = published_tree(store)
    return {bytes(path): entry for path, entry in tree.walk() if path}
